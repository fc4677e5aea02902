"""Whether classes have the same shares in two parts of a set."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Both have to hold: a difference that is no chance, and large enough to move an accuracy.
MAX_P = 0.001
MIN_V = 0.1  # Cramer's, corrected for what chance gives
MIN_EXPECTED = 5.0  # images: of fewer, the chi-square test is none
MIN_Z = 3.0  # standard deviations by which a single class differs


class ShareDifference(NamedTuple):
    """How the shares of classes in one part of a set differ from those in another.

    Attributes:
        p_value (float): Of the chi-square test that they are the same.
        cramers_v (float): How strongly they differ, 0 to 1, without what chance gives.
        classes (list[int]): Those that differ most, the first the most.
    """

    p_value: float
    cramers_v: float
    classes: list[int]

    @property
    def is_large(self) -> bool:
        """Whether an accuracy on one part says little about the other."""
        return self.p_value < MAX_P and self.cramers_v >= MIN_V


def compare_shares(one: Sequence[int], other: Sequence[int]) -> ShareDifference:
    """Compare two parts of a set by the number of images that each class has in them.

    Classes of which fewer than five images are expected in the smaller part count as one.

    Args:
        one, other (Sequence[int]): Images of each class, in the same order.
    """
    table = np.array([one, other], float)
    total, sizes = table.sum(), table.sum(axis=1, keepdims=True)
    if sizes.min() == 0:
        return ShareDifference(1.0, 0.0, [])
    is_rare = table.sum(axis=0) * sizes.min() / total < MIN_EXPECTED
    places = np.flatnonzero(~is_rare)
    rare = table[:, is_rare].sum(axis=1, keepdims=True)
    table = np.hstack([table[:, places], rare[:, : int(rare.sum() > 0)]])
    if table.shape[1] < 2:
        return ShareDifference(1.0, 0.0, [])
    from scipy import stats  # here: it takes a second, and a set without splits needs none

    chi2, p_value, freedom, expected = stats.chi2_contingency(table, correction=False)
    v = math.sqrt(max(0.0, chi2 / total - freedom / (total - 1)))
    rows, columns = table.sum(axis=1) / total, table.sum(axis=0) / total
    z = (table - expected)[1] / np.sqrt(expected[1] * (1 - columns) * (1 - rows[1]))
    order = np.argsort(-np.abs(z), kind='stable')
    differing = [int(places[i]) for i in order if i < len(places) and abs(z[i]) >= MIN_Z]
    return ShareDifference(float(p_value), v, differing)
