"""Metrics on resampled images, against a set in which the images really stand twice."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.registry import DefaultScope
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from cream_mm.evaluation.bootstrap import coco_draws, image_weights, metric_draws

CLASSES = ('ant', 'bee', 'cow')


def test_a_draw_is_the_same_images_for_every_path():
    weights = image_weights(30, seed=1, num_draws=50)
    assert weights.shape == (50, 30) and (weights.sum(axis=1) == 30).all()
    assert (weights == image_weights(30, seed=1, num_draws=50)).all()
    assert (weights != image_weights(30, seed=2, num_draws=50)).any()


def test_accuracy_by_hand():
    metric, rng = Accuracy(), np.random.default_rng(0)
    right = rng.random(20) < 0.6
    samples = [
        DataSample().set_gt_label(0).set_pred_score(torch.tensor([1.0, 0.0] if r else [0.0, 1.0]))
        for r in right
    ]
    metric.process(None, [sample.to_dict() for sample in samples])
    draws = metric_draws(metric, metric.results, 'top1', seed=3, num_images=20)
    expected = 100 * image_weights(20, 3) @ right / 20
    assert draws == pytest.approx(expected)
    assert len(metric_draws(metric, metric.results[:-1], 'top1', 3, 20)) == 0  # not one an image


def scenes(rng, number=6):
    """Annotations and predictions with misses, false alarms and boxes of several sizes."""
    images, annotations, predictions = [], [], []
    for i in range(number):
        image = 100 + 7 * (number - i)  # ids neither dense nor ascending
        images.append(dict(id=image, width=200, height=200, file_name=f'{image}.jpg'))
        boxes, scores, labels = [], [], []
        for _ in range(rng.integers(0 if i == 1 else 1, 5)):
            x, y = rng.integers(0, 90, 2)
            side = int(rng.choice([20, 50, 110]))
            label = int(rng.integers(3))
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image, category_id=label + 1, iscrowd=0,
                     bbox=[int(x), int(y), side, side], area=side * side)
            )  # fmt: skip
            if rng.random() < 0.8:
                jitter = rng.normal(0, side / 12, 4)
                boxes.append(np.array([x, y, x + side, y + side]) + jitter)
                scores.append(rng.random())
                labels.append(label if rng.random() < 0.8 else (label + 1) % 3)
        for _ in range(rng.integers(0, 3)):
            x, y = rng.integers(0, 90, 2)
            boxes.append(np.array([x, y, x + 40, y + 40]))
            scores.append(rng.random())
            labels.append(int(rng.integers(3)))
        predictions.append(
            dict(img_id=image, bboxes=np.array(boxes).reshape(-1, 4), scores=np.array(scores),
                 labels=np.array(labels, dtype=int))
        )  # fmt: skip
    return images, annotations, predictions


def write(path, images, annotations):
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = CocoMetric(ann_file=str(path))
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def repeated(images, annotations, predictions, weights):
    """The set in which an image stands as often as a draw has it, under new ids."""
    new_images, new_annotations, new_predictions = [], [], []
    by_id = {p['img_id']: p for p in predictions}
    for image, times in zip(images, weights):
        for _ in range(times):
            number = 10_000 + len(new_images)
            new_images.append(dict(image, id=number))
            new_predictions.append(dict(by_id[image['id']], img_id=number))
            for annotation in annotations:
                if annotation['image_id'] == image['id']:
                    new_annotations.append(
                        dict(annotation, id=len(new_annotations) + 1, image_id=number)
                    )
    return new_images, new_annotations, new_predictions


@pytest.mark.parametrize('name', ['bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75', 'bbox_mAP_m'])
def test_boxes_against_pycocotools(tmp_path, name):
    images, annotations, predictions = scenes(np.random.default_rng(4))
    metric = write(tmp_path / 'set.json', images, annotations)
    results = [({}, prediction) for prediction in predictions]
    weights = image_weights(len(images), seed=0, num_draws=6)
    weights = np.concatenate([np.ones((1, len(images)), dtype=int), weights])
    once = metric.compute_metrics(results)[name]
    draws = coco_draws(metric, results, name, weights)
    assert draws[0] == pytest.approx(once, abs=6e-4) and 0.02 < once < 0.98
    for draw, row in zip(draws[1:], weights[1:]):
        more = repeated(images, annotations, predictions, row)
        other = write(tmp_path / 'repeated.json', *more[:2])
        expected = other.compute_metrics([({}, prediction) for prediction in more[2]])[name]
        assert draw == pytest.approx(expected, abs=6e-4)  # CocoMetric rounds to 0.001


def test_no_box_at_all(tmp_path):
    images, annotations, predictions = scenes(np.random.default_rng(0))
    metric = write(tmp_path / 'set.json', images, annotations)
    nothing = [dict(p, bboxes=np.zeros((0, 4)), scores=[], labels=[]) for p in predictions]
    results = [({}, prediction) for prediction in nothing]
    assert metric.compute_metrics(results) == {}
    assert (metric_draws(metric, results, 'bbox_mAP', 0, len(results)) == 0).all()
    assert len(metric_draws(metric, results, 'segm_mAP', 0, len(results))) == 0  # masks: not told
