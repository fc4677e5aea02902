"""Which column of a table of boxes holds what."""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..files.read import csv_rows, shorten
from .label_columns import plain

SEPARATORS = (',', ';', '\t')
_IMAGE = (
    'filename', 'file', 'imagepath', 'imagename', 'image', 'imagefile', 'path', 'filepath', 'img',
    'imageid', 'imgname', 'externalid', 'id',
)  # fmt: skip
_CLASS = (
    'class', 'classname', 'label', 'labelname', 'category', 'categoryname', 'classlabel', 'species',
    'object', 'name', 'classid', 'labelid', 'categoryid',
)  # fmt: skip
_SPLIT = ('split', 'set', 'subset', 'partition', 'usage', 'fold')
# Columns of a box, and what they are: corners, a corner and the size, the centre and the size.
_FORMS = (
    (('xmin', 'ymin', 'xmax', 'ymax'), 'corners'),
    (('x1', 'y1', 'x2', 'y2'), 'corners'),
    (('x0', 'y0', 'x1', 'y1'), 'corners'),
    (('xtl', 'ytl', 'xbr', 'ybr'), 'corners'),
    (('left', 'top', 'right', 'bottom'), 'corners'),
    (('bboxx', 'bboxy', 'bboxwidth', 'bboxheight'), 'size'),
    (('left', 'top', 'width', 'height'), 'size'),
    (('xmin', 'ymin', 'width', 'height'), 'size'),
    (('x', 'y', 'width', 'height'), 'size'),
    (('x', 'y', 'w', 'h'), 'size'),
    (('xcenter', 'ycenter', 'width', 'height'), 'centre'),
    (('xcenter', 'ycenter', 'w', 'h'), 'centre'),
)
_SIZES = (('imagewidth', 'imageheight'), ('imgwidth', 'imgheight'), ('width', 'height'))
_NUMBER = re.compile(r'[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[-+]?\d+)?', re.I)


class BoxColumns(NamedTuple):
    """Which column holds what, by number; None where none does."""

    image: int
    box: tuple[int, ...]  # four columns, or one that holds four numbers
    form: str  # 'corners', 'size' (left, top, width, height) or 'centre'
    label: int | None
    split: int | None = None
    size: tuple[int, int] | None = None
    crowd: int | None = None


def table_rows(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each row of a table that is not blank.

    Raises:
        ValueError: If it is no table; with the line.
    """
    first = next((line for line in text.splitlines() if line.strip()), '')
    counts = [len(next(csv.reader([first], delimiter=s), ())) for s in SEPARATORS]
    separator = SEPARATORS[counts.index(max(counts))]
    for line, fields in csv_rows(text, where, delimiter=separator, skipinitialspace=True):
        fields = [field.strip() for field in fields]
        if any(fields):
            yield line, fields


def find_box_columns(first: Sequence[str]) -> tuple[BoxColumns, bool]:
    """The columns of a table, and whether its first row names them.

    Without a header the columns are those of keras-retinanet: path, x1, y1, x2, y2, class.

    Raises:
        ValueError: If a column is missing.
    """
    names = [plain(name) for name in first]
    form = next((f for f in _FORMS if set(f[0]) <= set(names)), None)
    has_cell = 'bbox' in names or 'box' in names
    if form is None and not has_cell:
        box = first[1:5]
        if len(first) == 6 and all(not field or _NUMBER.fullmatch(field) for field in box):
            return BoxColumns(0, (1, 2, 3, 4), 'corners', 5), False
        raise ValueError(
            f'its first row, {shorten(", ".join(first))!r}, does not name the columns of a box: '
            'xmin, ymin, xmax, ymax; or x, y, width, height. Without a header, the columns are '
            'path, x1, y1, x2, y2, class'
        )
    if form is not None:
        box = tuple(names.index(name) for name in form[0])
    else:
        box = (names.index('bbox' if 'bbox' in names else 'box'),)
    others = [i for i in range(len(names)) if i not in box]

    def column(called: Sequence[str]) -> int | None:
        return next((i for name in called for i in others if names[i] == name), None)

    image = column(_IMAGE)
    if image is None:
        raise ValueError(
            f'no column is called as that of the image ("filename"); there are {", ".join(first)}'
        )
    sizes = (tuple(map(names.index, pair)) for pair in _SIZES if set(pair) <= set(names))
    size = next((pair for pair in sizes if not set(pair) & set(box)), None)
    label = column([name for name in _CLASS if names[image] != name])
    crowd = column(('isgroupof', 'iscrowd'))
    return BoxColumns(
        image, box, form[1] if form else 'size', label, column(_SPLIT), size, crowd
    ), True


def read_numbers(fields: Sequence[str], is_cell: bool) -> list[float] | None:
    """Four numbers of a box, in a field each or all in one; None if they are none."""
    if is_cell:
        fields = [f for f in re.split(r'[\s,;\[\](){}]+', fields[0]) if f]
    if len(fields) != 4 or not all(map(_NUMBER.fullmatch, fields)):
        return None
    return [float(field.replace(',', '.')) for field in fields]
