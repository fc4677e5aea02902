"""A table of labels as text: its rows, and which column holds what."""

import contextlib
import csv
import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..files.read import csv_rows, shorten
from .folder_listing import TEST_NAMES, TRAIN_NAMES, VAL_NAMES
from .image_index import is_image_name
from .pillow_image import readable_extensions

HEAD = 200  # rows from which it is seen what a column holds
# Names of columns, letters and digits alone; what stands first goes before the others.
IMAGE_NAMES = (
    'filename', 'filepath', 'imagepath', 'imgpath', 'imagename', 'imgname', 'imagefile', 'file',
    'image', 'img', 'path', 'picture', 'photo', 'fname', 'imageid', 'imgid', 'fileid', 'idcode',
    'id', 'uuid', 'images', 'files', 'filenames', 'imageindex', 'isicid', 'photoid', 'name',
)  # fmt: skip
LABEL_NAMES = (
    'label', 'labels', 'class', 'classes', 'category', 'categories', 'tag', 'tags', 'target',
    'targets', 'labelname', 'classname', 'categoryname', 'labelnames', 'classnames', 'attributes',
    'attributeids', 'findinglabels', 'species', 'breed', 'diagnosis', 'dx', 'gt', 'groundtruth',
    'labelid', 'classid', 'categoryid', 'y', 'annotation', 'annotations',
)  # fmt: skip
SPLIT_NAMES = ('split', 'set', 'subset', 'partition', 'dataset', 'phase', 'usage', 'datasplit')
VAL_FLAGS = ('isvalid', 'isval', 'isvalidation', 'validation')  # columns of true and false
BOX_NAMES = ('xmin', 'ymin', 'xmax', 'ymax', 'bbox', 'x1', 'y1', 'x2', 'y2')
_SEPARATORS = ('\t', ';', ',', '|')
_TRUE, _FALSE = ('1', '1.0', 'true', 'yes'), ('0', '0.0', 'false', 'no', '-1', '-1.0')
_PARTITIONS = {'0': 'train', '1': 'val', '2': 'test'}


class Row(NamedTuple):
    """A row of a table."""

    line: int  # counted from 1
    fields: list[str]  # without blanks around them


class Columns(NamedTuple):
    """Which column holds what, by number."""

    image: int
    labels: list[int]
    is_one_hot: bool = False  # each label has a column of ones and zeros
    split: int | None = None
    flag: int | None = None  # true where an image is for validation
    goes_on: bool = False  # fields behind the label's are further labels


def plain(name: str) -> str:
    """The letters and digits of a column's name.

    >>> plain(' Image_ID')
    'imageid'
    """
    return re.sub(r'[\W_]+', '', name).lower()


# ---- rows --------------------------------------------------------------------------------------


def split_rows(text: str, where: str) -> list[Row]:
    """The rows of a table or of a list of files, its separator found from its first lines.

    In a list, ``path label`` or ``label path``, paths may hold blanks. A row of more fields than
    the header has, of which the last is the label, lists several labels.

    Args:
        text (str): Its content.
        where (str): The file, for messages.

    Raises:
        ValueError: If it is no table; with the line.
    """
    head = [line for line in text[:500_000].splitlines() if line.strip()][:HEAD]
    separator = _separator(head)
    if separator is None:
        return _split_list(text)
    rows = []
    for line, fields in csv_rows(text, where, delimiter=separator, skipinitialspace=True):
        fields = [field.strip() for field in fields]
        if any(fields):
            rows.append(Row(line, fields))
    return rows


def _separator(head: Sequence[str]) -> str | None:
    """That which cuts the lines most evenly, with an image's name for a field; None of a list."""
    best, found = None, None
    for separator in _SEPARATORS:
        rows: list[list[str]] = []
        with contextlib.suppress(csv.Error):  # said with its line when all is read
            rows.extend(csv.reader(head, delimiter=separator, skipinitialspace=True))
        number, share = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if max(map(len, rows), default=0) < 2:
            continue
        images = sum(any(map(is_image_name, row)) for row in rows)
        is_even = number > 1 and share == len(rows)
        if not is_even and not (images and min(map(len, rows)) > 1):
            continue
        score = (images, is_even, share, number)
        if best is None or score > best:
            best, found = score, separator
    return found


@functools.cache  # not at import: all of Pillow's formats are loaded
def _path_first() -> re.Pattern[str]:
    extension = '|'.join(map(re.escape, readable_extensions()))
    return re.compile(rf'(.*(?:{extension}))(?:\s+(.*))?', re.I | re.S)


def _split_list(text: str) -> list[Row]:
    path_first = _path_first()
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    found = [(i, line, path_first.fullmatch(line)) for i, line in lines]
    if any(match for _, _, match in found):
        label_first = all(m is None or not m[2] for _, _, m in found) and _recur(
            [line.split()[0] for _, line, m in found if m]
        )
        rows = []
        for i, line, match in found:
            if match is None or label_first:
                rows.append(Row(i, line.split(maxsplit=1)))
            else:
                rest = match[2] or ''
                many = rest.split() if re.fullmatch(r'\d+(\s+\d+)+', rest) else [rest]
                rows.append(Row(i, [match[1], *filter(None, many)]))
        return rows
    return [Row(i, line.rsplit(maxsplit=1)) for i, line in lines]


def _recur(values: Sequence[str]) -> bool:
    return len(values) > 1 and len(set(values)) <= max(1, len(values) // 2)


# ---- columns -----------------------------------------------------------------------------------


def has_header(rows: Sequence[Row], is_image: Callable[[str], bool]) -> bool:
    """Whether the first row names the columns: it holds no image, and known names or no numbers."""
    first, *others = rows[:HEAD] or [Row(1, [])]
    if any(map(is_image, first.fields)):
        return False
    names = set(map(plain, first.fields))
    if names & {*IMAGE_NAMES, *LABEL_NAMES, *SPLIT_NAMES}:
        return True
    return any(any(map(is_image, row.fields)) for row in others) and not any(
        re.fullmatch(r'[-+.\d]+', field) for field in first.fields
    )


def find_columns(
    header: Sequence[str] | None,
    rows: Sequence[Row],
    is_image: Callable[[str], bool],
    label_column: str | None = None,
) -> Columns:
    """Which column holds the image, which the labels, which the split: by name, else by content.

    Args:
        header (Sequence[str], optional): Names of the columns.
        rows (Sequence[Row]): The rows below it; the first ones are looked at.
        is_image (Callable): Whether a field names an image.
        label_column (str, optional): The name of the label's column, where the user gives it.

    Raises:
        ValueError: If there is no image, no label, or several columns could be either; the
            message has the columns, and not the file.
    """
    head = [row.fields for row in rows[:HEAD]]
    width = max(map(len, [header or [], *head]), default=0)
    names = [plain(name) for name in header or []] + [''] * (width - len(header or []))
    columns = [[row[i] if i < len(row) else '' for row in head] for i in range(width)]
    if not head:
        raise ValueError('it has no rows')
    image = _image_column(names, columns, is_image)
    if image is None:
        raise ValueError(f'no column holds names of images; it has {_show(header, columns)}')
    rest = [i for i in range(width) if i != image]
    split = next(
        (i for n in SPLIT_NAMES for i in rest if names[i] == n and _is_split(columns[i])), None
    )
    flag = next((i for i in rest if names[i] in VAL_FLAGS and _is_binary(columns[i])), None)
    rest = [i for i in rest if i not in (split, flag)]
    found = Columns(image, [], False, split, flag)
    if label_column is not None:
        same = [i for i in rest if header and header[i] == label_column]
        same = same or [i for i in rest if names[i] == plain(label_column)]
        if not same:
            raise ValueError(f'it has no column {label_column!r}: it has {_show(header, columns)}')
        return found._replace(labels=same[:1])
    named = [i for n in LABEL_NAMES for i in rest if names[i] == n and any(columns[i])]
    binary = [i for i in rest if _is_binary(columns[i])]
    if len(binary) > 1 and all(i in binary for i in named):
        if header is None:
            raise ValueError(
                f'{len(binary)} columns of ones and zeros, and no header that names them'
            )
        return found._replace(labels=binary, is_one_hot=True)
    if len(named) > 1:
        return found._replace(labels=_best_of(named, columns, header))
    if named:
        return found._replace(labels=named)
    if len(rest) > 1 and header is None and _are_rest(columns, rest):
        return found._replace(labels=rest[:1], goes_on=True)
    filled = [i for i in rest if any(columns[i])]
    likely = [i for i in filled if _recur([value for value in columns[i] if value])] or filled
    if len(likely) == 1:
        return found._replace(labels=likely)
    if not likely:
        raise ValueError(f'no column holds labels; it has {_show(header, columns)}')
    raise ValueError(
        f'which column holds the label? It has {_show(header, columns)}. Name it: '
        '--cfg-options label_column=NAME'
    )


def split_name(value: str) -> str:
    """``train``, ``val`` or ``test`` for what a table calls a split; others are what they are.

    >>> split_name('Training'), split_name('dev'), split_name('2'), split_name('extra')
    ('train', 'val', 'test', 'extra')
    """
    value = value.strip().lower()
    if value in (*TRAIN_NAMES, 'tr', 'trn'):
        return 'train'
    if value in (*TEST_NAMES, 'te', 'tst', 'privatetest'):
        return 'test'
    if value in (*VAL_NAMES, 'publictest'):
        return 'val'
    return _PARTITIONS.get(value, value)


def is_true(value: str) -> bool | None:
    """Whether a field of a column of ones and zeros is a one; None where it is neither."""
    value = value.lower()
    return True if value in _TRUE else False if value in (*_FALSE, '') else None


def _image_column(
    names: Sequence[str], columns: Sequence[Sequence[str]], is_image: Callable[[str], bool]
) -> int | None:
    def share(values: Sequence[str]) -> float:
        filled = [value for value in values if value]
        return sum(map(is_image, filled)) / len(filled) if filled else 0.0

    shares = [share(values) for values in columns]
    order = {name: rank for rank, name in enumerate(IMAGE_NAMES)}
    likely = [i for i, value in enumerate(shares) if value > 0.5]
    if likely:
        return min(likely, key=lambda i: (order.get(names[i], len(order)), i))
    named = [i for i, name in enumerate(names) if name in order]
    return min(named, key=lambda i: order[names[i]], default=None)


def _is_split(values: Sequence[str]) -> bool:
    found = {split_name(value) for value in values if value}
    return 'train' in found or bool(found) and found <= {'val', 'test'}


def _is_binary(values: Sequence[str]) -> bool:
    return all(is_true(value) is not None for value in values) and any(values)


def _are_rest(columns: Sequence[Sequence[str]], rest: Sequence[int]) -> bool:
    """Whether fields behind the first label are further ones: some rows have fewer than others."""
    follows = rest == list(range(rest[0], rest[0] + len(rest)))
    return follows and not all(columns[rest[-1]])


def _best_of(
    named: list[int], columns: Sequence[Sequence[str]], header: Sequence[str]
) -> list[int]:
    """Of several columns with a label's name the first by name, or its text where it is a number.

    Raises:
        ValueError: If they are different labels.
    """
    first = named[0]
    pairs = {i: {*zip(columns[first], columns[i])} for i in named[1:]}
    distinct = len(set(columns[first]))
    # The same label in two forms, as a number and a name, or another one.
    others = [i for i, p in pairs.items() if not len(p) == distinct == len(set(columns[i]))]
    if others:
        shown = ', '.join(repr(header[i].strip()) for i in named)
        raise ValueError(
            f'the columns {shown} could all be the label, and they differ. Name one: '
            f'--cfg-options label_column={header[first].strip()}'
        )
    texts = [i for i in named if not all(re.fullmatch(r'[-+.\d]*', v) for v in columns[i])]
    return [(texts or named)[0]]


def _show(header: Sequence[str] | None, columns: Sequence[Sequence[str]]) -> str:
    if header:
        shown = [repr(shorten(name, 30)) for name in header[:12]]
        return 'columns ' + ', '.join(shown) + (', ...' if len(header) > 12 else '')
    first = [repr(shorten(values[0], 30)) for values in columns[:6] if values]
    return 'no header, and first ' + ', '.join(first)
