"""Parts of a run, and how long they take: what a dry run adds up."""

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple, TypeVar

T = TypeVar('T')

PROBE_SECONDS = 10.0
"""What the timing of one thing may take, where it can be timed on a share of the images."""
FIRST_IMAGES = 64  # of a first look at how long an image takes
SPREAD = 0.1
"""Relative half-width of what a time that was measured once is worth."""


class Stage(NamedTuple):
    """So many of something, each of which takes so long.

    A train or test loop with work beside the plain steps of a training has ``stages(runner)``, a
    list of these, which a dry run asks for after a few steps; a hook has ``own_stages(runner)``
    (``stages`` is mmengine's). What a hook tells there it does not do in the steps that are timed.
    """

    name: str  # 'training'
    unit: str  # 'steps'
    number: float
    seconds_each: float
    spread: float = SPREAD  # relative half-width of the seconds
    grows: bool = False  # whether the number goes with max_epochs

    @property
    def seconds(self) -> float:
        """Of all of them."""
        return self.number * self.seconds_each


def seconds_of(stages: Sequence[Stage], side: int = 0) -> float:
    """Seconds of all stages; with ``side=-1`` or ``1`` the lower or upper end of their range."""
    return sum(stage.seconds * (1 + side * stage.spread) for stage in stages)


def longest_fit(
    stages: Sequence[Stage], seconds: float, max_epochs: int, multiple: int = 1, least: int = 1
) -> tuple[int, bool]:
    """How many epochs fit into a time.

    Args:
        stages (Sequence[Stage]): Of a run of ``max_epochs``.
        seconds (float): All that there is.
        max_epochs (int): What the numbers of the stages that grow belong to.
        multiple (int): Epochs that the run cannot do one without the other. Defaults to 1.
        least (int): Epochs that it cannot do without. Defaults to 1.

    Returns:
        tuple[int, bool]: Epochs, ``multiple`` and ``least`` at least, and whether they fit.

    >>> longest_fit([Stage('training', 'steps', 100, 6, grows=True)], 3600, 10)
    (60, True)
    """
    growing = sum(stage.seconds for stage in stages if stage.grows) / max_epochs
    rest = seconds - sum(stage.seconds for stage in stages if not stage.grows)
    if growing <= 0:
        raise ValueError('nothing of this run goes with max_epochs')
    turns = math.floor(rest / growing / multiple + 1e-9)
    fewest = math.ceil(least / multiple)
    return max(turns, fewest) * multiple, turns >= fewest


def share_to_time(run: Callable[[float], T], images: int) -> tuple[T, float]:
    """Time something on as large a share of its images as :data:`PROBE_SECONDS` allow.

    Args:
        run (Callable): Called with a share, 0 to 1; returns what is wanted of that call.
        images (int): What the whole is, for a first share of :data:`FIRST_IMAGES`.

    Returns:
        tuple: What the last call returned, and the share that it had.
    """
    share = min(1.0, FIRST_IMAGES / max(images, 1))
    start = perf_counter()
    found = run(share)
    larger = min(1.0, share * PROBE_SECONDS / max(perf_counter() - start, 1e-9))
    if larger > 2 * share:
        share, found = larger, run(larger)
    return found, share
