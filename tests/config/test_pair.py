"""Two loaders of one set, under other names of types."""

import pytest
from mmcv.transforms import Resize

from cream_mm.config.pair import is_pair, paired
from cream_mm.datasets.transforms import LoadImageFromFile


def loader(*steps, **kwargs):
    return dict(batch_size=4, dataset=dict(type='X', pipeline=list(steps)), **kwargs)


VAL = loader(dict(type='cream_mm.LoadImage', on_error='partial'), dict(type='Resize', scale=3))
TEST = loader(dict(type='LoadImageFromFile'), dict(type='mmdet.Resize', scale=3))


@pytest.mark.parametrize(
    ('other', 'expected'),
    [
        (TEST, True),
        (VAL, True),
        (loader(dict(type=LoadImageFromFile), dict(type=Resize, scale=3)), True),
        (loader(dict(type='LoadImageFromFile'), dict(type='mmdet.Resize', scale=4)), False),
        (loader(dict(type='LoadAnnotations'), dict(type='Resize', scale=3)), False),
        ({**TEST, 'batch_size': 5}, False),
        (None, False),
    ],
)
def test_is_pair(other, expected):
    assert is_pair(VAL, other) is expected


def test_paired():
    changed = loader(*VAL['dataset']['pipeline'], num_workers=2)
    changed['dataset']['pipeline'][1] = dict(type='Resize', scale=9, keep_ratio=True)
    assert paired(TEST, changed) == loader(
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=9, keep_ratio=True),
        num_workers=2,
    )
    assert paired(None, VAL) == VAL and paired([1], VAL) == VAL
