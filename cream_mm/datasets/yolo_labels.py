"""Where the label files of a YOLO set lie: one for each image."""

import os
from collections.abc import Sequence

from ..files import read_bytes, read_text, some_of
from .box_set import BoxNotes
from .set_kind import LABEL_ROW
from .system_entries import is_system

MAX_MISSING = 0.5  # share of a split's images that may have no label file
PICTURES = ('images', 'jpegimages', 'obj_train_data')  # whose labels may lie in a "labels"


class Labels:
    """Label files of a set: where that of an image lies, and which are of none."""

    def __init__(self, root: str):
        self.root = os.path.abspath(root)
        self._listed: dict[str, dict[str, str]] = {}  # by folder: name without extension -> path
        self._images: dict[str, str] = {}  # by label file
        self._shared: list[str] = []

    def path_of(self, image: str) -> str | None:
        """The label file of an image: in a folder ``labels`` for ``images``, or beside it."""
        folder, base = os.path.split(os.path.abspath(image))
        stem = os.path.splitext(base)[0]
        found = (self._list(place).get(stem) for place in self.places(folder))
        return next(filter(None, found), None)

    def find(self, image: str) -> str | None:
        """As :meth:`path_of`; from now on the file is taken."""
        path = self.path_of(image)
        if path is not None and self._images.setdefault(path, image) != image:
            self._shared.append(path)
        return path

    def places(self, folder: str) -> list[str]:
        """Folders where labels of a folder's images may lie, the likely one first."""
        parts = os.path.abspath(folder).split(os.sep)
        found = [folder]
        for i in range(len(parts) - 1, 0, -1):
            if parts[i].lower() in PICTURES:  # the last one: the set may lie in another
                names = ('Labels', 'labels') if parts[i] == 'Images' else ('labels', 'Labels')
                found = [os.sep.join([*parts[:i], n, *parts[i + 1 :]]) for n in names] + found
                break
        below = os.path.relpath(folder, self.root)
        if not below.startswith(os.pardir):
            found.append(os.path.normpath(os.path.join(self.root, 'labels', below)))
        return list(dict.fromkeys(found))

    def elsewhere(self, image: str) -> str | None:
        """A folder below the root with a text file of an image's name, where none is looked for."""
        name = os.path.splitext(os.path.basename(image))[0]
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(f for f in folders if not is_system(f))
            if any(os.path.splitext(f) == (name, '.txt') for f in files):
                return folder
        return None

    def count_odd(self, root: str, notes: BoxNotes) -> None:
        """Note label files of several images, and of none."""
        for path in self._shared:
            notes.add('label files of two images', 'taken for both', os.path.relpath(path, root))
        for folder in sorted({os.path.dirname(path) for path in self._images}):
            for path in self._list(folder).values():
                if path not in self._images and LABEL_ROW.fullmatch(first_line(path)):
                    example = os.path.relpath(path, root)
                    notes.add('label files without an image of the set', 'passed over', example)

    def _list(self, folder: str) -> dict[str, str]:
        if folder not in self._listed:
            self._listed[folder] = {
                stem: os.path.join(folder, name) for name in names_in(folder)
                for stem, extension in [os.path.splitext(name)] if extension.lower() == '.txt'
            }  # fmt: skip
        return self._listed[folder]


def check_missing(
    root: str,
    split: str,
    paths: Sequence[str],
    found: Sequence[str | None],
    labels: Labels,
    notes: BoxNotes,
) -> None:
    """Images without a label file show no object, if they are few.

    Raises:
        ValueError: If they are many; with the folders that were looked in.
    """
    missing = [path for path, label in zip(paths, found) if label is None]
    if len(missing) > MAX_MISSING * len(paths):
        folders = {os.path.dirname(path) for path in missing}
        places = dict.fromkeys(
            place for folder in sorted(folders) for place in labels.places(folder)
        )
        there = labels.elsewhere(missing[0])
        raise ValueError(
            f'{root}: {len(missing)} of {len(paths)} images of {split} have no label file, among '
            f'them {missing[0]}. Looked in {some_of(list(places))}. '
            + (f'There is one of that name in {there}: move the folder. ' if there else '')
            + 'An image without objects has an empty file'
        )
    for path in missing:
        notes.add('images without a label file', 'taken as background', os.path.relpath(path, root))


def names_in(folder: str) -> list[str]:
    """Sorted names of what is in a folder; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def first_line(path: str) -> str:
    """The first line of a text that is not blank; '' if it cannot be read."""
    return text_of(path).lstrip().split('\n', 1)[0].strip()


def text_of(path: str) -> str:
    """The text of a file, to tell what it is; '' if it cannot be read.

    Letters of another encoding than UTF-8 are replaced: who reads the file itself says so.
    """
    try:
        return read_text(path)
    except ValueError:
        pass
    except OSError:
        return ''
    try:
        return read_bytes(path).decode(errors='replace')
    except (OSError, ValueError):  # too large, or no file
        return ''
