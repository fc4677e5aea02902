"""Reads tables of labels: CSV and lists of files, one label or several per image."""

import functools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..files import some_of
from ..files.read import MAX_TABLE_BYTES, read_text, shorten
from .folder_listing import TRAIN_NAMES, VAL_NAMES, same_but_for_case
from .image_index import ImageIndex, is_image_name
from .label_columns import (
    Columns,
    Row,
    find_columns,
    has_header,
    is_true,
    plain,
    split_name,
    split_rows,
)
from .label_files import Table, find_tables, holds_labels
from .label_lists import list_separator, name_classes, sort_classes, split_labels
from .label_set import ALL, LabelledImage, LabelSet, root_of

_NAME_FILES = ('classes.txt', 'class_names.txt', 'labels.txt', 'names.txt', 'categories.txt')
_PLURAL = ('labels', 'tags', 'classes', 'categories', 'targets', 'attributes', 'attributeids')
_MULTI = '--cfg-options multi_label=True'


def is_label_table(root: str | os.PathLike) -> bool:
    """Whether a folder holds a table of labels, or a file is one; looks at first rows alone."""
    if os.path.isfile(root):
        return holds_labels(root)
    try:
        return bool(find_tables(root)[0])
    except ValueError:  # several
        return True


def read_label_table(
    place: str | os.PathLike, multi_label: bool | None = None, label_column: str | None = None
) -> LabelSet:
    """Read the labels of a set, and find its images.

    Args:
        place (str): A folder with a table in it, or in ``meta``, ``train`` and the like; or a
            table, whose images lie below its folder.
        multi_label (bool, optional): Whether an image may have several labels. Defaults to what
            the table holds.
        label_column (str, optional): Name of the label's column, where several could be.

    Raises:
        FileNotFoundError: If there is no table.
        OSError: If a file cannot be read.
        ValueError: With file and line, if a table is damaged, names images that are not there or
            could be several, or labels contradict each other.
    """
    place = os.fspath(place)
    notes: list[str] = []
    if os.path.isfile(place):
        tables = [Table(Path(place), None)]
    else:
        tables, notes = find_tables(place)
    if not tables:
        raise FileNotFoundError(
            f'no table of labels in {place}: a .csv, .tsv or .txt file whose rows name an image '
            'and its label'
        )
    stamps = tuple((t.path, t.split, os.stat(t.path).st_mtime_ns) for t in tables)
    found = _read(root_of(place), stamps, multi_label, label_column)
    return LabelSet(**{**vars(found), 'notes': [*notes, *found.notes]})


@functools.lru_cache(maxsize=2)  # each data set of a config asks for it
def _read(root: str, stamps: tuple, multi_label: bool | None, label_column: str | None) -> LabelSet:
    reader = _Reader(root, multi_label)
    for path, split, _ in stamps:
        reader.add(path, split, label_column)
    return reader.finish()


class _Entry(NamedTuple):
    where: str  # file and line
    split: str
    path: str  # of the image, below the root
    labels: str | tuple[str, ...]  # a field, or several labels


class _Reader:
    """Puts the rows of all tables together."""

    def __init__(self, root: str, multi_label: bool | None):
        self.root, self.multi_label = root, multi_label
        self.index = ImageIndex(root)
        self.tables: list[str] = []
        self.entries: list[_Entry] = []
        self.notes: list[str] = []
        self.columns: dict[str, None] = {}  # names of columns of ones and zeros
        self.is_plural = False
        self.missing: list[str] = []
        self.several: list[str] = []

    def note(self, where: Sequence[str], what: str) -> None:
        """Add a line on rows or images: how many, what about them, and the first ones."""
        if where:
            # The one table need not be said with each line of it.
            start = f'{self.tables[0]}, ' if len(self.tables) == 1 else ''
            shown = [text.removeprefix(start) for text in where[:3]]
            more = f' and {len(where) - 3} more' if len(where) > 3 else ''
            self.notes.append(
                f'{", ".join(self.tables[:3])}: {len(where)} {what}: {", ".join(shown)}{more}'
            )

    # ---- a table -------------------------------------------------------------------------------

    def add(self, path: Path, split: str | None, label_column: str | None) -> None:
        """Read a table.

        Raises:
            OSError, ValueError: If it is damaged.
        """
        rows = split_rows(read_text(path, MAX_TABLE_BYTES), str(path))
        near = self._near(path, split)
        known = functools.partial(self._is_known, near=near)
        header = rows[0].fields if rows and has_header(rows, known) else None
        rows = rows[header is not None :]
        try:
            columns = find_columns(header, rows, known, label_column)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        self.tables.append(str(path))
        if columns.is_one_hot:
            self.columns.update(dict.fromkeys(header[i] for i in columns.labels))
        elif header is not None:
            self.is_plural |= plain(header[columns.labels[0]]) in _PLURAL
        found: dict[str, str | None] = {}
        splits: set[str] = set()
        for row in rows:
            where = f'{path}, line {row.line}'
            name = row.fields[columns.image] if len(row.fields) > columns.image else ''
            if not name:
                raise ValueError(f'{where}: no image is named')
            if name not in found:
                found[name] = self._find(name, near, where)
            if found[name] is None:
                continue
            own = _split_of(row, columns) or split or ALL
            splits.add(own)
            labels = (
                _ones(row, columns, header, where)
                if columns.is_one_hot
                else _field(row, columns, header)
            )
            self.entries.append(_Entry(where, own, found[name], labels))
        if columns.split is not None and splits and 'train' not in splits and split is None:
            raise ValueError(
                f'{path}: no value of the column {header[columns.split]!r} stands for training; it '
                f'has {some_of(sorted(splits))}. Write train, val or test'
            )

    def _near(self, path: Path, split: str | None) -> list[str]:
        """Folders below the root that go before others: the table's own, those of its split."""
        below = os.path.relpath(path.parent, self.root).replace(os.sep, '/')
        near = [] if below == '.' else [below]
        if split is not None:
            tops = dict.fromkeys(image.split('/')[0] for image in self.index.paths if '/' in image)
            near += [top for top in tops if split in map(split_name, re.findall(r'[A-Za-z]+', top))]
        return near

    def _is_known(self, name: str, near: Sequence[str]) -> bool:
        if is_image_name(name):
            return True
        try:
            return bool(name) and self.index.find(name, near) is not None
        except ValueError:
            return True

    def _find(self, name: str, near: Sequence[str], where: str) -> str | None:
        try:
            path = self.index.find(name, near)
        except ValueError as error:
            self.several.append(f'{shorten(name)} ({where}) could be {error}')
            return None
        if path is None:
            self.missing.append(f'{shorten(name)} ({where})')
        return path

    # ---- all of them ---------------------------------------------------------------------------

    def finish(self) -> LabelSet:
        """The set that the tables make up.

        Raises:
            ValueError: If images are not there, or labels contradict each other.
        """
        self._check_images()
        labels = self._labels()
        is_multi = bool(self.multi_label) or any(len(own) > 1 for own in labels)
        by_image = self._by_image(labels, is_multi)
        self._without_label(by_image, is_multi)
        by_split = self._splits(by_image)
        classes = sort_classes({n for own in by_image.values() for n in own}, list(self.columns))
        if unused := [name for name in self.columns if name not in classes]:
            self.note(unused, 'columns without a one are no classes')
        number = {name: i for i, name in enumerate(classes)}
        splits = {
            split: [LabelledImage(p, tuple(sorted(number[n] for n in own))) for p, own in images]
            for split, images in by_split.items()
        }
        listed = {image.path for images in splits.values() for image in images}
        if left := [path for path in self.index.paths if path not in listed]:
            self.note(left, f'images below {self.root} are in no row with a label, and not used')
        return LabelSet(self.root, self.tables, self._named(classes), splits, is_multi, self.notes)

    def _check_images(self) -> None:
        total = len(self.entries) + len(self.missing) + len(self.several)
        if self.missing:
            there = some_of(self.index.paths, 3)
            raise ValueError(
                f'{len(self.missing)} of {total} images are not below {self.root}: '
                f'{some_of(self.missing, 3)}. '
                + (f'There are {len(self.index.paths)} images, such as {there}. ' * bool(there))
                + 'Put the images there, or remove the rows'
            )
        if self.several:
            raise ValueError(
                f'{len(self.several)} of {total} names stand for several images: '
                f'{some_of(self.several, 3)}. Write the path below {self.root}'
            )
        if not self.entries:
            raise ValueError(f'{", ".join(self.tables)}: no row names an image')

    def _labels(self) -> list[tuple[str, ...]]:
        """Labels of each row."""
        fields = {e.labels for e in self.entries if isinstance(e.labels, str)}
        separator = list_separator(fields, is_plural=self.is_plural, multi_label=self.multi_label)
        labels = [
            split_labels(e.labels, separator) if isinstance(e.labels, str) else e.labels
            for e in self.entries
        ]
        several = [e.where for e, own in zip(self.entries, labels) if len(own) > 1]
        if several and self.multi_label is False:
            raise ValueError(
                f'multi_label=False, but {len(several)} rows have several labels: '
                f'{some_of(several, 3)}'
            )
        if several:
            what = 'rows have several labels'
            if separator is not None:
                what += f' ({separator!r} separates them)'
            self.note(several, what)
        elif self.multi_label is None:
            empty = [e.where for e in self.entries if e.labels == ()]
            if empty:
                raise ValueError(
                    f'{len(empty)} rows have no one in any column: {some_of(empty, 3)}. If images '
                    f'may have none of the labels, or several: {_MULTI}; else remove the rows'
                )
        return labels

    def _by_image(
        self, labels: Sequence[tuple[str, ...]], is_multi: bool
    ) -> dict[tuple[str, str], tuple[str, ...]]:
        """Labels of each (split, path): rows of one image are joined.

        Raises:
            ValueError: If they differ, and an image has one label.
        """
        first: dict[tuple[str, str], _Entry] = {}
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        twice, joined, contrary = [], [], []
        for entry, own in zip(self.entries, labels):
            key = entry.split, entry.path
            old = found.setdefault(key, own)
            if first.setdefault(key, entry) is entry:
                continue
            if set(old) == set(own):
                twice.append(entry.where)
            elif is_multi:
                joined.append(entry.where)
                found[key] = tuple(dict.fromkeys([*old, *own]))
            else:
                before = first[key].where.rpartition(', ')[2]
                contrary.append(
                    f'{entry.path} ({"".join(old) or "none"} in {before}, {"".join(own) or "none"} '
                    f'in {entry.where})'
                )
        if contrary:
            raise ValueError(
                f'{len(contrary)} images have two labels: {some_of(contrary, 3)}. If images may '
                f'have several: {_MULTI}; else remove the wrong rows'
            )
        self.note(twice, 'rows stand twice, and are taken once')
        self._note_case(found.values())
        self.note(joined, 'rows are of an image that has a row already: their labels are joined')
        splits: dict[str, list[str]] = defaultdict(list)
        for split, path in found:
            splits[path].append(split)
        both = [f'{path} ({", ".join(own)})' for path, own in splits.items() if len(own) > 1]
        self.note(both, 'images are in several splits, so that the accuracy comes out too high')
        return found

    def _note_case(self, labels: Iterable[tuple[str, ...]]) -> None:
        counts = Counter(chain.from_iterable(labels))
        found = [
            ' and '.join(f'{name!r} ({counts[name]} images)' for name in names)
            for names in same_but_for_case(sorted(counts), str.casefold)
        ]
        self.note(found, 'groups of class names differ in case alone, and are taken as different')

    def _without_label(self, by_image: dict, is_multi: bool) -> None:
        empty = [key for key, own in by_image.items() if not own]
        paths = [path for _, path in empty]
        if is_multi:
            self.note(paths, 'images have none of the labels')
            return
        self.note(paths, 'images have no label, and are left out')
        for key in empty:
            del by_image[key]
        if not by_image:
            raise ValueError(f'{", ".join(self.tables)}: no row has a label')

    def _splits(self, by_image: dict) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
        """Images by split; where no table tells it, by the folder that they lie in."""
        splits: dict[str, list] = defaultdict(list)
        for (split, path), own in by_image.items():
            splits[split].append((path, own))
        if set(splits) == {ALL}:
            tops = {path.split('/')[0].lower() for path, _ in splits[ALL]}
            if len(tops) > 1 and tops <= {*TRAIN_NAMES, *VAL_NAMES} and tops & {*TRAIN_NAMES}:
                images = splits.pop(ALL)
                for path, own in images:
                    splits[split_name(path.split('/')[0])].append((path, own))
        elif ALL in splits:  # labels.csv beside val.csv
            splits['train'] += splits.pop(ALL)
        known = ('train', 'val', 'test', ALL)
        if other := sorted(set(splits) - set(known)):
            number = sum(len(splits.pop(name)) for name in other)
            self.notes.append(
                f'{", ".join(self.tables[:3])}: {number} images of {some_of(other)} are not used'
            )
        return {name: splits[name] for name in known if name in splits}

    def _named(self, classes: list[str]) -> list[str]:
        """Classes by their names, where the table has numbers and a file beside it lists names."""
        folders = dict.fromkeys([self.root, *(os.path.dirname(table) for table in self.tables)])
        for path in (Path(folder, name) for folder in folders for name in _NAME_FILES):
            if not path.is_file() or str(path) in self.tables:
                continue
            lines = [line.strip() for line in read_text(path).splitlines()]
            if named := name_classes(classes, [line for line in lines if line]):
                self.notes.append(
                    f'classes have the names that {path} lists, the first is that of {named[1]}'
                )
                return named[0]
        return classes


def _split_of(row: Row, columns: Columns) -> str | None:
    for column in (columns.split, columns.flag):
        value = row.fields[column] if column is not None and len(row.fields) > column else ''
        if column is not None and column == columns.flag:
            return 'val' if is_true(value) else 'train'
        if value:
            return split_name(value)
    return None


def _field(row: Row, columns: Columns, header: list[str] | None) -> str | tuple[str, ...]:
    """The field of the label; several labels where it is the last one, and more follow."""
    fields, first = row.fields, columns.labels[0]
    is_longer = header is not None and first == len(header) - 1 and len(fields) > len(header)
    if columns.goes_on or is_longer:
        return tuple(dict.fromkeys(filter(None, fields[first:])))
    return fields[first] if first < len(fields) else ''


def _ones(row: Row, columns: Columns, header: Sequence[str], where: str) -> tuple[str, ...]:
    """Names of the columns that hold a one."""
    found = []
    for i in columns.labels:
        value = row.fields[i] if i < len(row.fields) else ''
        if (truth := is_true(value)) is None:
            raise ValueError(
                f'{where}: {shorten(value)!r} in the column {header[i]!r} is neither 1 nor 0'
            )
        if truth:
            found.append(header[i])
    return tuple(found)
