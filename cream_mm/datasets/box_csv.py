"""Sets of images with boxes in tables: one row for each box.

The forms of TensorFlow, keras-retinanet, Roboflow and Open Images.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..files import read_text, some_of
from ..files.read import MAX_TABLE_BYTES, read_start, shorten
from .box_classes import number_classes, read_class_names
from .box_columns import BoxColumns, find_box_columns, read_numbers, table_rows
from .box_set import CANNOT_BE_READ, Box, BoxImage, BoxNotes, BoxSet, image_size, mend_box
from .coco_mend import MARGIN
from .folder_listing import outer_files
from .image_index import ImageIndex
from .set_kind import HEAD_BYTES, is_box_table
from .yolo_places import split_called

_DEPTH = 2  # folders below the root
_EXTENSIONS = ('.csv', '.tsv')


class _Row(NamedTuple):
    where: str  # file and line
    split: str
    image: str  # below the root
    label: str
    numbers: list[float] | None  # None of a row that says that there is no box
    form: str  # see BoxColumns
    size: tuple[float, float] | None  # of the image, as the table has it
    is_crowd: bool


def read_box_csv(root: str | os.PathLike) -> BoxSet:
    """Read a set of images with boxes from its tables.

    Args:
        root (str): A folder with a table for each split, or one for all; or a table, whose images
            lie below its folder.

    Returns:
        BoxSet: Classes are those of a file of classes, else sorted by name.

    Raises:
        FileNotFoundError: If there is no table of boxes.
        OSError: If something cannot be read.
        ValueError: If a row cannot be understood, images are missing or could be several; names
            file and line.
    """
    root = os.fspath(root)
    given = root if os.path.isfile(root) else None
    if given is not None:
        root = os.path.dirname(root) or '.'
    tables = [os.path.join(root, path) for path in outer_files(root, _DEPTH, _EXTENSIONS)]
    paths = [path for path in tables if _is_box_file(path)] if given is None else [given]
    if not paths:
        raise FileNotFoundError(
            f'no table of boxes in {root}: a .csv file with the columns filename, class, xmin, '
            'ymin, xmax, ymax'
        )
    notes, said = BoxNotes(root), []
    reader = _Reader(root, notes)
    by_path = _splits_of(root, paths) if given is None else {given: 'all'}
    for path, split in by_path.items():
        reader.add(path, split)
    reader.check_missing()
    names = read_class_names([path for path in tables if path not in paths])
    counts = Counter(row.label for row in reader.rows if row.numbers is not None)
    classes, labels = number_classes(root, counts, names, said)
    splits = _images(root, reader.rows, labels, notes)
    used = {image.path for images in splits.values() for image in images}
    unused = [path for path in reader.index.paths if path not in used]
    if unused:
        said.append(f'{root}: images without a row: {len(unused)}, left out ({some_of(unused, 3)})')
    tables = some_of([os.path.relpath(path, root) for path in paths], 3)
    parts = (
        f'{split}: {len(images)} images, {sum(len(image.boxes) for image in images)} boxes'
        for split, images in splits.items()
    )
    box_set = BoxSet(root, classes, splits)
    box_set.notes = [f'{root}: boxes of {tables}: {"; ".join(parts)}', *said, *notes.lines()]
    return box_set


# ---- files ---------------------------------------------------------------------------------------


def _is_box_file(path: str) -> bool:
    try:
        return is_box_table(read_start(path, HEAD_BYTES)[0])
    except (OSError, ValueError):
        return False


def _splits_of(root: str, paths: Sequence[str]) -> dict[str, str]:
    """The split of each table: by its name, else by its folder's; 'all' of a single one.

    Raises:
        ValueError: If there are several for one split.
    """
    found: dict[str, str] = {}
    for path in paths:
        parts = os.path.relpath(path, root).split(os.sep)
        words = re.findall('[a-z]+', os.path.splitext(parts[-1])[0].lower())
        splits = {split for word in words if (split := split_called(word))}
        if not splits:
            splits = {split for part in parts[:-1] if (split := split_called(part))}
        found[path] = splits.pop() if len(splits) == 1 else 'all'
    if 'train' in found.values():
        found = {path: split for path, split in found.items() if split != 'all'}
    for split in set(found.values()):
        same = [path for path in found if found[path] == split]
        if len(same) > 1:
            raise ValueError(
                f'{root} holds several tables of boxes: {some_of(same)}. Call them train.csv '
                'and val.csv, or remove those that do not count'
            )
    return found


# ---- rows ----------------------------------------------------------------------------------------


class _Reader:
    """Reads the rows of tables, and finds their images."""

    def __init__(self, root: str, notes: BoxNotes):
        self.root, self.notes = root, notes
        self.index = ImageIndex(root)
        self.rows: list[_Row] = []
        self._missing: list[str] = []

    def add(self, path: str, split: str) -> None:
        """Read a table.

        Raises:
            OSError, ValueError: If it is damaged.
        """
        rows = list(table_rows(read_text(path, MAX_TABLE_BYTES), path))
        if not rows:
            raise ValueError(f'{path} is empty')
        try:
            columns, has_header = find_box_columns(rows[0][1])
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        width = len(rows[0][1])
        folder = os.path.relpath(os.path.dirname(path) or '.', self.root).replace(os.sep, '/')
        near = [] if folder == '.' else [folder]
        known: dict[str, str | None] = {}
        for line, fields in rows[has_header:]:
            where = f'{path}, line {line}'
            if len(fields) != width:
                raise ValueError(
                    f'{where}: {len(fields)} fields, not {width}. Each row holds one box; a text '
                    'with commas stands in double quotes'
                )
            name = fields[columns.image]
            if not name:
                raise ValueError(f'{where}: it names no image')
            if name not in known:
                known[name] = self._find(name, near, where)
            if known[name] is not None:
                self._add(fields, columns, where, split, known[name])

    def _find(self, name: str, near: Sequence[str], where: str) -> str | None:
        try:
            found = self.index.find(name, near)
        except ValueError as error:
            raise ValueError(
                f'{where}: {shorten(name)} may be {error}. Write the path below {self.root}'
            ) from None
        if found is None:
            self._missing.append(f'{shorten(name)} ({where})')
        return found

    def _add(
        self, fields: list[str], columns: BoxColumns, where: str, split: str, image: str
    ) -> None:
        label = '' if columns.label is None else fields[columns.label]
        texts = [fields[i] for i in columns.box]
        if not any(texts):
            if label:
                raise ValueError(
                    f'{where}: the class {label!r} has no box. Of an image without objects, leave '
                    'the class empty, too'
                )
            numbers = None
        else:
            numbers = read_numbers(texts, len(columns.box) == 1)
            if numbers is None:
                raise ValueError(
                    f'{where}: {shorten(", ".join(texts))!r} is not the four numbers of a box. '
                    'Each row holds one box'
                )
            if columns.label is not None and not label:
                raise ValueError(f'{where}: the box has no class')
            if any(',' in text for text in texts) and len(columns.box) > 1:
                place = where.removeprefix(f'{self.root}{os.sep}')
                self.notes.add('numbers with a comma for the point', 'read so', place)
        if columns.split is not None:
            text = fields[columns.split]
            if (split := split_called(text)) is None:
                raise ValueError(f'{where}: {shorten(text)!r} is not train, val or test')
        size = None
        if columns.size is not None:
            with suppress(ValueError):
                size = tuple(float(fields[i]) for i in columns.size)
        crowd = columns.crowd is not None and fields[columns.crowd].lower() in ('1', 'true')
        self.rows.append(_Row(where, split, image, label, numbers, columns.form, size, crowd))

    def check_missing(self) -> None:
        """Refuse tables of images that are not there.

        Raises:
            ValueError: With the first of them.
        """
        if self._missing:
            there = some_of(self.index.paths, 3) or 'no image'
            raise ValueError(
                f'{self.root}: {len(self._missing)} images of its tables are not below it: '
                f'{some_of(self._missing, 3)}. There: {there}. Put them there, or take their rows '
                'out'
            )
        if not self.rows:
            raise ValueError(f'{self.root}: its tables have no row')


# ---- boxes ---------------------------------------------------------------------------------------


def _images(
    root: str, rows: Sequence[_Row], labels: dict[str, int], notes: BoxNotes
) -> dict[str, list[BoxImage]]:
    by_split: dict[str, dict[str, list[_Row]]] = {}
    for row in rows:
        by_split.setdefault(row.split, {}).setdefault(row.image, []).append(row)
    paths = dict.fromkeys(row.image for row in rows)
    sizes = {path: image_size(os.path.join(root, path)) for path in paths}
    are_shares = _are_shares(rows)
    if are_shares:
        boxes = sum(row.numbers is not None for row in rows)
        notes.add('boxes in shares of the image', 'multiplied by its width and height', count=boxes)
    corners = dict(_corners(rows, sizes, are_shares))
    _check_sizes(root, rows, corners, sizes, notes)
    found: dict[str, list[BoxImage]] = {}
    for split in ('train', 'val', 'test', 'all'):
        for path, own in by_split.get(split, {}).items():
            size = sizes[path]
            if size is None:
                notes.add(CANNOT_BE_READ, 'left out', path)
                continue
            boxes: dict[Box, None] = {}
            for row in own:
                if row.numbers is None:
                    continue
                label = labels[row.label]
                place = row.where.removeprefix(f'{root}{os.sep}')
                box = mend_box(label, corners[row.where], size, notes, place, row.is_crowd)
                if box is not None and box in boxes:
                    notes.add('rows that stand twice', 'taken once', place)
                elif box is not None:
                    boxes[box] = None
            if not boxes:
                notes.add('images without a box', 'taken as background', path)
            found.setdefault(split, []).append(BoxImage(path, *size, list(boxes)))
    return found


def _are_shares(rows: Sequence[_Row]) -> bool:
    """Whether all boxes are in shares of the image, 0 to 1, rather than in pixels."""
    numbers = [number for row in rows for number in row.numbers or ()]
    return (
        min(numbers) >= -0.01
        and max(numbers) <= 1.01
        and any(not number.is_integer() for number in numbers)
    )


def _corners(
    rows: Sequence[_Row], sizes: dict[str, tuple[int, int] | None], are_shares: bool
) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Left, top, right and bottom in pixels, by where the row stands."""
    for row in rows:
        if row.numbers is None:
            continue
        a, b, c, d = row.numbers
        if row.form == 'size':
            c, d = a + c, b + d
        elif row.form == 'centre':
            a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        if are_shares:
            width, height = sizes[row.image] or (1, 1)
            a, b, c, d = a * width, b * height, c * width, d * height
        yield row.where, (a, b, c, d)


def _check_sizes(
    root: str,
    rows: Sequence[_Row],
    corners: dict[str, tuple[float, ...]],
    sizes: dict[str, tuple[int, int] | None],
    notes: BoxNotes,
) -> None:
    """Refuse boxes that were drawn on images of another size, and corners taken for sizes.

    Raises:
        ValueError: If most boxes fit only the size that the table has, or are corners.
    """
    odd, beyond, first = {}, 0, ''
    turned = num_sized = 0
    for row in rows:
        size = sizes[row.image]
        if row.numbers is None or size is None:
            continue
        right, bottom = corners[row.where][2:]
        is_out = right > size[0] + MARGIN or bottom > size[1] + MARGIN
        if row.form == 'size':
            x, y, far, low = row.numbers
            num_sized += 1
            turned += is_out and x < far <= size[0] + MARGIN and y < low <= size[1] + MARGIN
        if row.size is not None and row.size != size:
            odd.setdefault(row.image, []).append(row)
            if is_out and right <= row.size[0] + MARGIN and bottom <= row.size[1] + MARGIN:
                beyond, first = beyond + 1, first or row.where
    if turned >= 3 and turned * 10 >= num_sized:
        raise ValueError(
            f'{root}: {turned} boxes reach outside their image as left, top, width and height, and '
            'not as corners. Call the columns xmin, ymin, xmax, ymax'
        )
    if beyond * 2 > sum(map(len, odd.values())):
        raise ValueError(
            f'{root}: {len(odd)} images have another size than its tables say, and most of their '
            f'boxes fit into that only ({first}). The images were resized after the boxes had been '
            'drawn: use those that were labelled'
        )
    for path, own in odd.items():
        width, height = own[0].size
        size = ' x '.join(map(str, sizes[path]))
        notes.add(
            "images with another size than the table's", "the image's own is taken",
            f'{path} is {size}, not {width:g} x {height:g}',
        )  # fmt: skip
