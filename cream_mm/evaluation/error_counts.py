"""Which classes a classifier takes for which others, and in what images."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..files.errors_file import ERRORS_FORMAT

MAX_WRONG = 300
"""Wrong images that are kept by name; all are counted."""


class Prediction(NamedTuple):
    """Of one image with one label."""

    path: str
    label: int
    predicted: int
    score: float  # probability of what is predicted, 0 to 1


def errors_content(predictions: Iterable[Prediction], classes: Sequence[str], **about: str) -> dict:
    """What ``errors.json`` holds.

    Args:
        predictions (Iterable[Prediction]): One for each image.
        classes (Sequence[str]): Names by label.
        **about (str): Of which images and weights, as text.

    Returns:
        dict: ``counts``: ``[label, predicted, images]``, those that are not zero, in order;
        ``wrong``: the wrong images, the most certain first, at most ``MAX_WRONG``.
    """
    predictions = list(predictions)
    counts = Counter((p.label, p.predicted) for p in predictions)
    wrong = heapq.nsmallest(
        MAX_WRONG,
        (p for p in predictions if p.label != p.predicted),
        key=lambda p: (-p.score, p.path),
    )
    return dict(
        format=ERRORS_FORMAT,
        **about,
        classes=list(classes),
        num_images=len(predictions),
        counts=[[*pair, counts[pair]] for pair in sorted(counts)],
        wrong=[p._asdict() for p in wrong],
    )
