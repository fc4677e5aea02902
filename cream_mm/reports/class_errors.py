"""What a classifier takes for what: accuracy by class, a confusion matrix, some wrong images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files import shorten
from ..files.errors_file import ERRORS_FILE, ERRORS_FORMAT
from .formats import wilson_interval
from .optional_file import read_optional
from .thumbnail import thumbnail

MAX_CLASSES = 10_000
MAX_MATRIX = 24  # classes of a matrix that still can be read; of more, those with the most errors
MAX_ROWS = 40  # classes of the table, the worst first
MAX_PAIRS = 12
MAX_PICTURES, PER_PAIR = 18, 2
SIDE = 160  # pixels of a picture


class Cell(NamedTuple):
    """Of the matrix: how many images, and which share of their class, 0 to 1."""

    number: int
    share: float


class ClassErrors:
    """The errors of one classifier, ready to be written on a page.

    Args:
        classes (Sequence[str]): Names by label.
        counts (ndarray): (classes, classes) integers, images of a label (rows) by what they were
            taken for (columns).
        wrong (Sequence[dict]): Wrong images: ``path, label, predicted, score``.
        images, weights (str): Of which images and weights, as text.

    Attributes:
        left_out (list[str]): A sentence for each thing that is not shown.
    """

    def __init__(
        self,
        classes: Sequence[str],
        counts: np.ndarray,
        wrong: Sequence[dict] = (),
        *,
        images: str = '',
        weights: str = '',
    ):
        self.classes, self.counts = [shorten(name, 40) for name in classes], counts
        self.images, self.weights = images, weights
        self.num_images, self.num_right = int(counts.sum()), int(np.trace(counts))
        self.left_out: list[str] = []
        self._wrong = wrong

    @property
    def top1_pct(self) -> float:
        """Share of the images that are right, in percent."""
        return 100 * self.num_right / self.num_images if self.num_images else 0.0

    @property
    def mean_pct(self) -> float:
        """Mean of the classes' accuracies, in percent: each counts alike, however rare it is."""
        totals = self.counts.sum(axis=1)
        there = totals > 0
        return (
            float(100 * np.mean(np.diag(self.counts)[there] / totals[there])) if any(there) else 0.0
        )

    def rows(self) -> list[dict]:
        """A row for each class with images, the worst first, at most ``MAX_ROWS``.

        Each has ``name``, ``number`` of images, ``pct`` that are right with the ends ``low`` and
        ``high`` of its 95 % interval, and ``taken_for``: the class that it is most often taken
        for, ``(name, images)`` or None.
        """
        rows = []
        for k in np.flatnonzero(self.counts.sum(axis=1)):
            number, right = int(self.counts[k].sum()), int(self.counts[k, k])
            others = self.counts[k].copy()
            others[k] = 0
            most = int(others.argmax())
            low, high = wilson_interval(100 * right / number, number)
            rows.append(
                dict(
                    name=self.classes[k],
                    number=number,
                    pct=100 * right / number,
                    low=low,
                    high=high,
                    taken_for=(self.classes[most], int(others[most])) if others[most] else None,
                )
            )
        rows.sort(key=lambda row: (row['pct'], -row['number']))
        if len(rows) > MAX_ROWS:
            best = rows[MAX_ROWS]['pct']
            self._leave_out(
                f'{len(rows) - MAX_ROWS} classes with at least {best:.1f} % are not in the table'
            )
        return rows[:MAX_ROWS]

    def matrix(self) -> dict:
        """Names of the shown classes, and for each a row of cells, with one for all other classes.

        Of more than ``MAX_MATRIX`` classes those are shown that have the most errors, as the label
        or as what was taken for it, in the order of the labels.
        """
        shown = np.arange(len(self.classes))
        if len(shown) > MAX_MATRIX:
            errors = self.counts.sum(axis=0) + self.counts.sum(axis=1) - 2 * np.diag(self.counts)
            shown = np.sort(np.argsort(-errors, kind='stable')[:MAX_MATRIX])
            self._leave_out(
                f'the matrix has the {MAX_MATRIX} of {len(self.classes)} classes with the most '
                'errors'
            )
        totals = self.counts.sum(axis=1)
        rows = []
        for k in shown:
            numbers = [int(n) for n in self.counts[k, shown]]
            if len(shown) < len(self.classes):
                numbers.append(int(totals[k]) - sum(numbers))
            rows.append([Cell(n, n / max(1, int(totals[k]))) for n in numbers])
        return dict(
            names=[self.classes[k] for k in shown],
            rows=rows,
            has_others=len(shown) < len(self.classes),
        )

    def pairs(self) -> list[dict]:
        """The commonest confusions: ``label``, ``predicted`` and how many ``number`` ``of``."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind='stable')[:MAX_PAIRS]
        return [
            dict(
                label=self.classes[k],
                predicted=self.classes[j],
                number=int(wrong[k, j]),
                of=int(self.counts[k].sum()),
            )
            for k, j in (np.unravel_index(place, wrong.shape) for place in order)
            if wrong[k, j]
        ]

    def pictures(self) -> list[dict]:
        """Wrong images, the most certain first: ``uri, name, label, predicted, pct``.

        Of two classes that are confused often a few are shown, so that others are seen as well.
        """
        shown, seen, missing = [], {}, 0
        for image in self._wrong:
            pair = image['label'], image['predicted']
            if seen.get(pair, 0) == PER_PAIR or len(shown) == MAX_PICTURES:
                continue
            uri = thumbnail(image['path'], SIDE)
            if uri is None:
                missing += 1
                continue
            seen[pair] = seen.get(pair, 0) + 1
            shown.append(
                dict(
                    uri=uri,
                    name=shorten(os.path.basename(image['path']), 60),
                    label=self.classes[pair[0]],
                    predicted=self.classes[pair[1]],
                    pct=100 * image['score'],
                )
            )
        if missing:
            self._leave_out(f'{missing} wrong images cannot be read any more')
        return shown

    def _leave_out(self, text: str) -> None:
        if text not in self.left_out:
            self.left_out.append(text)


def read_class_errors(work_dir: str | Path) -> ClassErrors | None:
    """``errors.json`` of a training or a test; None without one.

    Raises:
        OSError, ValueError: If it cannot be read, or holds what no run writes.
    """
    path = Path(work_dir, ERRORS_FILE)
    content = read_optional(path, ERRORS_FORMAT)
    if content is None:
        return None
    try:
        classes = [_text(name) for name in content['classes']]
        if not 0 < len(classes) <= MAX_CLASSES:
            raise ValueError(f'{len(classes)} classes')
        counts = np.zeros((len(classes), len(classes)), np.int64)
        for label, predicted, number in content['counts']:
            place = _whole(label, len(classes)), _whole(predicted, len(classes))
            counts[place] += _whole(number, 10**12)
        wrong = [
            dict(
                path=_text(image['path']),
                label=_whole(image['label'], len(classes)),
                predicted=_whole(image['predicted'], len(classes)),
                score=min(1.0, max(0.0, float(image['score']))),
            )
            for image in content['wrong']
        ]
        about = {key: shorten(_text(content.get(key, '')), 300) for key in ('images', 'weights')}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} holds what no run writes ({type(error).__name__}: '
            f'{shorten(str(error))}). Remove it: "python tools/test.py {work_dir}" writes one into '
            'a folder of its own'
        ) from None
    return ClassErrors(classes, counts, wrong, **about)


def _whole(value: object, end: int) -> int:
    if type(value) is not int or not 0 <= value < end:
        raise ValueError(repr(value))
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(repr(value))
    return value
