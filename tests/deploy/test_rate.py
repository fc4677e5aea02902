"""A file is rated by the config's own metric, of images and boxes in its own pixels."""

import json

import numpy as np
import pytest
from made_calibration import about, config
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from cream_mm.deploy.onnx_file import resize_of
from cream_mm.deploy.rate import rate
from cream_mm.testing.tiny import write_image_folder

RESIZE = dict(type='Resize', scale=(80, 60), keep_ratio=True)
BOXES = {0: [(2, 3, 10, 20)], 1: [(0, 0, 8, 8), (20, 10, 15, 12)]}  # x, y, w, h


def coco(root, size=(30, 40)):
    images, rows = [], []
    for i, boxes in BOXES.items():
        pixels = np.full((*size, 3), 50 * (i + 1), np.uint8)
        Image.fromarray(pixels).save(root / f'{i}.png')
        images.append(dict(id=i, file_name=f'{i}.png', height=size[0], width=size[1]))
        for box in boxes:
            rows.append(dict(id=len(rows) + 1, image_id=i, category_id=1, bbox=box,
                             area=box[2] * box[3], iscrowd=0))  # fmt: skip
    content = dict(images=images, annotations=rows, categories=[dict(id=1, name='cat')])
    (root / 'val.json').write_text(json.dumps(content))
    pipeline = [
        dict(type='LoadImageFromFile'), RESIZE,
        dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs'),
    ]  # fmt: skip
    dataset = dict(
        type='CocoDataset', data_root=str(root), ann_file='val.json', data_prefix=dict(img=''),
        metainfo=dict(classes=('cat',)), test_mode=True, pipeline=pipeline,
    )  # fmt: skip
    evaluator = dict(type='CocoMetric', ann_file=str(root / 'val.json'), metric='bbox')
    return Config(dict(val_dataloader=dict(dataset=dataset), val_evaluator=evaluator))


def test_a_classifier_is_rated_by_top1(tmp_path):
    cfg = config(write_image_folder(tmp_path, train=1, val=4))

    def says_bee(image):  # the second class, bees, which are green; never of red ones
        green = image[:, 1].mean((1, 2)) > image[:, 0].mean((1, 2))
        return dict(probabilities=np.stack([~green, green], 1).astype(np.float32))

    def always_bee(image):
        return dict(probabilities=np.tile(np.float32([0.2, 0.8]), (len(image), 1)))

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert rate(says_bee, cfg, about()) == ('top-1', 100.0, 8)
        assert rate(always_bee, cfg, about()) == ('top-1', 50.0, 8)
        assert rate(always_bee, cfg, about(), 3).images == 3
        cfg.val_evaluator = dict(type='SingleLabelMetric')
        with pytest.raises(ValueError, match='rated by one of accuracy/top1.*gives single-label/p'):
            rate(always_bee, cfg, about())
        cfg.pop('val_evaluator')
        with pytest.raises(ValueError, match='no val_dataloader and val_evaluator'):
            rate(always_bee, cfg, about())


# Lying photographs become twice as large; upright ones do not fit then, and become 1.5 times so.
@pytest.mark.parametrize('size, factor', [((30, 40), 2), ((40, 30), 1.5)])
def test_boxes_are_rated_in_pixels_of_the_photograph(tmp_path, size, factor):
    cfg = coco(tmp_path, size)
    cfg.val_evaluator.outfile_prefix = str(tmp_path / 'run/val')
    about_boxes = dict(
        about((60, 80), ()), task='detection', input=dict(size=[60, 80], dynamic=[]),
        resize=resize_of([RESIZE]),
    )  # fmt: skip

    def answers(scale=factor, wrong=()):
        def run(image):
            i = int(image[0, 0, 0, 0]) // 50 - 1
            boxes = np.float32([(x, y, x + w, y + h) for x, y, w, h in BOXES[i]]) * scale
            rows = np.zeros((1, 4, 4), np.float32)
            rows[0, : len(boxes)] = boxes
            labels = np.full((1, 4), -1)
            labels[0, : len(boxes)] = 0
            scores = np.where(labels >= 0, 0.9, 0).astype(np.float32)
            if i in wrong:
                labels[:] = -1
            return dict(boxes=rows, scores=scores, labels=labels)

        return run

    with DefaultScope.overwrite_default_scope('mmdet'):
        assert rate(answers(), cfg, about_boxes) == ('box mAP', 100.0, 2)
        assert rate(answers(scale=3 * factor), cfg, about_boxes).pct == 0
        # Two of three objects are found: recalls up to 0.66 of 101, and no wrong box.
        found = rate(answers(wrong=[0]), cfg, about_boxes).pct
        assert found == pytest.approx(100 * 67 / 101, abs=0.1)
        some = rate(answers(), cfg, about_boxes, 1)
        assert some == ('box mAP', 100.0, 1)  # the other image does not count
    assert not (tmp_path / 'run').exists()  # what the training's own validation left there stays
    assert 'outfile_prefix' in cfg.val_evaluator
