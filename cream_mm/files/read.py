"""The one way to read JSON, lines of JSON, CSV and text.

Files come from kills, editors, spreadsheets and strangers. Whatever they hold, a reader gives the
content or raises one error that names the file and, where there are lines, the line; it does not
wait, does not fill the memory, and nothing in the file runs.
"""

import codecs
import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .regular import MAX_BYTES, open_regular, read_bytes

# Far beyond what a run writes, and read in a second or two.
MAX_VALUES = 1_000_000  # numbers, words, lists and dicts in it
MAX_LINE_BYTES = 16 * 2**20
MAX_LOG_BYTES = 8 * 2**30  # a file of lines is never held as a whole
MAX_TABLE_BYTES = 256 * 2**20
MAX_DEPTH = 100
MAX_DIGITS = 300  # more do not fit a float

_MARKS = (  # the longer first: that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


class Dropped:
    """What a reader left out: how many lines, and what was wrong with the first."""

    def __init__(self):
        self.count, self.first = 0, ''

    def add(self, message: str) -> None:
        """Count a line."""
        self.first = self.first or shorten(message, 300)
        self.count += 1

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        lines = '1 damaged line is' if self.count == 1 else f'{self.count} damaged lines are'
        return f'{lines} left out: {self.first}' + (' and others' if self.count > 1 else '')


def shorten(text: str, length: int = 80) -> str:
    """Text for a message or a page: one line, not longer than ``length``, in any encoding."""
    if len(text) > length:
        text = text[: length - 3] + '...'
    text = text.encode('utf-8', errors='replace').decode()  # halves of surrogate pairs
    return ' '.join(text.split())


def some_of(names: Sequence[str], shown: int = 5) -> str:
    """The first of the names, and how many more there are.

    >>> some_of(['a', 'b', 'c'], 2)
    'a, b and 1 more'
    """
    more = len(names) - shown
    return ', '.join(names[:shown]) + (f' and {more} more' if more > 0 else '')


def encoding_of(start: bytes) -> str:
    """The encoding that the first four bytes of a text name, else ``'utf-8'``."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), 'utf-8')


def read_text(path: str | Path, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file: UTF-8, or what a mark at its beginning says (UTF-16, UTF-32).

    Raises:
        OSError, ValueError: As :func:`read_bytes`; with the line where it is not such text.
    """
    return _decode(read_bytes(path, max_bytes), path)


def read_start(path: str | Path, num_bytes: int) -> tuple[str, bool]:
    """The text of the first bytes of a file, however large it is, and whether that is all of it.

    What does not decode is replaced: :func:`read_text` names it.

    Raises:
        OSError, ValueError: As :func:`open_regular`.
    """
    with open_regular(path, 2**40) as file:
        content = file.read(num_bytes)
    return content.decode(encoding_of(content), errors='replace'), len(content) < num_bytes


def read_json(
    path: str | Path,
    *,
    finite: bool = True,
    max_bytes: int = MAX_BYTES,
    max_values: int | None = MAX_VALUES,
) -> Any:
    """The content of a JSON file.

    Args:
        path (str | Path): The file.
        finite (bool): Refuse NaN and Infinity, which Python writes and JSON does not know.
            Defaults to True.
        max_bytes (int): Refuse a larger file.
        max_values (int, optional): Refuse more values, deep nesting, keys that stand twice, and
            numbers without end. None takes what Python takes, for large files of a data set.

    Raises:
        OSError, ValueError: As :func:`read_text`; if it is not JSON, or beyond these limits.
    """
    try:
        return _parse(read_text(path, max_bytes), finite, max_values)
    except _NotJSON as error:
        raise ValueError(f'{path} is not valid JSON: {error}. Write it again') from None


def read_lines(path: str | Path, max_bytes: int = MAX_LOG_BYTES) -> Iterator[tuple[int, bytes]]:
    r"""Lines of a file with their numbers from 1, in UTF-8, each with its ``\n``.

    The last one has none where a kill cut it. One that is longer than ``MAX_LINE_BYTES`` is given
    as far as that, and has none either.

    Raises:
        OSError, ValueError: As :func:`read_bytes`.
    """
    with open_regular(path, max_bytes) as file:
        start = file.read(4)
        encoding = encoding_of(start)
        file.seek(3 if encoding == 'utf-8-sig' else 0)
        if encoding in ('utf-16', 'utf-32'):
            text = _decode(file.read(MAX_BYTES + 1), path)
            file = io.BytesIO(text.encode('utf-8', errors='replace'))
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            yield number, line[:MAX_LINE_BYTES]
            while len(line) > MAX_LINE_BYTES and not line.endswith(b'\n'):
                line = file.readline(MAX_LINE_BYTES + 1)


def read_json_lines(
    path: str | Path,
    dropped: Dropped | None = None,
    *,
    finite: bool = True,
    max_values: int = MAX_VALUES,
    max_bytes: int = MAX_LOG_BYTES,
    wanted: Callable[[int, bytes], bool] = lambda number, line: True,
) -> Iterator[tuple[str, dict]]:
    """Where each line stands (``FILE, line 7``), and its JSON object.

    Empty lines are passed over, and so is a last line that a kill cut.

    Args:
        path (str | Path): The file.
        dropped (Dropped, optional): Takes note of damaged lines. None has the first one raise.
        finite, max_bytes: See :func:`read_json`.
        max_values (int): Of a line.
        wanted (Callable): (number, line) -> whether the line is read at all. Defaults to all.

    Raises:
        OSError, ValueError: As :func:`read_bytes`; a damaged line, see ``dropped``.
    """
    for number, line in read_lines(path, max_bytes):
        where, is_whole = f'{path}, line {number}', line.endswith(b'\n')
        if not line.strip() or not wanted(number, line):
            continue
        try:
            if len(line) == MAX_LINE_BYTES and not is_whole:
                raise _NotJSON(f'longer than {MAX_LINE_BYTES >> 20} MB')
            record = _parse(_decode(line, where), finite, max_values)
            if not isinstance(record, dict):
                raise _NotJSON('something else')
        except ValueError as error:
            text = f'{where}: not a JSON object ({error})' if type(error) is _NotJSON else error
            if dropped is not None:
                if is_whole or len(line) == MAX_LINE_BYTES:
                    dropped.add(str(text))
            elif is_whole or len(line) == MAX_LINE_BYTES:
                raise ValueError(str(text)) from None
            continue
        yield where, record


def csv_rows(text: str, where: str | Path, **form: Any) -> Iterator[tuple[int, list[str]]]:
    """The line on which each row of a table begins, from 1, and its fields; none of blank lines.

    Args:
        text (str): The table.
        where (str | Path): Its file, for messages.
        **form: Of :func:`csv.reader`, such as ``delimiter``.

    Raises:
        ValueError: With the line that is no row of a table.
    """
    reader = csv.reader(io.StringIO(text, newline=''), **form)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:  # a field of over 128 KB, a byte of zero
            raise ValueError(f'{where}, line {line}: {error}') from None
        if row is None:
            return
        if row:
            yield line, row


def read_csv(path: str | Path, max_bytes: int = MAX_TABLE_BYTES) -> tuple[list[str], Iterator]:
    """A table with a header.

    Returns:
        tuple[list[str], Iterator[tuple[str, dict]]]: Names of the columns; where each row stands
        (``FILE, line 7``), and its fields that are not empty.

    Raises:
        OSError, ValueError: As :func:`read_text`; with the line that is no row of a table.
    """

    def records() -> Iterator[tuple[str, dict]]:
        for line, row in rows:
            where = f'{path}, line {line}'
            if len(row) > len(header):
                raise ValueError(
                    f'{where}: more fields than the header has; a list that holds commas stands '
                    'in double quotes'
                )
            yield where, {key: field for key, field in zip(header, row) if field != ''}

    rows = csv_rows(read_text(path, max_bytes), path)
    _, header = next(rows, (1, []))
    twice = sorted({name for name in header if header.count(name) > 1}) if len(header) < 1000 else 0
    if twice or twice == 0:
        what = f'column {shorten(twice[0])} stands twice' if twice else f'{len(header)} columns'
        raise ValueError(f'{path}, line 1: {what}')
    return header, records()


class _NotJSON(ValueError):
    """Why a text is not JSON, without where it stands."""


def _decode(content: bytes, where: str | Path) -> str:
    encoding = encoding_of(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        place = where if ', line ' in str(where) else f'{where}, line {line}'
        name = encoding.removesuffix('-sig').upper()
        raise ValueError(f'{place}: not {name} text ({error.reason}). Save it as UTF-8') from None


def _parse(text: str, finite: bool, max_values: int | None) -> Any:
    limits = {}
    if max_values is not None:
        # Each value but the first follows one of these, or the name that does.
        if text.count(',') + text.count('[') + text.count('{') > max_values:
            raise _NotJSON(f'it holds over {max_values:,} values')
        limits = dict(parse_int=_integer, object_pairs_hook=_unique)
    if finite:
        limits.update(parse_constant=_refuse)
        if max_values is not None:
            limits.update(parse_float=_finite)
    try:
        value = json.loads(text, **limits)
    except RecursionError:
        raise _NotJSON('it nests too deeply') from None
    except ValueError as error:
        raise _NotJSON(shorten(str(error))) from None
    if max_values is not None:
        _check_depth(value)
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f'a number of {len(text)} digits')
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f'{shorten(text)} is out of range')
    return value


def _refuse(text: str) -> float:
    raise ValueError(f'{text} is no number')


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f'the key "{shorten(twice, 40)}" stands twice')
    return content


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
    if level:
        raise _NotJSON('it nests too deeply')
