"""Images with one label or several, as a table of labels names them."""

import functools
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from ..files import say_early
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

        For ``train`` that is all of a set without splits, for ``val`` one of the others.
        """
        if asked in self.splits:
            return asked
        groups = (TRAIN_NAMES, TEST_NAMES, VAL_NAMES)
        names = next((group for group in groups if asked.lower() in group), ())
        found = next((name for name in names if name in self.splits), asked)
        return ALL if found in TRAIN_NAMES and ALL in self.splits else found

    def classes_of(self, split: str) -> list[str]:
        """Classes that images of a split have, in the order of the labels."""
        found = {label for image in self.splits.get(split, ()) for label in image.labels}
        return [self.classes[label] for label in sorted(found)]

    def files(self, split: str) -> dict[str, list[str]]:
        """Paths of a split's images by class, as they stand in the table.

        An image of several labels stands with its rarest one, so that a share of each class that
        is held out has images of all; one without any, under ''. Each class of the split has an
        entry.
        """
        images = self.splits.get(split, ())
        counts = Counter(label for image in images for label in image.labels)
        found: dict[str, list[str]] = {name: [] for name in self.classes_of(split)}
        for image in images:
            rarest = min(image.labels, key=lambda label: (counts[label], label), default=None)
            name = '' if rarest is None else self.classes[rarest]
            found.setdefault(name, []).append(image.path)
        return found

    def where(self, split: str) -> str:
        """A split in words: ``data/pets/labels.csv (train)``."""
        tables = ', '.join(self.tables[:3]) + (', ...' if len(self.tables) > 3 else '')
        return tables if split == ALL else f'{tables} ({split})'

    def say(self) -> None:
        """Log the notes, each once in a process."""
        for note in self.notes:
            _say_once(note)


@functools.cache
def _say_once(note: str) -> None:
    say_early(note, logging.WARNING)


def root_of(place: str | os.PathLike) -> str:
    """The folder that images lie below: that of a table, or the folder itself."""
    place = os.fspath(place)
    return os.path.dirname(place) or '.' if os.path.isfile(place) else place
