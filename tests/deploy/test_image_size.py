"""The size of a network's input."""

import pytest

from cream_mm.deploy.image_size import size_of, sized
from cream_mm.deploy.onnx_file import resize_of

EDGE = dict(type='ResizeEdge', scale=256)
CROP = dict(type='mmpretrain.CenterCrop', crop_size=224)
PAD = dict(type='Pad', size=(96, 64))
KEEP = dict(type='Resize', scale=(96, 64), keep_ratio=True)


@pytest.mark.parametrize(
    'steps, size',
    [
        ([EDGE, CROP], [224, 224]),
        ([EDGE], None),
        ([], None),
        ([dict(type='Resize', scale=(96, 64))], [64, 96]),
        ([KEEP], [64, 96]),
        ([dict(KEEP, scale=(96, 60)), PAD], [64, 96]),
    ],
)
def test_what_a_pipeline_makes(steps, size):
    assert size_of(resize_of(steps)) == size


def test_a_pipeline_for_another_size_sees_the_same_share():
    steps = [EDGE, CROP]
    changed = sized(steps, (112, 56))
    assert changed == [dict(EDGE, scale=128), dict(CROP, crop_size=(56, 112))]
    assert steps == [EDGE, CROP]  # as they were
    assert [step['scale'] for step in sized([EDGE], (9, 9))] == [256]
    changed = sized([KEEP, PAD, dict(type='Pad', size_divisor=32)], (32, 64))
    assert (changed[0]['scale'], changed[1]['size']) == ((64, 32), (64, 32))
    assert changed[2] == dict(type='Pad', size_divisor=32)
