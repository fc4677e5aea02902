"""Files of latency: tables of whole networks, as ``tools/latency.py`` builds them, and of layers.

Both formats are documented in docs/latency.md.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from ..costs import build_cost_model
from ..costs.latency import UNITS, LatencyTable
from ..costs.layer_times import LayerTimes
from ..spaces import Space
from .block_ratings import block_space_of
from .read import read_json, read_text, shorten, some_of
from .space_entry import check_space

LATENCY_FORMAT = 'cream_mm.latency/1'
ROWS_FORMAT = 'cream_mm.latency_rows/1'
MAX_ROWS = 100_000
TIMES = ('latency', *(f'latency_{unit}' for unit in UNITS))
UNTIMED = ('name', 'type', 'published_flops', 'bn_eps')  # fields of a space that cost no time
MACHINE = ('processor', 'cores', 'threads', 'device', 'backend', 'dtype', 'system', 'versions')
_WHOLE = (
    'kernel', 'expand', 'in_channels', 'out_channels', 'head_channels', 'num_classes', 'stride',
)  # fmt: skip
_FLAGS = dict.fromkeys(('1', 'true', 'yes'), True) | dict.fromkeys(('0', 'false', 'no'), False)


class LatencyFile(NamedTuple):
    """What a file says.

    Attributes:
        path (str): The file.
        space (Space, optional): Whose networks it is of; None of a table of layers.
        machine (dict): What it was measured on, as far as it is told.
        tables (list[LatencyTable]): One for each image size and head.
    """

    path: str
    space: Space | None
    machine: dict
    tables: list[LatencyTable]


def space_differences(file: LatencyFile, space: Space, but: Sequence[str] = ()) -> list[str]:
    """What the networks of a space have that those of a file have not: ``depths: [4], here [2]``.

    Args:
        file (LatencyFile): Of a space.
        space (Space): Another one.
        but (Sequence[str]): Fields that may be others, beside those that cost no time.
    """
    if type(space) is not type(file.space):
        return [f'{type(file.space).__name__}, here {type(space).__name__}']
    mine, theirs = space.to_dict(), file.space.to_dict()
    return [
        f'{key}: {theirs.get(key)}, here {mine.get(key)}'
        for key in {**theirs, **mine}
        if key not in (*UNTIMED, *but) and mine.get(key) != theirs.get(key)
    ]


def read_latency(path: str | Path, unit: str | None = None) -> LatencyFile:
    """Read a table of latency: ``.json`` of one of both formats, else CSV.

    Args:
        path (str | Path): The file.
        unit (str, optional): ``'ms'``, ``'us'`` or ``'s'``, where the file does not tell.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is of another format, does not tell its unit, or holds what is no time;
            with the place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'no latency table {path}; "python tools/latency.py build CONFIG --out {path}" '
            'measures one'
        )
    if path.suffix.lower() != '.json':
        return _read_csv(path, unit)
    content = read_json(path)
    kind = content.get('format') if isinstance(content, dict) else None
    if kind not in (LATENCY_FORMAT, ROWS_FORMAT):
        raise ValueError(
            f'{path} has format {shorten(repr(kind))}; a latency table has "format": '
            f'"{LATENCY_FORMAT}" (of networks) or "{ROWS_FORMAT}" (of layers)'
        )
    machine = _machine(content.get('machine'), path)
    if kind == ROWS_FORMAT:
        scale = _scale(_of_all(content, 'unit', path), unit, str(path))
        rows = _rows(content.get('rows'), scale, f'{path}: rows')
        batch = _batch(_of_all(content, 'batch', path), path)
        dtype = _of_all(dict(dict(dtype=machine.get('dtype')), **content), 'dtype', path)
        return _of_rows(path, rows, machine, batch, dtype)
    scale = _scale(content.get('unit'), unit, str(path))
    space = _space(content.get('space'), path)
    tables = content.get('tables')
    if not isinstance(tables, list) or not tables:
        raise ValueError(f'{path} has no "tables"')
    dtype = machine.get('dtype')
    found = [
        _table(table, space, scale, dtype, f'{path}: tables[{i}]') for i, table in enumerate(tables)
    ]
    return LatencyFile(str(path), space, machine, found)


# ---- tables of networks --------------------------------------------------------------------------


def _space(entries: Any, path: Path) -> Space:
    try:
        if not isinstance(entries, Mapping):
            raise ValueError(f'"space" is {shorten(repr(entries))}')
        if 'cells' in entries:
            return block_space_of(entries)
        return check_space(entries).build(entries)
    except (AttributeError, IndexError, KeyError, TypeError, OverflowError, ValueError) as error:
        raise ValueError(f'{path}: {shorten(str(error), 300)}') from None


def _table(entries: Any, space: Space, scale: float, dtype: str | None, where: str) -> LatencyTable:
    try:
        if not isinstance(entries, Mapping):
            raise ValueError(f'it is {shorten(repr(entries))}')
        size = entries.get('input_size')
        ok = isinstance(size, list) and len(size) == 2
        if not ok or any(type(side) is not int or not 1 <= side <= 100_000 for side in size):
            raise ValueError(f'"input_size" is {shorten(repr(size))}, not [height, width]')
        for key in ('num_classes', 'head_channels'):
            value = entries.get(key)
            if value is not None and (type(value) is not int or value < 0):
                raise ValueError(f'"{key}" is {shorten(repr(value))}, not a number of them')
        head = entries.get('head', 'classifier')
        rows = entries.get('rows')
        table = LatencyTable(
            input_size=tuple(size),
            batch=_batch(entries.get('batch', 1), where),
            dtype=dtype,
            head=head,
            num_classes=None if head is None else entries.get('num_classes', 1000),
            head_channels=entries.get('head_channels'),
            check=_check(entries.get('check'), where),
        )
        if rows is not None:
            table = table._replace(rows=_rows(rows, scale, f'{where}.rows'))
        else:
            missing = [key for key in ('fixed_ms', 'choices_ms') if key not in entries]
            if missing:
                raise ValueError(f'it has no "{missing[0]}"')
            fixed, choices = (_scaled(entries[k], scale) for k in ('fixed_ms', 'choices_ms'))
            table = table._replace(fixed_ms=fixed, choices_ms=choices)
        # Whose shape, and whether each value is a time, the costs themselves say.
        build_cost_model(
            space, table.input_size, table.num_classes or 1000, table.head_channels, head=head,
            latency=table.for_costs(),
        )  # fmt: skip
    except (AttributeError, TypeError, OverflowError, ValueError) as error:
        text = str(error)
        raise ValueError(text if text.startswith(where) else f'{where}: {text}') from None
    return table


def _scaled(value: Any, scale: float) -> Any:
    if isinstance(value, list):
        return [_scaled(item, scale) for item in value]
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return value * scale if is_number and scale != 1 else value


def _check(entries: Any, where: str) -> dict | None:
    if entries is None:
        return None
    if not isinstance(entries, Mapping):
        raise ValueError(f'{where}: "check" is {shorten(repr(entries))}')
    numbers = {key: entries.get(key) for key in ('networks', 'mean_error_pct', 'tau')}
    found = {}
    for key, value in numbers.items():
        if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
            found[key] = value
    return found if found.keys() & {'mean_error_pct', 'tau'} else None


# ---- tables of layers ----------------------------------------------------------------------------


def _of_rows(
    path: Path, rows: list[dict], machine: dict, batch: int | None, dtype: Any
) -> LatencyFile:
    if dtype is not None and not isinstance(dtype, str):
        raise ValueError(f'{path}: "dtype" is {shorten(repr(dtype))}, not a name')
    table = LatencyTable(batch=batch, dtype=dtype, rows=rows)
    return LatencyFile(str(path), None, machine, [table])


def _of_all(content: Mapping, key: str, path: Path) -> Any:
    """What a file says once or in each of its rows; None if it does not.

    Raises:
        ValueError: If it says two things.
    """
    rows = content.get('rows')
    rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    told = [one[key] for one in (content, *rows) if one.get(key) is not None]
    if others := {shorten(str(value)) for value in told if value != told[0]}:
        names = some_of(sorted(others))
        raise ValueError(
            f'{path}: {key} is {shorten(str(told[0]))}, and of some rows {names}; a table is of one'
        )
    return told[0] if told else None


def _rows(rows: Any, scale: float, where: str) -> list[dict]:
    """Rows with ``latency_ms``; numbers are checked, other entries left out.

    Raises:
        ValueError: With the row.
    """
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_ROWS:
        raise ValueError(f'{where} is no list of rows')
    found = []
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping) or not isinstance(row.get('op'), str):
            raise ValueError(f'{where}[{i}] has no "op"')
        entry = dict(op=shorten(row['op']))
        for key in _WHOLE:
            value = row.get(key)
            if value is not None:
                if not _is_whole(value):
                    raise ValueError(f'{where}[{i}].{key} is {shorten(repr(value))}, no number')
                entry[key] = int(value)
        for key in ('in_size', 'out_size'):
            if row.get(key) is not None:
                entry[key] = _size(row[key], f'{where}[{i}].{key}')
        if row.get('se') is not None:  # a flag, or the ratio of the excitation
            if not isinstance(row['se'], Real):
                raise ValueError(f'{where}[{i}].se is {shorten(repr(row["se"]))}, no flag')
            entry['se'] = bool(row['se'])
        if row.get('act') is not None:
            entry['act'] = shorten(str(row['act'])).lower()
        if entry['op'].lower() in ('head', 'linear') and 'num_classes' in entry:
            entry.setdefault('out_channels', entry.pop('num_classes'))
        times = [key for key in TIMES if key in row]
        if len(times) > 1:
            raise ValueError(f'{where}[{i}] has both "{times[0]}" and "{times[1]}"')
        time = row[times[0]] if times else None
        is_time = isinstance(time, Real) and not isinstance(time, bool)
        if not is_time or not 0 <= time < math.inf:
            raise ValueError(f'{where}[{i}]: the latency is {shorten(repr(time))}, no time')
        entry['latency_ms'] = float(time) * UNITS.get(times[0].partition('_')[2], scale)
        found.append(entry)
    try:
        LayerTimes(found)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None
    return found


def _size(value: Any, where: str) -> list[int]:
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or not all(_is_whole(side) and side >= 1 for side in sides):
        raise ValueError(f'{where} is {shorten(repr(value))}, not a side or [height, width]')
    return [int(side) for side in sides]


def _is_whole(value: Any) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return is_number and value == int(value)


def _read_csv(path: Path, unit: str | None) -> LatencyFile:
    """A header, then a row for each layer; the unit is in the name of the column of times."""
    text = read_text(path)
    first = text.split('\n', 1)[0]
    mark = max(',;\t', key=first.count)
    lines = csv.reader(io.StringIO(text, newline=''), delimiter=mark)
    header = [name.strip().lower() for name in next(lines, [])]
    times = [name for name in header if name == 'latency' or name.startswith('latency_')]
    if 'op' not in header or len(times) != 1:
        raise ValueError(
            f'{path}, line 1: a table of layers has a column "op" and one of times, "latency_ms", '
            f'"latency_us" or "latency_s"; got {shorten(some_of(header, 12), 200)}'
        )
    scale = _scale(times[0].partition('_')[2] or None, unit, f'{path}, line 1')
    rows, places, constant = [], [], {}
    for line in lines:
        where = f'{path}, line {lines.line_num}'
        if not any(field.strip() for field in line):
            continue
        if len(line) > len(header) or len(rows) >= MAX_ROWS:
            raise ValueError(f'{where}: {len(line)} fields, the header has {len(header)}')
        fields = {key: value.strip() for key, value in zip(header, line) if value.strip()}
        for key in ('batch', 'dtype', 'processor', 'device', 'backend', 'threads'):
            if key in fields and constant.setdefault(key, fields[key]) != fields[key]:
                raise ValueError(
                    f'{where}: {key} is {fields[key]}, in lines before {constant[key]}; a table '
                    'is of one'
                )
        places.append(where)
        rows.append(_csv_row(fields, times[0], where))
    if not rows:
        raise ValueError(f'{path} has no rows below its header')
    try:
        rows = _rows(rows, scale, 'rows')
    except ValueError as error:
        text = str(error)
        for i in reversed(range(len(places))):
            text = text.replace(f'rows[{i}]', places[i]).replace(f'row {i + 1} ', f'{places[i]} ')
        raise ValueError(text if str(path) in text else f'{path}: {text}') from None
    batch = constant.pop('batch', None)
    dtype = constant.pop('dtype', None)
    whole = (batch or '').removesuffix('.0')  # as pandas writes whole numbers beside gaps
    batch = _batch(int(whole) if whole.isdecimal() else batch, path)
    return _of_rows(path, rows, _machine(constant, path), batch, dtype)


def _csv_row(fields: Mapping[str, str], times: str, where: str) -> dict:
    row: dict[str, Any] = dict(op=fields.get('op', ''))
    for key in (*_WHOLE, 'in_size', 'out_size', times):
        if key not in fields:
            continue
        name = 'latency' if key == times else key
        try:
            sides = fields[key].strip('[]()').replace('x', ' ').replace(',', ' ').split()
            if key.endswith('_size'):
                numbers = [float(side) for side in sides]
                row[name] = numbers if len(numbers) > 1 else numbers[0]
            else:
                row[name] = float(fields[key])
        except (IndexError, ValueError):
            raise ValueError(f'{where}: {key} is {shorten(fields[key])}, no number') from None
    if 'se' in fields:
        if fields['se'].lower() not in _FLAGS:
            raise ValueError(f'{where}: se is {shorten(fields["se"])}, not 0 or 1')
        row['se'] = _FLAGS[fields['se'].lower()]
    if 'act' in fields:
        row['act'] = fields['act']
    return row


# ---- what both have ------------------------------------------------------------------------------


def _scale(unit: Any, given: str | None, where: str) -> float:
    if None not in (unit, given) and unit != given:
        raise ValueError(f'{where}: the unit is {shorten(repr(unit))}, not {given!r} as given')
    unit = given if unit is None else unit
    if unit is None:
        raise ValueError(
            f'{where} does not tell its unit: "unit" is one of {", ".join(UNITS)}, in CSV the '
            'column is latency_ms, latency_us or latency_s; or give latency=dict(file=..., '
            "unit='ms')"
        )
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f'{where}: unit {shorten(repr(unit))} is none of {", ".join(UNITS)}')
    return UNITS[unit]


def _batch(value: Any, where: object) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f'{where}: "batch" is {shorten(repr(value))}, not a number of images')
    return value


def _machine(entries: Any, path: Path) -> dict:
    """What is told of the machine, as short words and numbers."""
    if entries is None:
        return {}
    if not isinstance(entries, Mapping):
        raise ValueError(f'{path}: "machine" is {shorten(repr(entries))}, not an object')
    found = {}
    for key in MACHINE:
        value = entries.get(key)
        if isinstance(value, Mapping):
            found[key] = {shorten(str(k)): shorten(str(v)) for k, v in list(value.items())[:20]}
        elif isinstance(value, int) and not isinstance(value, bool):
            found[key] = value
        elif value is not None:
            found[key] = int(value) if str(value).isdecimal() else shorten(str(value), 200)
    return found
