"""How fine a small set can tell."""

from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.engine.small_sets import measured_sets, small_set_line


class _Set(list):
    def __init__(self, infos, part='all'):
        super().__init__(infos)
        self.part = part

    def get_data_info(self, index):
        return self[index]


def labelled(number, part='all'):
    return _Set([dict(gt_label=0)] * number, part)


def boxed(number, boxes):
    return _Set([dict(instances=[{}] * boxes)] * number)


def test_images_of_classes():
    # 1.96 * sqrt(2 * 0.85 * 0.15 / 34) is 16.97 %.
    held, trained = labelled(34, 'holdout'), labelled(306)
    assert small_set_line(held, trained, 'held out to rate paths on', 'a/b.py') == (
        '34 images are held out to rate paths on: differences below 17 points of top-1 cannot be '
        'told; "tools/train.py a/b.py --folds 5" measures on all 340 (docs/data.md)'
    )
    line = small_set_line(labelled(141), labelled(500), 'validated on', None)
    assert line.endswith('; folds measure on all 500 (docs/data.md)')  # a dry run keeps no config
    assert small_set_line(labelled(142), labelled(500), 'validated on', None) is None


def test_images_of_several_labels():
    several = _Set([dict(gt_label=np.array([0, 2]))] * 141)
    line = small_set_line(several, several, 'validated on', None)
    assert line.startswith('141 images are validated on: an mAP on them is uncertain by several')
    assert (
        small_set_line(_Set([dict(gt_label=[0, 2])] * 142), several, 'validated on', None) is None
    )


def test_images_that_a_run_held_out_of_a_set_without_a_split(tmp_path):
    """Their file says of how many: folds are of all, also of those without a box to train on."""
    held = boxed(59, 2)
    held.ann_file = str(tmp_path / 'annotations/val.json')
    assert 'on all 230' in small_set_line(held, boxed(230, 2), 'validated on', None)
    (tmp_path / 'annotations').mkdir()
    info = '{"info":{"written_for":"a run of cream_mm","held_out_of":296},"images":[]}'
    (tmp_path / 'annotations/val.json').write_text(info)
    assert 'on all 296' in small_set_line(held, boxed(230, 2), 'validated on', None)


@pytest.mark.parametrize(
    ('number', 'boxes', 'is_small'), [(49, 10, True), (50, 3, False), (50, 2, True)]
)
def test_images_with_boxes(number, boxes, is_small):
    line = small_set_line(boxed(number, boxes), boxed(200, 1), 'validated on', None)
    assert (line is not None) == is_small
    if is_small:
        told = f'{number} images with {number * boxes} boxes are validated on: too few to tell'
        assert line.startswith(told) and 'on all 200' in line


def test_what_nothing_is_known_of():
    assert small_set_line(_Set([dict(img_path='a')]), None, 'validated on', None) is None
    assert small_set_line([1], None, 'validated on', None) is None


def test_which_set():
    loader = SimpleNamespace(dataset='held')
    search = SimpleNamespace(bn_dataset={}, dataloader=loader)
    val = SimpleNamespace(dataset='val')
    runner = SimpleNamespace(cfg={}, _test_loop={}, val_loop=1, val_dataloader=val)
    assert measured_sets(runner) == ('val', 'validated on')
    runner._test_loop = search
    assert measured_sets(runner) == ('held', 'held out to rate paths on')
    runner.cfg = dict(folds=5, fold=0)
    assert measured_sets(runner) is None
