"""Writes a split of a set so that configs read it: as lists beside the set, or as a copy."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import write_json, write_whole
from .box_set import BoxImage, BoxSet, coco_content
from .data_check import DataCheck
from .data_source import Picture
from .system_entries import is_system

MARKER = 'split.json'  # says what a folder is, so that the same command may write it again
FORMAT = 'cream_mm.split/1'
_SEPARATOR = '|'  # between the labels of an image
Parts = Mapping[str, Sequence[int]]


def write_lists(check: DataCheck, parts: Parts, folder: str | os.PathLike) -> Path:
    """Write a split as lists, with links to the folder of the set, which is only read.

    ``folder`` is then a ``data_root``: of images with labels ``train.csv`` and ``val.csv``, of
    boxes ``annotations/instances_train2017.json`` and so on, each with its pictures in a link.

    Args:
        check (DataCheck): Of the set.
        parts (dict[str, list[int]]): Split -> positions in the set.
        folder (str): Where to; one that this function has written before is written anew.

    Raises:
        FileExistsError: If there is something else.
        OSError: If files or links cannot be written.
        ValueError: If the pictures are no files of their own.
    """
    folder, source = Path(folder), check.source
    _check_files(check)
    base = _base(check, parts)
    if folder.resolve().is_relative_to(base):
        raise ValueError(f'{folder} lies in {base}, which it would link to: name another place')
    _begin(folder, parts, source.root)
    names = [os.path.relpath(os.path.abspath(p.path), base) for p in source.pictures]
    if source.has_boxes:
        links = [f'{split}2017' for split in parts]
        for split, places in parts.items():
            _write_coco(check, split, places, folder, names)
    else:
        links = ['images']
        for split, places in parts.items():
            rows = [(f'images/{names[i]}', source.pictures[i]) for i in places]
            _write_table(check, folder / f'{split}.csv', rows)
    for link in links:
        os.symlink(base, folder / link, target_is_directory=True)
    return folder


def write_copy(check: DataCheck, parts: Parts, folder: str | os.PathLike) -> Path:
    """Copy a set into a new folder in the form in which configs read it, split.

    Images with one label go to ``train/<class>/``, those with several to ``images`` beside
    ``train.csv``, those with boxes to ``train2017`` beside ``annotations``; so of ``val``.

    Args:
        check (DataCheck): Of the set.
        parts (dict[str, list[int]]): Split -> positions in the set.
        folder (str): A new folder. It appears when it is complete.

    Raises:
        FileExistsError: If it is there.
        OSError: If files cannot be read or written.
        ValueError: If the pictures are no files of their own, or would not fit on the disk.
    """
    folder, source = Path(folder), check.source
    _check_files(check)
    if os.path.lexists(folder):
        raise FileExistsError(f'{folder} is there already; remove it, or name another with --to')
    _check_space(folder, [source.pictures[i].path for places in parts.values() for i in places])
    part = folder.with_name(f'{folder.name}.part')
    if os.path.lexists(part):
        shutil.rmtree(part)
    part.mkdir(parents=True)
    names = _plain_names(check, parts)
    in_folders = not source.has_boxes and not source.is_multi and _are_names(source.classes)
    for split, places in parts.items():
        rows = []
        for i in places:
            picture, name = source.pictures[i], names[i]
            if in_folders and picture.labels:
                below = Path(split, source.classes[picture.labels[0]], name)
            elif in_folders:
                continue
            else:
                below = Path(f'{split}2017' if source.has_boxes else 'images', name)
            target = part / below
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(picture.path, target)
            rows.append((below.as_posix(), picture))
        if source.has_boxes:
            _write_coco(check, split, places, part, names)
        elif not in_folders:
            _write_table(check, part / f'{split}.csv', rows)
    os.replace(part, folder)
    return folder


def _check_files(check: DataCheck) -> None:
    if not check.source.has_files:
        raise ValueError('packed images are no files: split the set that they were packed from')


def _base(check: DataCheck, parts: Parts) -> Path:
    """The folder that holds all pictures: the set's, or one above it."""
    root = Path(os.path.abspath(check.source.root))
    paths = [os.path.abspath(check.source.pictures[i].path) for p in parts.values() for i in p]
    if all(Path(path).is_relative_to(root) for path in paths):
        return root
    return Path(os.path.commonpath([root.resolve(), *paths]))


def _begin(folder: Path, parts: Parts, root: str) -> None:
    """An empty folder, or one whose lists and links of an earlier split are taken away."""
    if folder.is_dir() and any(not is_system(entry.name) for entry in folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise FileExistsError(f'{folder} is there already, and holds no split of this tool')
        for entry in folder.iterdir():
            if entry.is_symlink() or entry.suffix == '.csv':
                entry.unlink()
            elif entry.name == 'annotations' and entry.is_dir():
                shutil.rmtree(entry)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {split: len(places) for split, places in parts.items()}
    write_json(folder / MARKER, dict(format=FORMAT, root=os.path.abspath(root), images=counts))


def _plain_names(check: DataCheck, parts: Parts) -> dict[int, str]:
    """Names of the copies: those of the files where they are unique, else their path."""
    pictures, splits = check.source.pictures, check.source.split_names
    places = [i for part in parts.values() for i in part]
    labels = {i: pictures[i].labels[:1] if not check.source.has_boxes else () for i in places}
    names = {i: os.path.basename(pictures[i].path) for i in places}
    counts = Counter((labels[i], names[i].lower()) for i in places)
    if max(counts.values(), default=0) > 1:
        names = {i: f'{splits[i]}_{name}' for i, name in names.items()}
        counts = Counter((labels[i], names[i].lower()) for i in places)
    if max(counts.values(), default=0) > 1:
        names = {i: _flat(pictures[i]) for i in places}
    return names


def _flat(picture: Picture) -> str:
    parts = [part for part in Path(picture.name).parts if part not in ('..', '/')]
    return '_'.join(parts)


def _are_names(classes: Sequence[str]) -> bool:
    """Whether classes can be names of folders."""
    return not any(is_system(name) or set(name) & set('/\\\0:') or not name for name in classes)


def _check_space(folder: Path, paths: Sequence[str]) -> None:
    there = next(p for p in folder.absolute().parents if p.is_dir())
    needed, free = sum(map(os.path.getsize, paths)), shutil.disk_usage(there).free
    if needed > free:
        raise ValueError(
            f'{folder} would take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} are free; '
            '--apply lists copies no pictures'
        )


def _write_table(check: DataCheck, path: Path, rows: Sequence[tuple[str, Picture]]) -> None:
    text, classes = io.StringIO(), check.source.classes
    table = csv.writer(text, lineterminator='\n')
    table.writerow(('file', 'labels' if check.source.is_multi else 'label'))
    for name, picture in rows:
        if picture.labels or check.source.is_multi:
            table.writerow((name, _SEPARATOR.join(classes[k] for k in picture.labels)))
    write_whole(path, text.getvalue().encode())


def _write_coco(
    check: DataCheck, split: str, places: Sequence[int], folder: Path, names: Mapping | Sequence
) -> None:
    source, looks = check.source, check.looks
    images = [
        BoxImage(
            Path(names[i]).as_posix(), looks[i].width, looks[i].height,
            list(source.pictures[i].boxes or ()),
        )
        for i in places
    ]  # fmt: skip
    box_set = BoxSet(source.root, source.classes, {split: images})
    path = folder / 'annotations' / f'instances_{split}2017.json'
    write_json(path, coco_content(box_set, images))
