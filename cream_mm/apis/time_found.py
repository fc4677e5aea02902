"""Times the networks that a search has found, beside what its table said of them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..files.arch_file import network_of, read_arch_file
from ..files.front_file import read_steps
from ..spaces import Space
from ..structures import Arch
from .latency_networks import TimedNetworks
from .latency_table import Stand
from .time_networks import Backend, default_threads

SESSIONS = 3
"""Each network is loaded so many times: where it lies in the memory matters, too."""


class Found(NamedTuple):
    """A network of a search, and what it takes."""

    name: str  # 'answer', or 'front 1' and so on
    arch: Arch
    macs_m: float | None
    predicted_ms: float | None  # None: the search had no table
    ms: float  # measured, of one batch


def time_found(
    place: str | Path,
    *,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = print,
) -> list[Found]:
    """Time the answer of a search, and the other networks of its front, with random weights.

    Runtime, threads and batch are those of the search's table, as far as it had one.

    Args:
        place (str | Path): The work directory of a search, or an exported architecture.
        backend, device, threads: In place of the table's, as of :class:`Backend`.
        say (callable): Takes lines for the user.

    Raises:
        FileNotFoundError, ValueError: If there is no answer, or it cannot be read.
        ImportError: If the backend is not installed.
    """
    place = Path(place)
    path = place / 'best_arch.json' if place.is_dir() else place
    answer = read_arch_file(path)
    table = answer.get('latency') or {}
    machine = table.get('machine') or {}
    runtime = Backend(
        backend or machine.get('backend') or 'onnxruntime',
        device or machine.get('device') or 'cpu',
        threads or int(machine.get('threads') or default_threads()),
    )
    rows = list(_rows(answer, path, with_front=place.is_dir()))
    alike: dict[tuple[Space, tuple[int, ...]], dict[str, Arch]] = {}
    for name, arch, space, size, _ in rows:
        alike.setdefault((space, size), {})[name] = arch
    times = {}
    for (space, size), archs in alike.items():
        networks = TimedNetworks(
            space, size, answer.get('num_classes', 1000),
            answer.get('head_channels'), head='classifier' if 'num_classes' in answer else None,
        )  # fmt: skip
        stand = Stand(networks, runtime, int(table.get('batch') or 1))
        sessions = [[t.ms for t in stand.time_networks(archs.values())] for _ in range(SESSIONS)]
        times.update(zip(archs, np.median(sessions, 0).tolist()))
    found = [
        Found(name, arch, costs.get('macs_m'), costs.get('latency_ms'), times[name])
        for name, arch, _, _, costs in rows
    ]
    for line in _table(found, (answer.get('budget') or {}).get('latency_ms')):
        say(line)
    return found


def _rows(
    answer: Mapping, path: Path, with_front: bool
) -> Iterator[tuple[str, Arch, Space, tuple[int, ...], Mapping[str, Any]]]:
    """Name, network, space, image size and costs; what stands twice in the front, once."""
    arch, space = network_of(answer, str(path))
    size = tuple(answer['input_size'])
    yield 'answer', arch, space, size, answer.get('costs') or {}
    front = path.parent / 'front.json'
    if not with_front or not front.is_file():
        return
    known = {(arch, space, size)}
    for number, step in enumerate(read_steps(front)[1], 1):
        row = dict(step, space=step.get('space') or answer['space'])
        arch, space = network_of(row, f'{front}: step {number}')
        size = tuple(step.get('input_size') or answer['input_size'])
        if (arch, space, size) not in known:
            known.add((arch, space, size))
            yield f'front {number}', arch, space, size, step['costs']


def _table(found: list[Found], bounds: list | None) -> Iterator[str]:
    width = max(len(item.name) for item in found)
    yield f'{"network":{width}}    MMACs  predicted  measured'
    for item in found:
        macs = '' if item.macs_m is None else f'{item.macs_m:.2f}'
        line = f'{item.name:{width}} {macs:>8} '
        if item.predicted_ms is None:
            yield f'{line} {"":>9} {item.ms:>9.3f} ms'
            continue
        off = 100 * (item.predicted_ms / item.ms - 1)
        yield f'{line} {item.predicted_ms:>9.3f} {item.ms:>9.3f} ms  {off:+.1f} %'
    known = [item for item in found if item.predicted_ms is not None]
    if known:
        errors = [abs(item.predicted_ms / item.ms - 1) for item in known]
        yield f'the table is {100 * np.mean(errors):.1f} % off on average'
    if bounds:
        low, high = (default if b is None else b for b, default in zip(bounds, (0, np.inf)))
        is_within = low <= found[0].ms <= high
        yield (
            f'the answer takes {found[0].ms:.3f} ms, '
            f'{"within" if is_within else "NOT within"} its budget of {list(bounds)}'
        )
