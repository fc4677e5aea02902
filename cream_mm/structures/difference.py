"""By how much one rating is worse than another, and whether chance explains it."""

from typing import NamedTuple

ERRORS = 2.0
"""Differences of as many standard errors count; chance alone has one in 20 pairs differ so."""


class Difference(NamedTuple):
    """By how much one path is rated worse than another on the same images.

    In nats of cross entropy, or in the unit of the metric that they are compared by.
    """

    mean: float  # > 0: the first one is worse
    error: float  # its standard error; inf where it is not known

    @property
    def is_beyond_chance(self) -> bool:
        return abs(self.mean) > ERRORS * self.error
