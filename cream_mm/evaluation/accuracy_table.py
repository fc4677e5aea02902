"""Reads what networks reach when each is trained alone."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from ..costs import CostModel
from ..files import read_csv, read_json, read_json_lines, shorten
from ..structures import Arch

MAX_NUMBER = 1e100  # squares of it, and their sums, are numbers still
MAX_TABLE_BYTES, MAX_TABLE_VALUES = 256 * 2**20, 20_000_000

_ACCURACIES = ('accuracy', 'mean_acc', 'top1_pct', 'score')
_NETWORKS = ('cellstr', 'arch')  # where both are, the second is a number
_COSTS = (('macs_m', 'flops'), ('params_m', 'params'))


class TableRow(NamedTuple):
    """One network."""

    arch: Arch
    accuracy: float  # percent, or any score; higher is better
    macs_m: float
    params_m: float


class AccuracyTable:
    """Networks with their true accuracy; entries that are the same network are merged.

    A merged entry has the mean of the accuracies, and the network and costs of its first entry,
    or of what a search would propose for that one (:meth:`Space.reduced`).

    Args:
        path (str | Path): ``.json``: ``{arch: {"mean_acc": ..., "flops": ..., "params": ...}}``
            as NAS-Bench-Macro has it, where "flops" are MACs. ``.csv``: with the header
            ``arch,accuracy[,macs_m,params_m]``; ``cellstr``, where there is one, for ``arch``.
            ``.jsonl``: an object per line with the same keys. "score" and "top1_pct" will do for
            "accuracy", or any other single column.
        cost_model (CostModel): Counts the networks where the file does not; where it does, the
            file's numbers are taken, unless they are the counted ones in fewer digits, and
            :attr:`notes` tells of a difference.
        column (str, optional): What the accuracy is called there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or has several columns that may be the accuracy; says
            where.
    """

    def __init__(self, path: str | Path, cost_model: CostModel, column: str | None = None):
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'no table {path}')
        readers = {'.json': _read_json, '.csv': None, '.jsonl': read_json_lines}
        if path.suffix not in readers:
            raise ValueError(f'a table is one of {", ".join(readers)}; got {path}')
        self.notes: list[str] = []
        space, merged, differs = cost_model.space, {}, []
        if path.suffix == '.csv':
            column, records = _read_csv(path, column)
        else:
            records = readers[path.suffix](path)
        for place, record in records:
            try:
                arch = space.parse(record[next((k for k in _NETWORKS if k in record), 'arch')])
                names = _ACCURACIES if column is None else (column,)
                name = next((name for name in names if record.get(name) is not None), None)
                if name is None:
                    usual = f'accuracy; it is called one of {", ".join(names)}'
                    raise ValueError(f'no {usual if column is None else shorten(column)}')
                accuracy = _number(record, name)
                counted = cost_model.cost(arch).in_units()
                costs = []
                for key, raw in _COSTS:
                    costs.append(_cost(record, key, raw, counted[key]))
                    if abs(costs[-1] - counted[key]) > 1e-4 * counted[key] + 1e-6:
                        differs.append((place, key, costs[-1], counted[key]))
            except (KeyError, TypeError, ValueError) as error:
                text = f'no {error}' if isinstance(error, KeyError) else shorten(str(error), 300)
                raise ValueError(f'{place}: {text}') from None
            merged.setdefault(space.canonical(arch), []).append(TableRow(arch, accuracy, *costs))
        if not merged:
            raise ValueError(f'{path} holds no network')
        self.rows = [_merge(rows, cost_model) for rows in merged.values()]
        repeated = sum(len(rows) - 1 for rows in merged.values())
        if repeated:
            self.notes.append(
                f'{repeated} of {repeated + len(self.rows)} entries are networks that stand in the '
                'table before, written in another way: merged, their accuracies averaged'
            )
        if differs:
            place, key, theirs, ours = differs[0]
            place = place.removeprefix(f'{path}, ')
            self.notes.append(
                f'{len(differs)} costs in the table are not what the cost model counts, for '
                f'example {place}: {key} {theirs:.4f}, counted {ours:.4f}. The table is followed'
            )

    def __len__(self) -> int:
        return len(self.rows)


def _merge(rows: list[TableRow], cost_model: CostModel) -> TableRow:
    arch = cost_model.space.reduced(rows[0].arch)
    same = next((row for row in rows if row.arch == arch), None)
    if same is None:
        cost = cost_model.cost(arch).in_units()
        same = TableRow(arch, 0.0, cost['macs_m'], cost['params_m'])
    return same._replace(accuracy=sum(row.accuracy for row in rows) / len(rows))


def _cost(record: dict, key: str, raw: str, counted: float) -> float:
    """In millions: what the record says under ``key``, or under ``raw`` in ones, or the count.

    A number that is the count with fewer digits is the count.
    """
    name, unit = (key, 1) if record.get(key) is not None else (raw, 1_000_000)
    if record.get(name) is None:
        return counted
    value = _number(record, name) / unit
    if value <= 0:
        raise ValueError(f'{key} is {value:g}, which no network costs')
    last_digit = float(Decimal(10) ** Decimal(str(record[name])).as_tuple().exponent) / unit
    return counted if abs(value - counted) <= 0.500001 * last_digit else value


def _number(record: dict, key: str) -> float:
    value = record[key]
    try:
        number = float('nan') if isinstance(value, bool) else float(value)
    except (OverflowError, TypeError, ValueError):
        number = float('nan')
    if not abs(number) <= MAX_NUMBER:
        raise ValueError(f'{key} is not a finite number: {shorten(repr(value))}')
    return number


def _read_json(path: Path) -> Iterator[tuple[str, dict]]:
    content = read_json(path, max_bytes=MAX_TABLE_BYTES, max_values=MAX_TABLE_VALUES)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise ValueError(f'{path} is not a table: it needs {{arch: {{"mean_acc": ...}}, ...}}')
    for key, record in content.items():
        yield f'{path}, entry {shorten(key)}', dict(record, arch=key)


def _read_csv(path: Path, column: str | None) -> tuple[str | None, Iterator[tuple[str, dict]]]:
    """Which column is the accuracy, None where several of the usual names may be, and the rows."""
    header, rows = read_csv(path)
    others = {*_NETWORKS, *(name for names in _COSTS for name in names)}
    columns = [name for name in header if name not in others]
    usual = [name for name in columns if name in _ACCURACIES]
    if not set(header) & set(_NETWORKS) or (column is None and not columns):
        raise ValueError(
            f'{path}, line 1: the header is arch,accuracy[,macs_m,params_m]; got '
            f'{shorten(repr(",".join(header)))}'
        )
    if column is not None and column not in header:
        raise ValueError(
            f'{path}, line 1: no column {shorten(repr(column))}; it has '
            f'{shorten(", ".join(header), 200)}'
        )
    if column is None and not usual:
        if len(columns) > 1:
            raise ValueError(
                f'{path}, line 1: which column is the accuracy? Name one of '
                f'{shorten(", ".join(columns), 200)} (--column)'
            )
        column = columns[0]
    return column, rows
