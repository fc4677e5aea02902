"""Which files below a folder are tables of labels, and of which split each is."""

import os
import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path, PurePath
from typing import NamedTuple

from ..files import some_of
from ..files.read import read_start
from .folder_listing import TRAIN_NAMES, VAL_NAMES
from .image_index import is_image_name
from .label_columns import BOX_NAMES, find_columns, has_header, plain, split_name, split_rows
from .system_entries import is_system

EXTENSIONS = ('.csv', '.tsv', '.txt')  # the first goes before the others
MAX_ENTRIES = 20_000  # of one folder are looked at; a table may lie among as many images
MAX_FILES = 100  # of more in one folder, each is of one image: those are no tables
MAX_DEPTH, MAX_FOLDERS = 3, 100  # where names without extension are looked for
_HEAD_BYTES = 64 * 1024
# Folders of tables, and names that go before others where several tables have no split.
_FOLDERS = (
    'meta', 'metadata', 'annotations', 'annotation', 'annos', 'labels', 'label', 'splits', 'split',
    'lists', 'csv', 'data', 'info',
)  # fmt: skip
_USUAL = ('labels', 'label', 'annotations', 'data', 'metadata', 'images', 'list', 'index')
_NO_TABLES = re.compile(r'submission|readme|license|requirements|changelog', re.I)
_SPLITS = (*TRAIN_NAMES, *VAL_NAMES)


class Table(NamedTuple):
    """A file of labels."""

    path: Path
    split: str | None  # 'train', 'val' or 'test' by its name or its folder's


def find_tables(root: str | os.PathLike) -> tuple[list[Table], list[str]]:
    """The tables that make up a set: one for each split, or one for all.

    Returns:
        tuple[list[Table], list[str]]: None where there is none; a line on tables that are not
        read.

    Raises:
        ValueError: If there are several without a split in their name, and none is called usually.
    """
    tables = [Table(path, _split_of(path, Path(root))) for path in _candidates(Path(root))]
    tables = [table for table in tables if holds_labels(table.path)]
    by_split: dict[str | None, list[Table]] = {}
    for table in sorted(tables, key=lambda table: _rank(table.path, Path(root))):
        by_split.setdefault(table.split, []).append(table)
    whole = by_split.pop(None, [])
    if 'train' in by_split:
        taken = [found[0] for found in by_split.values()]
    else:
        usual = [table for table in whole if table.path.stem.lower() in _USUAL]
        if len(whole) > 1 and not usual:
            names = some_of([str(table.path) for table in whole])
            raise ValueError(
                f'{root} holds several tables of labels: {names}. Name one: '
                f'--cfg-options data_root={whole[0].path}'
            )
        taken = (usual or whole)[:1]
        # val.csv beside labels.csv is of the same set; alone there is nothing to train on.
        taken += [found[0] for found in by_split.values()] if taken else []
    left = [str(table.path) for table in tables if table not in taken]
    notes = []
    if left and taken:
        verb = 'is' if len(left) == 1 else 'are'
        notes.append(
            f'labels are read from {some_of([str(table.path) for table in taken])}; '
            f'{some_of(left)} {verb} not read'
        )
    order = ('train', None, 'val', 'test')
    return sorted(taken, key=lambda table: order.index(table.split)), notes


def holds_labels(path: str | os.PathLike) -> bool:
    """Whether a file is a table of labels, as far as its first rows tell; false of boxes."""
    try:
        text, is_whole = read_start(path, _HEAD_BYTES)
    except (OSError, ValueError):
        return False
    if not is_whole:
        text = text.rpartition('\n')[0]
    try:
        rows = split_rows(text, str(path))
    except ValueError:
        return False
    if not rows or max(len(row.fields) for row in rows) < 2:
        return False
    header = rows[0].fields if has_header(rows, is_image_name) else None
    if _has_boxes(header, [row.fields for row in rows[1:20]]):
        return False
    try:
        columns = find_columns(header, rows[header is not None :], is_image_name)
    except ValueError as error:
        return 'which column' in str(error) or 'could all be' in str(error)
    named = [row.fields[columns.image] for row in rows[1:] if len(row.fields) > columns.image]
    if sum(map(is_image_name, named)) * 2 >= len(named) > 0 or is_image_name(rows[0].fields[0]):
        return True
    return header is not None and _are_there(Path(path).parent, named)


def _has_boxes(header: list[str] | None, rows: Iterable[list[str]]) -> bool:
    if header is not None:
        return len({plain(name) for name in header} & {*BOX_NAMES}) > 1 or 'bbox' in map(
            plain, header
        )
    corners = re.compile(r'-?\d+(\.\d+)?')
    numbers = [[bool(corners.fullmatch(field)) for field in row[1:5]] for row in rows if row[4:]]
    return any(map(all, numbers)) and not any(
        {*row[1:5]} <= {'0', '1', '0.0', '1.0'} for row in rows if row[4:]
    )


def _are_there(root: Path, names: Iterable[str]) -> bool:
    """Whether some images below a folder have these names; looks at its outer folders alone."""
    wanted = {PurePath(name.replace('\\', '/')).name for name in names if name}
    level = [root]
    for _ in range(MAX_DEPTH + 1):
        below = []
        for entry in (entry for place in level for entry in _entries(place)):
            stem = os.path.splitext(entry.name)[0]
            if stem in wanted and is_image_name(entry.name):
                return True
            if _is(entry.is_dir) and not is_system(entry.name):
                below.append(Path(entry.path))
        level = below[:MAX_FOLDERS]
    return False


def _candidates(root: Path) -> list[Path]:
    places = [root]
    for entry in _entries(root):
        if _is(entry.is_dir) and entry.name.lower() in (*_FOLDERS, *_SPLITS):
            places.append(Path(entry.path))
    found = []
    for place in places:
        files = [
            Path(entry.path)
            for entry in _entries(place)
            if os.path.splitext(entry.name)[1].lower() in EXTENSIONS
            and not _NO_TABLES.search(entry.name)
            and not is_system(entry.name)
            and _is(entry.is_file)
        ]
        found += files if len(files) <= MAX_FILES else []
    return found


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(islice(entries, MAX_ENTRIES), key=lambda entry: entry.name)
    except OSError:
        return []


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # links in a circle
        return False


def _split_of(path: Path, root: Path) -> str | None:
    """What a table's name says of its split, else the name of its folder."""
    words = re.findall(r'[a-z]+|[A-Z][a-z]*|[A-Z]+', path.stem)
    found = {split_name(word) for word in words if word.lower() in _SPLITS}
    if not found and path.parent != root and path.parent.name.lower() in _SPLITS:
        found = {split_name(path.parent.name)}
    return found.pop() if len(found) == 1 else None


def _rank(path: Path, root: Path) -> tuple:
    stem = path.stem.lower()
    usual = _USUAL.index(stem) if stem in _USUAL else len(_USUAL)
    is_plain = stem in (*_SPLITS, '_classes')
    kind = EXTENSIONS.index(path.suffix.lower())
    return (usual, not is_plain, kind, len(path.relative_to(root).parts), str(path))
