"""Ratings of several folds as one."""

import pytest

from cream_mm.apis.pool_folds import pool
from cream_mm.evaluation import Rating


def test_cross_entropy_of_all_images():
    folds = [Rating(50.0, 2, 1.5, (1.0, 2.0)), Rating(100.0, 3, 0.2, (0.1, 0.2, 0.3))]
    found = pool(folds)
    assert found.num_images == 5 and found.losses == (1.0, 2.0, 0.1, 0.2, 0.3)
    assert found.loss == pytest.approx(3.6 / 5) == pytest.approx(sum(found.losses) / 5)
    assert found.top1_pct == pytest.approx(80)  # 1 of 2 and 3 of 3
    assert found.metric is None


def test_a_metric_is_the_mean_by_images():
    name = 'coco/bbox_mAP'
    folds = [
        Rating(None, 10, None, metric=name, value=0.2, draws=(0.1, 0.3)),
        Rating(None, 30, None, metric=name, value=0.4, draws=(0.5, 0.3)),
    ]
    found = pool(folds)
    assert found.value == pytest.approx(0.35) and found.score == found.value
    assert found.draws == pytest.approx((0.4, 0.3)) and found.num_images == 40
