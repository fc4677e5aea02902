"""Any kind of data set that is read here, as one form: pictures with labels or boxes, by split."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..files import some_of
from .box_set import BOX_KINDS, Box, read_box_set
from .coco_file import CocoFile, read_coco
from .coco_layout import find_annotations, find_pictures, json_files
from .coco_pictures import Folder
from .folder_listing import (
    NAMES_OF_SPLITS,
    PassedOver,
    folders_in,
    list_classes,
    list_images,
    no_image_in,
)
from .packed_images import PackedImages, is_packed
from .set_kind import KINDS, find_kind

ALL = 'all'  # the split of a set that has none


class Picture(NamedTuple):
    """One picture of a set.

    Attributes:
        path (str): Of its file.
        name (str): The same below the root of the set, for people.
        labels (tuple[int, ...]): Places of its classes; with boxes, one for each box.
        boxes (tuple[Box, ...], optional): None where the set has no boxes.
    """

    path: str
    name: str
    labels: tuple[int, ...] = ()
    boxes: tuple[Box, ...] | None = None


@dataclass
class DataSource:
    """A set as it was read.

    Attributes:
        root (str): Its folder.
        kind (str): One of :data:`set_kind.KINDS`.
        evidence (str): What it was known by, in words.
        classes (list[str]): Names, in the order of the labels.
        splits (dict[str, list[Picture]]): Pictures of 'train', 'val', 'test', as far as there are
            such; of a set without splits, 'all'.
        notes (list[str]): Lines of its reader.
        errors (list[str]): What a training would refuse.
        has_files (bool): Whether pictures are files of their own.
        is_multi (bool): Whether a picture may have several labels, and has no boxes.
    """

    root: str
    kind: str
    evidence: str = ''
    classes: list[str] = field(default_factory=list)
    splits: dict[str, list[Picture]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    has_files: bool = True
    is_multi: bool = False

    @property
    def pictures(self) -> list[Picture]:
        """All of them, split after split."""
        return [picture for pictures in self.splits.values() for picture in pictures]

    @property
    def split_names(self) -> list[str]:
        """The split of each of :attr:`pictures`."""
        return [name for name, pictures in self.splits.items() for _ in pictures]

    @property
    def has_boxes(self) -> bool:
        """Whether it is for detection."""
        return any(p.boxes is not None for pictures in self.splits.values() for p in pictures)


def open_source(root: str | os.PathLike, kind: str | None = None) -> DataSource:
    """Read a set of any kind.

    Args:
        root (str): Its folder.
        kind (str, optional): One of :data:`set_kind.KINDS`. Defaults to None: what
            :func:`find_kind` finds.

    Raises:
        FileNotFoundError: If there is no such folder, or nothing in it that is a set.
        OSError, ValueError: Of the reader, for what it refuses.
    """
    root = os.fspath(root)
    if not os.path.isdir(root):
        what = 'is a file, not a folder' if os.path.exists(root) else 'is not there'
        raise FileNotFoundError(f'{root} {what}. Name the folder of a data set')
    if kind is not None and kind not in KINDS:
        raise ValueError(f'kind is one of {", ".join(KINDS)}; got {kind!r}')
    found = find_kind(root)
    if kind is None and found is None:
        raise FileNotFoundError(
            f'{root} holds no images, and no set of a kind that is known: {", ".join(KINDS)}'
        )
    kind = kind or found.name
    source = _READERS[kind](root)
    source.kind = kind
    if found is not None and found.name == kind:
        source.evidence = found.evidence
        if found.also:
            source.notes.append(
                f'it could also be read as {some_of(found.also)}: --kind {found.also[0]}'
            )
    else:
        source.evidence = f'{kind}, as asked for'
    return source


def _picture(root: str, path: str, labels: tuple = (), boxes: tuple | None = None) -> Picture:
    return Picture(path, os.path.relpath(path, root), labels, boxes)


# ---- pictures without boxes ----------------------------------------------------------------------


def _split_folders(root: str) -> dict[str, str]:
    """The folder of each split that lies in a folder."""
    folders = folders_in(root)
    found = {}
    for split, names in NAMES_OF_SPLITS.items():
        places = [f for name in names for f in folders if f.lower() == name]
        if places:
            found[split] = places[0]
    return found


def _read_folders(root: str) -> DataSource:
    folders = _split_folders(root) or {ALL: '.'}
    source, listed = DataSource(root, ''), {}
    for split, folder in folders.items():
        place, passed = Path(root, folder), PassedOver()
        if is_packed(place):
            return _read_packed(root)
        names = list_classes(root, folder, passed)
        listed[split] = {name: list_images(place / name, None, passed, name) for name in names}
        source.notes += passed.lines(place)
    first = next(iter(folders))
    source.classes = list(listed[first])
    for split, files in listed.items():
        place = os.path.normpath(os.path.join(root, folders[split]))
        if empty := [Path(place, name) for name, images in files.items() if not images]:
            source.errors.append(no_image_in(empty))
        _add_classes(source, files, f'{root}/{folders[first]}', place)
        source.splits[split] = [
            _picture(root, os.path.join(place, name, image), labels)
            for name, images in files.items()
            for labels in [(source.classes.index(name),)]
            for image in images
        ]
    return source


def _add_classes(source: DataSource, names: Iterable[str], first: str, other: str) -> None:
    """Classes of another split that the first has not: counted, and an error."""
    more = [name for name in names if name not in source.classes]
    if more:
        source.classes += more
        source.errors.append(
            f'{other} has classes that {first} has not: {some_of(more)}. Names have to agree '
            'letter by letter, case included: rename them, or put images of them into the training '
            'folder too'
        )


def _read_packed(root: str) -> DataSource:
    folders = _split_folders(root) or {ALL: '.'}
    source = DataSource(root, '', has_files=False)
    for split, folder in folders.items():
        files = PackedImages(Path(root, folder)).files
        source.classes = source.classes or sorted(files)
        _add_classes(source, sorted(files), next(iter(folders.values())), folder)
        source.splits[split] = [
            Picture('', os.path.join(folder, name, image), labels)
            for name, images in files.items()
            for labels in [(source.classes.index(name),)]
            for image in images
        ]
    return source


def _read_images(root: str) -> DataSource:
    source, passed = DataSource(root, ''), PassedOver()
    for split, folder in (_split_folders(root) or {ALL: '.'}).items():
        place = os.path.normpath(os.path.join(root, folder))
        source.splits[split] = [
            _picture(root, os.path.join(place, name)) for name in list_images(place, None, passed)
        ]
    source.notes += passed.lines(root)
    return source


def _read_table(root: str) -> DataSource:
    from .label_table import read_label_table

    table = read_label_table(root)
    source = DataSource(root, '', classes=list(table.classes), notes=list(table.notes))
    source.is_multi = table.is_multi
    for split, images in table.splits.items():
        source.splits[split] = [
            _picture(root, os.path.join(table.root, image.path), tuple(image.labels))
            for image in images
        ]
    return source


# ---- pictures with boxes -------------------------------------------------------------------------


def _with_boxes(root: str, path: str, boxes: Sequence[Box]) -> Picture:
    return _picture(root, path, tuple(box.label for box in boxes), tuple(boxes))


def _read_boxes(kind: str, root: str) -> DataSource:
    box_set = read_box_set(kind, root)
    source = DataSource(root, '', classes=list(box_set.classes), notes=list(box_set.notes))
    for split, images in box_set.splits.items():
        source.splits[split] = [
            _with_boxes(root, os.path.join(box_set.root, image.path), image.boxes)
            for image in images
        ]
    return source


def _read_coco(root: str) -> DataSource:
    """The COCO files of each split, or the only one."""
    found = {split: find_annotations(root, names) for split, names in NAMES_OF_SPLITS.items()}
    files = {split: path for split, path in found.items() if path}
    if not files:
        paths = json_files(root)
        if len(paths) != 1:
            raise FileNotFoundError(
                f'{root} has {len(paths)} JSON files, none of which is named as train, val or '
                f'test: {some_of(paths)}. Rename them, as annotations/instances_train.json'
            )
        files = {ALL: paths[0]}
    source, taken = DataSource(root, ''), []
    for split, path in files.items():
        file, folder = _open_coco(root, path, split, taken)
        taken.append(folder)
        source.notes += file.notes
        source.classes = source.classes or file.classes
        used = [name for name in file.classes if file.counts[name]]
        _add_classes(source, used, next(iter(files.values())), path)
        source.splits[split] = list(_coco_pictures(file, folder, source))
    return source


def _open_coco(root: str, path: str, split: str, taken: Sequence[str]) -> tuple[CocoFile, str]:
    """An annotation file, and the folder of its pictures."""
    whole = os.path.join(root, path)
    names = [image.get('file_name', '') for image in read_coco(whole).content['images']]
    usual = (os.path.join(root, name) for name in (f'{split}2017', 'images', ''))
    folder = next((f for f in usual if names and all(map(Folder(f).has, names))), None)
    words = NAMES_OF_SPLITS.get(split, ())
    folder = folder or find_pictures(names, root, path, words, taken)
    folder = folder or find_pictures(names, root, path, words, ())  # one folder for all splits
    if folder is None:
        raise FileNotFoundError(
            f'{whole}: no folder below {root} holds its {len(names)} pictures, {some_of(names, 3)}'
        )
    return read_coco(whole, folder), folder


def _coco_pictures(file: CocoFile, folder: str, source: DataSource) -> Iterable[Picture]:
    places = {name: i for i, name in enumerate(source.classes)}
    labels = {c['id']: places.get(c['name']) for c in file.content['categories']}
    boxes: dict = {}
    for a in file.content['annotations']:
        if labels[a['category_id']] is not None:
            box = Box(labels[a['category_id']], *a['bbox'], bool(a['iscrowd']))
            boxes.setdefault(a['image_id'], []).append(box)
    for image in file.content['images']:
        path = os.path.join(folder, image['file_name'])
        yield _with_boxes(source.root, path, boxes.get(image['id'], ()))


_READERS: dict[str, Callable[[str], DataSource]] = dict(
    coco=_read_coco, packed=_read_packed, label_table=_read_table, class_folders=_read_folders,
    images=_read_images, **{kind: partial(_read_boxes, kind) for kind in BOX_KINDS},
)  # fmt: skip
