"""What ratings can and cannot decide."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from cream_mm.evaluation import (
    Rating,
    best_rated,
    first_not_vetoed,
    paired_difference,
    sampling_notes,
)


def rating(losses, top1=50.0):
    losses = tuple(np.round(losses, 4).tolist())
    return Rating(top1, len(losses), float(np.mean(losses)), losses)


HARD = np.random.default_rng(0).gamma(2.0, size=200)  # how hard each image is


def near(shift, noise, seed):
    return rating(HARD + shift + np.random.default_rng(seed).normal(scale=noise, size=200))


def test_the_error_is_that_of_the_paired_t_test():
    one, other = near(0.03, 0.1, 1), near(0.0, 0.1, 2)
    mean, error = paired_difference(one, other)
    assert mean / error == pytest.approx(ttest_rel(one.losses, other.losses).statistic)
    assert paired_difference(other, one) == pytest.approx((-mean, error))
    # Far below what the spread of the losses themselves would give.
    assert error < 0.2 * HARD.std() * math.sqrt(2 / 200)


def test_ratings_veto_and_decide_nothing_else():
    best, level, worse = near(0, 0.01, 1), near(0.001, 0.05, 2), near(0.1, 0.05, 3)
    assert first_not_vetoed([level, best, worse]) == 0  # not the best-rated, but not worse
    assert first_not_vetoed([worse, level, best]) == 1  # the next one, not the best-rated
    assert first_not_vetoed([worse, worse, best]) == 2
    assert first_not_vetoed([worse]) == 0
    # Alone, the same difference would not be beyond the ratings' own errors.
    own_error = HARD.std() / math.sqrt(200)
    assert worse.loss - best.loss < 2 * own_error


def test_two_standard_errors_are_the_limit():
    best = rating(np.zeros(400))
    for errors, place in ((1.9, 0), (2.1, 1)):
        spread = np.tile([-1.0, 1.0], 200)
        mean = errors * spread.std(ddof=1) / 20
        assert first_not_vetoed([rating(5 + mean + spread), rating(np.full(400, 5.0))]) == place
    assert first_not_vetoed([best, best]) == 0


def test_one_image_vetoes_nothing_and_nan_is_vetoed():
    assert first_not_vetoed([rating([9.0]), rating([1.0])]) == 0
    broken = Rating(10.0, 200, math.nan, (math.nan,) * 200)
    assert first_not_vetoed([broken, near(0, 0.1, 1)]) == 1
    assert best_rated([broken, near(0.1, 0, 1), near(0, 0, 1)]) == 2
    assert first_not_vetoed([broken, broken]) in (0, 1)


def test_ratings_of_other_images_are_refused():
    with pytest.raises(ValueError, match='on 1 and on 2 images'):
        paired_difference(rating([1.0]), rating([1.0, 2.0]))


def test_notes_say_what_chance_explains():
    clear = [near(0, 0.01, 1)._replace(top1_pct=80.0), near(0.5, 0.01, 2)]
    assert sampling_notes(clear, largest_class_pct=30.0) == []
    level = [near(0, 0.05, 1)._replace(top1_pct=80.0), near(0.001, 0.05, 2), near(0.5, 0.05, 3)]
    (note,) = sampling_notes(level, 30.0)
    assert note.startswith('1 of 2 other ratings lies within two standard errors of the best one')
    # The case: 61 images, everybody at the share of the largest class.
    tied = [rating(near(0, 0.1, i).losses[:61], top1=100 * 15 / 61) for i in range(3)]
    first, second = sampling_notes(tied, 100 * 15 / 61)
    assert 'always answering their largest class has 24.6 %: within sampling error' in first
    assert 'two standard errors are 15.6 points' in first  # 2 * sqrt(2 * .246 * .754 / 61)
    assert 'The search has found nothing yet' in first
    assert sampling_notes([tied[0]], 100 * 15 / 61) == [first]


def test_a_path_without_any_box():
    """It has no draws, or zeros: neither is an error, and known zeros are worse."""
    found = Rating(None, 9, None, metric='coco/bbox_mAP', value=0.3, draws=(0.25, 0.3, 0.35))
    silent = Rating(None, 9, None, metric='coco/bbox_mAP', value=0.0)
    zeros = silent._replace(draws=(0.0, 0.0, 0.0))
    assert paired_difference(silent, found) == (0.3, math.inf)
    assert not paired_difference(silent, found).is_beyond_chance
    assert paired_difference(zeros, found).is_beyond_chance
    assert first_not_vetoed([zeros, found]) == 1 and first_not_vetoed([silent, found]) == 0
