"""Reads what networks reach when each is trained alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..costs import CostModel
from ..files import read_csv, read_json, read_json_lines, shorten
from ..structures import Arch

MAX_NUMBER = 1e100  # squares of it, and their sums, are numbers still
MAX_TABLE_BYTES, MAX_TABLE_VALUES = 256 * 2**20, 20_000_000

_ACCURACIES = ('accuracy', 'mean_acc', 'top1_pct', 'score')


class TableRow(NamedTuple):
    """One network."""

    arch: Arch
    accuracy: float  # percent, or any score; higher is better
    macs_m: float
    params_m: float


class AccuracyTable:
    """Networks with their true accuracy; entries that are the same network are merged.

    Args:
        path (str | Path): ``.json``: ``{arch: {"mean_acc": ..., "flops": ..., "params": ...}}``
            as NAS-Bench-Macro has it, where "flops" are MACs. ``.csv``: with the header
            ``arch,accuracy[,macs_m,params_m]``. ``.jsonl``: an object per line with the same
            keys. "score" and "top1_pct" will do for "accuracy".
        cost_model (CostModel): Counts the networks where the file does not; where it does, the
            file's numbers are taken, and :attr:`notes` tells of a difference.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read; says where.
    """

    def __init__(self, path: str | Path, cost_model: CostModel):
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'no table {path}')
        readers = {'.json': _read_json, '.csv': _read_csv, '.jsonl': read_json_lines}
        if path.suffix not in readers:
            raise ValueError(f'a table is one of {", ".join(readers)}; got {path}')
        self.notes: list[str] = []
        space, merged, differs = cost_model.space, {}, []
        for place, record in readers[path.suffix](path):
            try:
                arch = space.parse(record['arch'])
                name = next((name for name in _ACCURACIES if record.get(name) is not None), None)
                if name is None:
                    raise ValueError(f'no accuracy; it is called one of {", ".join(_ACCURACIES)}')
                accuracy = _number(record, name)
                counted = cost_model.cost(arch).in_units()
                costs = []
                for key, raw in (('macs_m', 'flops'), ('params_m', 'params')):
                    known = [_number(record, key)] if record.get(key) is not None else []
                    if not known and record.get(raw) is not None:
                        known = [_number(record, raw) / 1e6]
                    if known and known[0] <= 0:
                        raise ValueError(f'{key} is {known[0]:g}, which no network costs')
                    costs += known or [counted[key]]
                    if abs(costs[-1] - counted[key]) > 1e-4 * counted[key] + 1e-6:
                        differs.append((place, key, costs[-1], counted[key]))
            except (KeyError, TypeError, ValueError) as error:
                text = f'no {error}' if isinstance(error, KeyError) else shorten(str(error), 300)
                raise ValueError(f'{place}: {text}') from None
            merged.setdefault(space.canonical(arch), []).append(TableRow(arch, accuracy, *costs))
        if not merged:
            raise ValueError(f'{path} holds no network')
        self.rows = [_merge(rows) for rows in merged.values()]
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


def _merge(rows: list[TableRow]) -> TableRow:
    return rows[0]._replace(accuracy=sum(row.accuracy for row in rows) / len(rows))


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


def _read_csv(path: Path) -> Iterator[tuple[str, dict]]:
    header, rows = read_csv(path)
    if 'arch' not in header:
        raise ValueError(
            f'{path}, line 1: the header is arch,accuracy[,macs_m,params_m]; got '
            f'{shorten(repr(",".join(header)))}'
        )
    return rows
