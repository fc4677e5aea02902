"""What a rating is, as a report says it."""

import pytest

from cream_mm.reports.metric import Metric

TOP1 = dict(top1_pct=87.5, loss=0.4, num_images=8)
BOXES = dict(metric='coco/bbox_mAP', value=0.333, num_images=300)
F1 = dict(metric='single-label/f1-score', value=71.25)
L1 = dict(metric='relative_l1', value=0.41555, num_images=8)


@pytest.mark.parametrize(
    'rating, name, label, shown, text',
    [
        (TOP1, 'top-1', 'top-1 (%)', 87.5, '87.5 %'),
        (BOXES, 'box mAP', 'box mAP (%)', 33.3, '33.3 %'),
        (F1, 'single-label/f1-score', 'single-label/f1-score', 71.25, '71.25'),
        (L1, 'relative L1', 'relative L1', 0.41555, '0.4155'),
    ],
)
def test_a_rating_as_it_is_shown(rating, name, label, shown, text):
    metric = Metric.of(rating)
    assert (metric.name, metric.label) == (name, label)
    assert metric.shown(rating) == pytest.approx(shown) and metric.format(shown) == text


def test_an_error_is_named_before_its_number():
    assert Metric.of(L1).is_error and Metric.of(L1).told(0.41555) == 'relative L1 0.4155'
    assert not Metric.of(BOXES).is_error and Metric.of(BOXES).told(33.3) == '33.3 % box mAP'
    assert Metric.of(TOP1).told(87.5) == '87.5 % top-1'


def test_ratings_by_something_else_are_not_shown():
    assert Metric.of(TOP1).shown(BOXES) is None and Metric.of(BOXES).shown(TOP1) is None
    assert Metric.of(BOXES).shown(dict(BOXES, metric='coco/bbox_mAP_50')) is None
