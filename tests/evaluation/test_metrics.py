"""Paths rated by a metric of the model's own evaluator, against mmengine's evaluation."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from cream_mm.evaluation import ArchEvaluator, paired_difference
from cream_mm.models.layers.bn_policy import batch_stats, modules_of_path
from cream_mm.registry import MODELS
from cream_mm.testing import tiny_space

SPACE = tiny_space()
ARCHS = [SPACE.decode(flat) for flat in ([0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1])]


def build(head):
    torch.manual_seed(0)
    costs = dict(input_size=8, num_classes=3, head_channels=0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='cream_mm.CreamSupernet', space=SPACE.to_dict(), costs=costs),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type=head, num_classes=3, in_channels=32),
                data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3),
            )
        )


def images(number, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (number, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return [dict(inputs=x, data_samples=DataSample().set_gt_label(y))
            for x, y in zip(pixels, labels)]  # fmt: skip


MULTI = [[i % 3] if i % 4 else [i % 3, (i + 1) % 3] for i in range(20)]
SINGLE = [i % 3 if i % 5 else 0 for i in range(20)]
CASES = {
    'multi-label/mAP': ('MultiLabelLinearClsHead', dict(type='AveragePrecision'), MULTI),
    'multi-label/f1-score': ('MultiLabelLinearClsHead', dict(type='MultiLabelMetric'), MULTI),
    'single-label/recall': ('LinearClsHead', dict(type='SingleLabelMetric'), SINGLE),
    'accuracy/top1': ('LinearClsHead', dict(type='Accuracy'), SINGLE),
}


@pytest.mark.parametrize('metric', CASES)
def test_a_metric_is_what_mmengine_says(metric):
    head, cfg, labels = CASES[metric]
    model, data = build(head), images(20, labels, 0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        ours, theirs = Evaluator(cfg), Evaluator(cfg)
    evaluator = ArchEvaluator(
        model, data, data, metrics=ours.metrics, metric=metric, bn_policy='batch_stats',
        batch_size=5,
    )  # fmt: skip
    ratings = evaluator.rate_all(ARCHS, lambda *_: None)
    for arch, rating in zip(ARCHS, ratings):
        model.eval()
        with model.backbone.using(arch), batch_stats(modules_of_path(model)), torch.no_grad():
            for batch in evaluator._batches:
                theirs.process(model.val_step(batch), batch)
        assert rating.value == pytest.approx(float(theirs.evaluate(20)[metric]))
        assert (rating.metric, rating.num_images, rating.top1_pct) == (metric, 20, None)
        assert rating.score == rating.value and len(rating.draws) == 200
    assert len({rating.value for rating in ratings}) > 1
    assert evaluator.largest_class_pct is None
    # Another rating of the same path is the same: nothing of a batch was changed.
    assert evaluator.rate(ARCHS[0]) == ratings[0]


def test_a_difference_is_that_of_the_same_draws():
    head, cfg, labels = CASES['accuracy/top1']
    model, data = build(head), images(20, labels, 0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        metrics = Evaluator(cfg).metrics
    evaluator = ArchEvaluator(
        model, data, data, metrics=metrics, metric='accuracy/top1', batch_size=5
    )
    one, other = evaluator.rate(ARCHS[0]), evaluator.rate(ARCHS[2])
    difference = paired_difference(one, other)
    assert difference.mean == other.value - one.value
    spread = np.std(np.array(other.draws) - np.array(one.draws), ddof=1)
    assert difference.error == pytest.approx(spread) and spread > 0
    assert paired_difference(one, one) == (0.0, 0.0)


def test_several_labels_need_a_metric():
    model, data = build('MultiLabelLinearClsHead'), images(20, MULTI, 0)
    with pytest.raises(ValueError, match='no classifier of single labels'):
        ArchEvaluator(model, data, data)
