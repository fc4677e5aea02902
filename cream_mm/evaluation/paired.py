"""How two classifiers differ on the same images, with the interval that the images leave."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959964  # half the width of a 95 % interval, in standard errors


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether it is not decided which of the two is larger."""
        return not (self.low > 0 or self.high < 0)


def paired_interval(one: Sequence[float], other: Sequence[float]) -> Interval:
    """The mean of ``one`` less ``other``, image by image, with its 95 % interval.

    What makes an image easy or hard for both falls out. The interval is that of the mean over
    images; it says nothing of another training of the same network.

    Args:
        one, other (Sequence[float]): A value for each image, of the same images in one order.

    Raises:
        ValueError: If they are of different lengths, or of fewer than two images.
    """
    a, b = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f'{a.size} and {b.size} images: not the same ones')
    if len(a) < 2:
        raise ValueError('a difference on fewer than two images has no interval')
    difference = a - b
    mean = float(difference.mean())
    half = NORMAL_95 * float(difference.std(ddof=1)) / math.sqrt(len(a))
    return Interval(mean, mean - half, mean + half)
