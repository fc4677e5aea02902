import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')

from mmdet.datasets.transforms import RandomCrop
from mmdet.structures.bbox import HorizontalBoxes

from cream_mm.registry import TRANSFORMS

IMAGE = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)


def crop(transform, boxes):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    np.random.seed(3)
    return transform(
        dict(
            img=IMAGE.copy(), img_shape=(40, 60), gt_bboxes=HorizontalBoxes(boxes),
            gt_bboxes_labels=np.zeros(len(boxes), int),
            gt_ignore_flags=np.zeros(len(boxes), bool),
        )
    )  # fmt: skip


def test_an_image_without_a_box_is_cropped_and_others_as_in_mmdet():
    ours = TRANSFORMS.build(dict(type='cream_mm.DetRandomCrop', crop_size=(16, 16)))
    theirs = RandomCrop(crop_size=(16, 16))
    assert crop(theirs, []) is None
    found = crop(ours, [])
    assert found['img'].shape == (16, 16, 3) and len(found['gt_bboxes']) == 0
    whole = [0, 0, 60, 40]
    a, b = crop(ours, [whole]), crop(theirs, [whole])
    assert np.array_equal(a['img'], b['img']) and np.array_equal(a['img'], found['img'])
    assert torch.equal(a['gt_bboxes'].tensor, b['gt_bboxes'].tensor)
    assert crop(ours, [[59, 39, 60, 40]]) is None  # has a box, and the crop has not
