"""Rows of YOLO label files: a class and a box, a polygon, or a box and key points."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ..files import read_text
from ..files.read import shorten
from .box_set import Box, BoxNotes, mend_box

MAX_LABEL_BYTES = 64 * 2**20
# Of an image's width or height. A share above it, or below -1, is of no box that touches the image.
MAX_SHARE = 2.0
# So far beyond the image, a box of four numbers among polygons is taken for two corners.
_BEYOND = 0.02


class RowReader:
    """Reads label files of one set.

    Args:
        classes (list[str]): Of the set.
        notes (BoxNotes): Is told what is mended.
        keypoints (tuple[int, int], optional): Number of key points and values of each.

    Attributes:
        used (Counter): How often each class occurs, by its number in the files.
        beyond (list[str]): Places of rows whose class is none of the set's.
    """

    def __init__(
        self,
        classes: Sequence[str],
        notes: BoxNotes,
        keypoints: tuple[int, int] | None = None,
    ):
        self.classes, self.notes = classes, notes
        self.extra = keypoints[0] * keypoints[1] if keypoints else 0
        self.used: Counter[int] = Counter()
        self.beyond: list[str] = []

    def read(self, path: str | os.PathLike, size: tuple[int, int]) -> list[Box] | None:
        """Boxes of a label file, for an image of this width and height; None for an empty file.

        Boxes of a class that the set has not are left out, and kept in ``beyond``: what is wrong
        with them is told by those of all files.

        Raises:
            OSError: If it cannot be read.
            ValueError: If a row cannot be understood; names file and line.
        """
        rows = list(_rows(os.fspath(path), self.notes))
        if not rows:
            return None
        has_polygons = not self.extra and any(len(row) > 5 for _, row in rows)
        boxes: dict[Box, None] = {}
        for where, row in rows:
            label = self._label(row[0], where)
            corners = self._corners(row[1:], where, has_polygons)
            width, height = size
            left, top, right, bottom = corners
            pixels = (left * width, top * height, right * width, bottom * height)
            place = _below(where, self.notes)
            box = mend_box(label, pixels, size, self.notes, place)
            if box is not None and box in boxes:
                self.notes.add('rows that stand twice', 'taken once', place)
            elif box is not None and label < len(self.classes):
                boxes[box] = None
        return list(boxes)

    def check_labels(self) -> None:
        """Refuse a set with rows of classes that it has not.

        Raises:
            ValueError: With the first of them.
        """
        if not self.beyond:
            return
        number, classes = len(self.classes), ', '.join(self.classes[:8])
        hint = f'. The classes are 0 to {number - 1}: {classes}' + (', ...' if number > 8 else '')
        if max(self.used) == number and 0 not in self.used:
            hint += (
                f'. It looks 1-based: {number} occurs, and 0 never does. Classes count from 0: '
                'subtract one in all files'
            )
        raise ValueError(
            f'{self.beyond[0]}{hint}'
            + (f' ({len(self.beyond)} such rows)' if len(self.beyond) > 1 else '')
        )

    def _label(self, text: str, where: str) -> int:
        value = _number(text)
        if value is None or not value.is_integer():
            hint = ''
            if text in self.classes:
                hint = f'. The class stands there by its number, {self.classes.index(text)}'
            raise ValueError(f'{where}: {shorten(text, 40)!r} is no number of a class{hint}')
        if value < 0:
            raise ValueError(
                f'{where}: the class is {text}. Classes count from 0: remove the row, or give it '
                'its class'
            )
        label = int(value)
        self.used[label] += 1
        if label >= len(self.classes):
            self.beyond.append(f'{where}: the class is {label}, and names has {len(self.classes)}')
        return label

    def _corners(self, texts: Sequence[str], where: str, has_polygons: bool) -> tuple:
        """Left, top, right and bottom, in shares of the image."""
        values = [_number(text) for text in texts]
        if None in values:
            text = texts[values.index(None)]
            raise ValueError(f'{where}: {shorten(text, 40)!r} is no number')
        number = len(values)
        if self.extra:
            if number != 4 + self.extra:
                raise ValueError(
                    f'{where}: {number + 1} values, but kpt_shape asks for {5 + self.extra}: '
                    f'class, box, and {self.extra} of key points'
                )
            values = values[:4]
        elif number != 4 and (number % 2 or number < 6):
            raise ValueError(f'{where}: {number + 1} values. {_why_not(number)}')
        low, high = min(values), max(values)
        if high > MAX_SHARE or low < 1 - MAX_SHARE:
            odd = high if high > MAX_SHARE else low
            raise ValueError(
                f'{where}: {odd:g} is no share of the image, 0 to 1. If the boxes are in pixels, '
                'divide x and width by the width of the image, y and height by its height'
            )
        if len(values) > 4:
            self.notes.add('polygons', 'their boxes are taken', _below(where, self.notes))
            xs, ys = values[::2], values[1::2]
            return min(xs), min(ys), max(xs), max(ys)
        x, y, w, h = values
        corners = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        if has_polygons and (min(corners) < -_BEYOND or max(corners) > 1 + _BEYOND):
            raise ValueError(
                f'{where}: 5 values among polygons: as a box it reaches outside the image, and a '
                'polygon has 3 points or more, 7 values. Remove it, or give it a third point'
            )
        return corners


def _why_not(number: int) -> str:
    if number == 5:
        return (
            'A row is the class, x, y, width and height. The last value may be a score: save the '
            'labels without'
        )
    if number > 4 and (number - 4) % 3 == 0:
        return (
            'A polygon is the class and an even number. If those are key points, the data.yaml '
            f'has to say so: kpt_shape: [{(number - 4) // 3}, 3]'
        )
    if number < 6:
        return 'A box is the class, x, y, width and height; a polygon has 3 points or more'
    return 'A box is the class and 4 values, a polygon the class and an even number of 6 or more'


def _number(text: str) -> float | None:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and '_' not in text else None


def _below(where: str, notes: BoxNotes) -> str:
    """A place as it stands in a line that names the set."""
    return where.removeprefix(f'{notes.where}{os.sep}')


def _rows(path: str, notes: BoxNotes) -> Iterator[tuple[str, list[str]]]:
    """Where each row stands, and its values; blank lines are passed over."""
    for number, line in enumerate(read_text(path, MAX_LABEL_BYTES).splitlines(), 1):
        where = f'{path}, line {number}'
        if ',' in line or ';' in line:
            line = _without_commas(line, where, notes)
        if row := line.split():
            yield where, row


def _without_commas(line: str, where: str, notes: BoxNotes) -> str:
    """A row whose values commas separate, or whose numbers have commas for points."""
    fields = line.replace(';', ' ').split()
    if len(fields) > 4 and '.' not in line and any(re.search(r'\d,\d', f) for f in fields):
        notes.add('rows with a comma for the point', 'read so', _below(where, notes))
        return line.replace(';', ' ').replace(',', '.')
    notes.add('rows whose values commas separate', 'read so', _below(where, notes))
    return re.sub('[,;]', ' ', line)
