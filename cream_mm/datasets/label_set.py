"""Images with one label or several, as a table of labels names them."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files import say_once
from .folder_listing import TEST_NAMES, TRAIN_NAMES, VAL_NAMES

ALL = 'all'  # the one split of a set without any


class LabelledImage(NamedTuple):
    """One image of a set."""

    path: str  # below the set's root, '/' between folders
    labels: tuple[int, ...]  # indices of `LabelSet.classes`, in their order; several, one or none


@dataclass
class LabelSet:
    """What a table of labels says, its images found.

    Attributes:
        root (str): The folder that images lie below.
        tables (list[str]): The files that were read.
        classes (list[str]): Of all splits, in the order of the labels.
        splits (dict[str, list[LabelledImage]]): 'train', 'val', 'test'; 'all' where the set has
            no splits.
        is_multi (bool): Whether an image may have several labels, or none.
        notes (list[str]): What was mended or passed over, a line each.
    """

    root: str
    tables: list[str]
    classes: list[str]
    splits: dict[str, list[LabelledImage]]
    is_multi: bool = False
    notes: list[str] = field(default_factory=list)

    def find(self, asked: str) -> str:
        """The split that ``asked`` names, else the one that stands for it; else ``asked``.

        For ``val`` that is one of the others but training. A set without splits is all 'train'.
        """
        if self.has(asked):
            return asked
        groups = (TRAIN_NAMES, TEST_NAMES, VAL_NAMES)
        names = next((group for group in groups if asked.lower() in group), ())
        return next((name for name in names if self.has(name)), asked)

    def names(self) -> list[str]:
        """Of the splits."""
        return ['train'] if ALL in self.splits else list(self.splits)

    def has(self, split: str) -> bool:
        """Whether there is such a split."""
        return split in self.names()

    def images(self, split: str) -> list[LabelledImage]:
        """Of a split; none if it is not there."""
        return self.splits.get(ALL if ALL in self.splits and split == 'train' else split, [])

    def classes_of(self, split: str) -> list[str]:
        """Classes that images of a split have, in the order of the labels."""
        found = {label for image in self.images(split) for label in image.labels}
        return [self.classes[label] for label in sorted(found)]

    def files(self, split: str) -> dict[str, list[str]]:
        """Paths of a split's images by class, sorted.

        An image of several labels stands with its rarest one, so that a share of each class that
        is held out has images of all; one without any, under ''. Classes that are no image's
        rarest have no entry.
        """
        images = self.images(split)
        counts = Counter(label for image in images for label in image.labels)
        found: dict[str, list[str]] = {}
        for image in images:
            rarest = min(image.labels, key=lambda label: (counts[label], label), default=None)
            name = '' if rarest is None else self.classes[rarest]
            found.setdefault(name, []).append(image.path)
        return {
            name: sorted(found[name], key=_parts) for name in [*self.classes, ''] if name in found
        }

    def where(self, split: str) -> str:
        """A split in words: ``data/pets/labels.csv (val)``."""
        tables = ', '.join(self.tables[:3]) + (', ...' if len(self.tables) > 3 else '')
        return tables if ALL in self.splits else f'{tables} ({split})'

    def path(self, split: str, name: str, file: str) -> Path:
        """Where an image of :meth:`files` lies."""
        return Path(self.root, file)

    def missing(self, split: str) -> str:
        """That a split is not there."""
        return f'{self.where("train")}: no split {split!r}; there is {", ".join(self.names())}'

    def no_validation(self) -> tuple[str, str]:
        """That there is none to validate on, and how to choose one."""
        return (
            f'{", ".join(self.tables)} names no images to validate on',
            'write a column split with train and val',
        )

    def say(self) -> None:
        """Log the notes, each once in a process."""
        for note in self.notes:
            say_once(note, logging.WARNING)


def _parts(path: str) -> list[str]:
    return path.split('/')


def root_of(place: str | os.PathLike) -> str:
    """The folder that images lie below: that of a table, or the folder itself."""
    place = os.fspath(place)
    return os.path.dirname(place) or '.' if os.path.isfile(place) else place
