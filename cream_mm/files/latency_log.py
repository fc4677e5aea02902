"""``FILE.jsonl`` beside a latency table: each time as it was measured."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .lines import mend_lines
from .read import Dropped, read_json_lines
from .whole import append_lines

LOG_FORMAT = 'cream_mm.latency_log/1'
TIMES = ('ratio', 'ms', 'reference_ms')


class LatencyLog:
    """What was timed; goes on after a kill.

    Args:
        path (str | Path): The file.
        space (Mapping): Whose networks, as :meth:`Space.to_dict` gives it.
        machine (Mapping): Where they run; ``system`` may change.

    Raises:
        ValueError: If the file there is of another space or machine, or no such log.
    """

    def __init__(self, path: str | Path, space: Mapping, machine: Mapping):
        self.path = Path(path)
        self._lines: list[dict] = []
        mine = dict(format=LOG_FORMAT, space=dict(space), machine=dict(machine))
        if not self.path.exists():
            append_lines(self.path, [json.dumps(mine)])
            return
        mend_lines(self.path)
        dropped = Dropped()
        lines = [line for _, line in read_json_lines(self.path, dropped)]
        first = lines[0] if lines and isinstance(lines[0], dict) else {}
        if first.get('format') != LOG_FORMAT:
            raise ValueError(f'{self.path} is no log of latency: name another file, --out FILE')
        if other := other_source(first, mine):
            raise ValueError(f'{self.path} has times of {other}: name another file, --out FILE')
        self._lines = [line for line in lines[1:] if _is_timing(line)]

    def of(self, table: Mapping[str, Any]) -> dict[tuple[str, str], dict]:
        """What was timed for a table, by ('layer' or 'network', its name)."""
        key = _key(table)
        return {(line['kind'], line['name']): line for line in self._lines if line['table'] == key}

    def add(self, table: Mapping[str, Any], kind: str, name: str, timing: Any) -> None:
        """Take note of a :class:`Timing`; it is on the disk when this returns."""
        line = dict(table=_key(table), kind=kind, name=name, **timing._asdict())
        append_lines(self.path, [json.dumps(line)])
        self._lines.append(line)


def other_source(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> str | None:
    """What two times that are not to be mixed differ in: ``another machine (threads: 1, now 2)``.

    Args:
        theirs, mine (Mapping): ``space`` and ``machine`` of a file, and those of now. ``system`` of
            a machine may change.

    Returns:
        str, optional: For a message; None if they are the same.
    """
    for key in ('space', 'machine'):
        was, now = (dict(one.get(key) or {}, system=None) for one in (theirs, mine))
        differ = [k for k in {**now, **was} if now.get(k) != was.get(k)]
        if differ:
            told = '; '.join(f'{k}: {was.get(k)}, now {now.get(k)}' for k in differ)
            return f'another {key} ({told})'
    return None


def _key(table: Mapping[str, Any]) -> list:
    return [*table['input_size'], *(table[k] for k in ('batch', 'head', 'num_classes',
                                                       'head_channels'))]  # fmt: skip


def _is_timing(line: Any) -> bool:
    if not isinstance(line, dict) or not all(type(line.get(k)) is str for k in ('kind', 'name')):
        return False
    times = [line.get(key) for key in TIMES]
    return (
        isinstance(line.get('table'), list)
        and type(line.get('outliers')) is int
        and all(type(time) in (int, float) and 0 < time < math.inf for time in times)
    )
