"""Paired differences: the interval is that of the mean of the differences."""

import numpy as np
import pytest

from cream_mm.evaluation.paired import paired_interval


def test_three_images():
    # Differences 1, 2 and 3: mean 2, deviation 1, error 1 / sqrt(3).
    found = paired_interval([5, 1, 3], [4, -1, 0])
    assert found.mean == 2
    assert found.high - found.mean == pytest.approx(1.959964 / np.sqrt(3))
    assert found.mean - found.low == pytest.approx(1.959964 / np.sqrt(3))
    assert not found.holds_zero and paired_interval([0, 1], [1, 0]).holds_zero


def test_it_holds_the_true_mean_in_95_of_100():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        hard = rng.normal(0, 5, 200)  # of each image, in both
        one, other = hard + rng.normal(0.3, 1, 200), hard + rng.normal(0, 1, 200)
        found = paired_interval(one, other)
        inside += found.low <= 0.3 <= found.high
    assert 0.92 < inside / 400 < 0.98


def test_other_images_are_refused():
    with pytest.raises(ValueError, match='3 and 2 images: not the same ones'):
        paired_interval([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match='fewer than two images has no interval'):
        paired_interval([1], [2])
