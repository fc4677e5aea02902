"""The one way to read an annotation file in COCO's form: mended, once, the same for all who ask.

What is trained on and what it is measured against must agree in ids, boxes and names, so that the
data set, the metric and the checks of a config all read it here.
"""

import os
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from ..files.read import encoding_of, read_json, shorten
from ..files.regular import check_regular, open_regular
from .coco_mend import group_names, mend_coco
from .coco_notes import Notes
from .coco_pictures import Folder

MAX_COCO_BYTES = 8 * 2**30  # larger than anything else that is read
KEPT_BYTES = 64 * 2**20  # of files whose content is held for whoever asks next


@dataclass(eq=False)
class CocoFile:
    """An annotation file as it is read.

    Attributes:
        path (str): The file.
        content (dict): As :func:`mend_coco` leaves it. Shared: not to be changed.
        notes (list[str]): One line for each kind of thing that was mended.
    """

    path: str
    content: dict
    notes: list[str]

    def __post_init__(self):
        self._counts: Counter | None = None
        self._groups: set[str] | None = None

    @property
    def names(self) -> list[str]:
        """Of its categories, in the order of the file."""
        return [category['name'] for category in self.content['categories']]

    @property
    def classes(self) -> list[str]:
        """Names of categories that are classes: not those that only hold others together."""
        if self._groups is None:
            self._groups = group_names(self.content['categories'], self.content['annotations'])
        return [name for name in self.names if name not in self._groups]

    @property
    def counts(self) -> Counter:
        """How many boxes each category has, by name."""
        if self._counts is None:
            by_id = Counter(a['category_id'] for a in self.content['annotations'])
            categories = self.content['categories']
            self._counts = Counter(
                {c['name']: by_id[c['id']] for c in categories if by_id[c['id']]}
            )
        return self._counts

    @property
    def ids(self) -> dict[str, int]:
        """Of its categories, by name."""
        return {category['name']: category['id'] for category in self.content['categories']}


def number_classes(ids: Mapping[str, int], classes: Sequence[str]) -> list[int]:
    """The category id of each class; one that a file does not list gets an id of its own.

    >>> number_classes({'cat': 7, 'dog': 3}, ['dog', 'emu', 'cat'])
    [3, 8, 7]
    """
    known, unused = dict(ids), max(ids.values(), default=0)
    for name in classes:
        if name not in known:
            unused += 1
            known[name] = unused
    return [known[name] for name in classes]


_read: WeakValueDictionary = WeakValueDictionary()  # what somebody still holds
_kept: OrderedDict = OrderedDict()  # key -> (CocoFile, bytes)
_folders: dict[str, str] = {}  # by a file's real path: where its pictures are


def read_coco(path: str | os.PathLike, folder: str | os.PathLike | None = None) -> CocoFile:
    """Read and mend an annotation file; within a process once, while the file stays as it is.

    Args:
        path (str): The file.
        folder (str, optional): Of its pictures. None takes the one that the file was last read
            with, as a metric does not know it; without any, pictures are not looked at, and sizes
            of images may be missing.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no annotation file, or holds what cannot be understood; names file and
            entry.
    """
    path = os.fspath(path)
    status = check_regular(path)
    real = os.path.realpath(path)
    folder = _folders.get(real) if folder is None else os.fspath(folder)
    if folder is not None:
        _folders[real] = folder
    key = (real, status.st_size, status.st_mtime_ns, folder and os.path.abspath(folder))
    found = _read.get(key)
    if found is None:
        found = _read[key] = _mended(path, folder)
        _keep(key, found, status.st_size)
    return found


def _keep(key: tuple, file: CocoFile, size: int) -> None:
    """Hold small files; of a large one, nobody should have to carry the content all along."""
    _kept[key] = (file, size)
    while _kept and sum(size for _, size in _kept.values()) > KEPT_BYTES:
        _kept.popitem(last=False)


def _mended(path: str, folder: str | None) -> CocoFile:
    notes = Notes(path)
    with open_regular(path, MAX_COCO_BYTES) as file:
        if encoding_of(file.read(4)) != 'utf-8':
            notes.add('encoding')
    # NaN is read, so that the message can name the entry that it stands in.
    content = read_json(path, finite=False, max_bytes=MAX_COCO_BYTES, max_values=None)
    try:
        content = mend_coco(content, notes, None if folder is None else Folder(folder))
    except RecursionError:
        raise ValueError(f'{path} is not a COCO annotation file: it nests too deeply') from None
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    return CocoFile(path, content, notes.lines())


def left_out(file: CocoFile, classes: Sequence[str]) -> str | None:
    """A line about boxes of categories that are none of ``classes``; None without any."""
    others = {name: n for name, n in file.counts.items() if name not in set(classes)}
    if not others:
        return None
    shown = ', '.join(f'{shorten(name, 40)} {n}' for name, n in list(others.items())[:5])
    tail = ', ...' if len(others) > 5 else ''
    return (
        f'{file.path}: boxes of categories that are no class of the config: '
        f'{sum(others.values())} of {len(file.content["annotations"])} annotations, left out '
        f'({shown}{tail})'
    )


def is_local(backend_args: Mapping | None) -> bool:
    """Whether files are on this machine, where they can be looked at."""
    return not backend_args or backend_args.get('backend') in ('local', 'disk', 'LocalBackend')
