"""What ratings can decide: differences beyond what the choice of images explains."""

import math
from collections.abc import Sequence

import numpy as np

from ..structures.difference import ERRORS, Difference
from .arch_evaluator import Rating


def paired_difference(one: Rating, other: Rating) -> Difference:
    """How much worse ``one`` is rated than ``other``, image by image.

    The images' difficulty, most of what makes a rating uncertain, is in both and falls out. A
    metric, which is no mean over images, is compared on the same resampled images instead: the
    paired bootstrap.

    Raises:
        ValueError: If they were not rated on as many images, or by the same metric.
    """
    if one.metric != other.metric:
        raise ValueError(f'rated by {one.metric} and by {other.metric}: not comparable')
    if one.metric is not None:
        mean = other.value - one.value
        if len(one.draws) != len(other.draws) or len(one.draws) < 2:
            return Difference(mean, math.inf)
        draws = np.asarray(other.draws) - np.asarray(one.draws)
        return Difference(mean, float(draws.std(ddof=1)))
    a, b = np.asarray(one.losses), np.asarray(other.losses)
    if a.shape != b.shape:
        raise ValueError(f'rated on {len(a)} and on {len(b)} images: not comparable')
    if len(a) < 2:
        return Difference(one.loss - other.loss, math.inf)
    difference = a - b
    return Difference(float(difference.mean()), float(difference.std(ddof=1) / len(a) ** 0.5))


def best_rated(ratings: Sequence[Rating]) -> int:
    """Index of the best score; the first of equal ones. One that is NaN is never best."""
    return max(
        range(len(ratings)),
        key=lambda i: ratings[i].score if math.isfinite(ratings[i].score) else -math.inf,
    )


def first_not_vetoed(ratings: Sequence[Rating]) -> int:
    """Go down a list of paths, best first by other evidence, to one that its rating lets pass.

    A path is vetoed if it is rated worse than the best-rated of the list by more than two
    standard errors of the paired difference. The best-rated itself always passes.

    Args:
        ratings (Sequence[Rating]): At least one, in the order of the other evidence.

    Returns:
        int: Index of the first that passes.
    """
    best = ratings[best_rated(ratings)]
    for i, rating in enumerate(ratings):
        difference = paired_difference(rating, best)
        # NaN compares as not worse: a path without a finite rating does not pass.
        if (
            rating is best
            or math.isfinite(rating.score)
            and not (difference.mean > 0 and difference.is_beyond_chance)
        ):
            return i
    raise AssertionError('the best-rated path passes')


def sampling_notes(ratings: Sequence[Rating], largest_class_pct: float | None) -> list[str]:
    """What the ratings cannot tell, in sentences for the log, the export and the report.

    Args:
        ratings (Sequence[Rating]): Of different paths on the same images; the first is the
            chosen path's.
        largest_class_pct (float, optional): Share of the images that belong to the most frequent
            class; None where paths are compared by a metric.

    Returns:
        list[str]: Empty if the ratings are clear of both kinds of chance.
    """
    notes = []
    chosen, best = ratings[0], ratings[best_rated(ratings)]
    number = chosen.num_images
    if largest_class_pct is not None:
        error = _error(chosen, largest_class_pct)
        if is_constant(chosen, largest_class_pct):
            notes.append(
                f'The chosen path has {chosen.top1_pct:.1f} % top-1 on {number} held-out images, '
                f'and always answering their largest class has {largest_class_pct:.1f} %: within '
                f'sampling error (two standard errors are {ERRORS * error:.1f} points). The search '
                'has found nothing yet. Train longer, or on more images'
            )
    elif not chosen.value > 0:
        notes.append(
            f'The chosen path has {chosen.metric} {chosen.value:.3f} on {number} held-out images: '
            'the search has found nothing yet. Train longer, or on more images'
        )
    if chosen.metric is not None and not chosen.draws:
        notes.append(
            f'What the choice of {number} images makes of {chosen.metric} is not known, so no '
            'rating vetoed anything'
        )
    level = sum(
        rating is not best and not paired_difference(rating, best).is_beyond_chance
        for rating in ratings
    )
    if level:
        notes.append(
            f'{level} of {len(ratings) - 1} other ratings {"lies" if level == 1 else "lie"} within '
            f'two standard errors of the best one ({number} held-out images): what they differ by '
            'may be chance'
        )
    return notes


def is_constant(rating: Rating, largest_class_pct: float) -> bool:
    """Whether the top-1 is that of always answering the largest class, within sampling error."""
    above = rating.top1_pct - largest_class_pct
    return above <= ERRORS * _error(rating, largest_class_pct)


def _error(rating: Rating, largest_class_pct: float) -> float:
    """Standard error of the difference of both, in points."""
    variance = _variance(rating.top1_pct) + _variance(largest_class_pct)
    return (variance / rating.num_images) ** 0.5


def _variance(pct: float) -> float:
    """Of one hit, in squared points."""
    return pct * (100.0 - pct)
