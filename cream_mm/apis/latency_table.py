"""Measures tables of latency."""

import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config.carry import override, read_config
from ..config.latency_budget import place_of
from ..config.work_dir import config_file
from ..costs.latency import machine_words
from ..costs.latency_fit import LatencyFit, fit_latency
from ..files.latency_file import LATENCY_FORMAT, read_latency
from ..files.latency_log import LatencyLog, other_source
from ..files.progress import Progress
from ..files.read import read_json
from ..files.whole import write_json
from ..spaces import SPACE_PRESETS, BlockSpace, Space, build_space, known_spaces
from ..structures import Arch
from .latency_networks import TimedNetworks
from .time_networks import Backend, Timing, fit_norms, time_beside

GROUP = 8  # networks in memory at once, timed in turns
NETWORKS_PER_LAYER = 3
MIN_NETWORKS, MAX_NETWORKS = 40, 400
SECONDS_EACH = 2.0  # of timing one network, within these rounds
MIN_ROUNDS, MAX_ROUNDS = 4, 24
LAYER_ROUNDS = 5
Say = Callable[[str], None]


# ---- build -----------------------------------------------------------------------------------


def build_latency(
    source: str,
    out: str | Path,
    *,
    backend: str = 'onnxruntime',
    device: str = 'cpu',
    threads: int = 1,
    sizes: Sequence[tuple[int, int]] = (),
    batch: int = 1,
    head: str | None = 'as told',
    num_classes: int | None = None,
    minutes: float = 10.0,
    seed: int = 0,
    cfg_options: dict | None = None,
    say: Say = print,
) -> dict:
    """Measure networks of a space, fit times of their layers, and write a file of both.

    ``FILE.jsonl`` beside it has each time as it was measured: the same call goes on after a kill,
    and another one adds sizes, batches and heads. docs/latency.md tells how it is measured.

    Args:
        source (str): Name of a space, config of a search, or its work directory.
        out (str | Path): The file.
        backend, device, threads: See :class:`Backend`.
        sizes (Sequence[tuple[int, int]]): Heights and widths. Defaults to the config's, of a space
            alone to 224, and to 32 where the stem has no stride.
        batch (int): Images at once.
        head (str, optional): 'classifier', or None for a backbone alone. Defaults to the config's.
        num_classes (int, optional): Of the classifier. Defaults to the config's; to 1000, and to
            10 where the stem has no stride.
        minutes (float): Of each size; a few networks are measured even if they take longer.
        seed (int): Of the choice of networks.
        cfg_options (dict, optional): Overrides of the config.
        say (callable): Takes lines for the user.

    Returns:
        dict: The content of the file.

    Raises:
        FileNotFoundError, ValueError: If there is no such space or config, its times do not add
            up, or the files are of another space or machine.
        ImportError: If the backend is not installed.
    """
    space, counted = read_space(source, cfg_options)
    size = counted.pop('input_size')
    counted.update({} if head == 'as told' else dict(head=head))
    counted.update({} if num_classes is None else dict(num_classes=num_classes))
    all_networks = [TimedNetworks(space, one, **counted) for one in sizes or [size]]
    runtime = Backend(backend, device, threads)
    machine = runtime.machine()
    content = dict(format=LATENCY_FORMAT, unit='ms', space=space.to_dict(), machine=machine)
    content['tables'] = _tables_before(out, content)
    log = LatencyLog(f'{out}.jsonl', content['space'], machine)
    say(f'machine   {machine_words(machine)}; {machine["cores"]} cores to be used')
    for networks in all_networks:
        table = _build_table(networks, runtime, batch, log, minutes, seed, say)
        same = [_key(other) == _key(table) for other in content['tables']]
        before = [other for other, is_same in zip(content['tables'], same) if is_same]
        if before and all(before[0].get(k) == v for k, v in table.items() if k != 'check'):
            table = before[0]  # with its check
        others = [other for other, is_same in zip(content['tables'], same) if not is_same]
        content['tables'] = [*others, table]
        write_json(out, content)
        say(f'written   {out}')
    return content


def read_space(source: str, cfg_options: dict | None = None) -> tuple[Space, dict]:
    """The space of a name or of a search's config, and arguments of :func:`build_cost_model`.

    The data is not looked at, and a budget of latency needs no table yet.

    Raises:
        FileNotFoundError, ValueError: If there is none.
    """
    if source.endswith('.py') or os.path.isdir(source):
        path = config_file(source) if os.path.isdir(source) else source
        cfg, _ = read_config(path)
        override(cfg, cfg_options or {})
        place = place_of(cfg)
        if place is None:
            raise ValueError(f'{path} is not the config of a search: it counts no paths')
        return place.space, dict(place.counted)
    named = {name: dict(preset=name) for name in SPACE_PRESETS}
    for name, kind in known_spaces().items():
        own = getattr(kind, 'name', None)
        if isinstance(own, str):
            named.setdefault(own, dict(type=name))
    if source not in named:
        raise ValueError(
            f'{source!r} is no space and no config; spaces are {", ".join(named)}, and a config '
            'is a .py file'
        )
    space = build_space(named[source])
    is_small = getattr(space, 'stem_stride', 2) == 1
    return space, dict(input_size=32 if is_small else 224, num_classes=10 if is_small else 1000)


def _tables_before(out: str | Path, content: Mapping) -> list[dict]:
    """Tables of the file as it is.

    Raises:
        ValueError: If it is of another space or machine.
    """
    if not os.path.exists(out):
        return []
    read_latency(out)  # refuses what is none
    before = read_json(out)
    if other := other_source(before, content):
        raise ValueError(f'{out} is of {other}: name another file, --out FILE')
    return list(before.get('tables') or [])


def _key(table: Mapping) -> tuple:
    names = 'input_size', 'batch', 'head', 'num_classes', 'head_channels'
    return tuple(str(table.get(name)) for name in names)


def _build_table(
    networks: TimedNetworks,
    runtime: Backend,
    batch: int,
    log: LatencyLog,
    minutes: float,
    seed: int,
    say: Say,
) -> dict:
    table: dict[str, Any] = dict(
        input_size=list(networks.input_size), batch=batch, head=networks.head,
        num_classes=networks.num_classes, head_channels=networks.head_channels,
    )  # fmt: skip
    known = log.of(table)
    stand = Stand(networks, runtime, batch)
    layers = networks.all_layers()
    number = min(max(MIN_NETWORKS, NETWORKS_PER_LAYER * len(layers)), MAX_NETWORKS)
    height, width = networks.input_size
    say(
        f'space     {networks.space.name}, {len(layers)} different layers; {height} x {width}, '
        f'batch {batch}; reference network {stand.reference_ms:.2f} ms'
    )

    single = {str(list(layer)): (layer, made) for layer, made in layers.items() if made}
    left = [name for name in single if ('layer', name) not in known]
    loads = [lambda made=single[name][1]: stand.load(*made) for name in left]
    for name, timing in zip(left, stand.time(loads, LAYER_ROUNDS)):
        log.add(table, 'layer', name, timing)
    say(f'layers    {len(single)} timed alone' if single else 'layers    none can be timed alone')

    archs = networks.designed(number, seed)
    _time_archs(archs, stand, log, table, minutes, say)
    known = log.of(table)
    done = [arch for arch in archs if ('network', str(arch)) in known]
    records = [known['network', str(arch)] for arch in done]
    # What the reference takes while nobody disturbs it much.
    reference = float(np.quantile([record['reference_ms'] for record in records], 0.25))
    alone = {
        layer: known['layer', name]['ratio'] * reference for name, (layer, _) in single.items()
    }
    fit = fit_latency(
        [networks.layers(arch) for arch in done],
        [record['ratio'] * reference for record in records],
        alone or _by_macs(networks),
        seed,
    )
    say(
        f'fit       {len(done)} networks; those that a fit has not seen are {fit.error_pct:.1f} % '
        f'off on average (cross-validation)'
    )
    if disturbed := sum(record['outliers'] for record in records):
        say(
            f'note      {disturbed} rounds were disturbed by something else; medians leave them out'
        )
    if fit.left_out:
        say(
            f'note      {len(fit.left_out)} of them are left out as far from the rest, such as '
            f'{done[fit.left_out[0]]}: something else ran while they were timed'
        )
    table.update(_times(networks, fit), check=None)
    table.update(networks=len(done), seed=seed, reference_ms=reference)
    return table


def _time_archs(
    archs: Sequence[Arch], stand: 'Stand', log: LatencyLog, table: dict, minutes: float, say: Say
) -> None:
    """Time the networks that the log lacks, in groups, until the time is over."""
    known, start = log.of(table), time.monotonic()
    left = [arch for arch in archs if ('network', str(arch)) not in known]
    progress = Progress(len(archs))
    for _ in range(len(archs) - len(left)):
        progress.step(known=True)
    for first in range(0, len(left), GROUP):
        group = left[first : first + GROUP]
        if time.monotonic() - start > 60 * minutes and progress.done >= MIN_NETWORKS:
            say(f'networks  {progress.done}: {minutes:g} minutes are over')
            return
        for arch, timing in zip(group, stand.time_networks(group)):
            log.add(table, 'network', str(arch), timing)
            place = progress.step()
        say(f'networks  {place} {progress.eta}')


class Stand:
    """Loads models into a runtime and times them beside the reference network.

    Args:
        networks (TimedNetworks): Whose networks.
        runtime (Backend): Where they run.
        batch (int): Images at once.
    """

    def __init__(self, networks: TimedNetworks, runtime: Backend, batch: int):
        self.networks, self.runtime, self.batch = networks, runtime, batch
        self.reference = self.load_network(networks.reference())
        first = time_beside(
            [self.reference] * 3, self.reference, rounds=MIN_ROUNDS, clock=runtime.clock
        )
        self.reference_ms = min(timing.reference_ms for timing in first)
        runs = 2 * 6 * self.reference_ms / 1e3  # of both, seconds a round
        self.rounds = int(min(max(SECONDS_EACH / runs, MIN_ROUNDS), MAX_ROUNDS))
        self._calls = 0

    def load(self, module: Any, shape: Sequence[int]) -> Callable[[], None]:
        """A module as something to call."""
        shape = (self.batch, *shape)
        fit_norms(module, shape)
        return self.runtime.load(module, shape)

    def load_network(self, arch: Arch) -> Callable[[], None]:
        """A network as something to call."""
        space = self.networks.space
        channels = getattr(space, 'skeleton', space).in_channels
        return self.load(self.networks.module(arch), (channels, *self.networks.input_size))

    def time(
        self, loads: Sequence[Callable[[], Callable[[], None]]], rounds: int | None = None
    ) -> Iterator[Timing]:
        """Times in the order of ``loads``; one group of models is in memory at a time."""
        for first in range(0, len(loads), GROUP):
            runs = [load() for load in loads[first : first + GROUP]]
            self._calls += 1
            yield from time_beside(
                runs, self.reference, rounds=rounds or self.rounds, seed=self._calls,
                clock=self.runtime.clock,
            )  # fmt: skip

    def time_networks(self, archs: Iterable[Arch]) -> Iterator[Timing]:
        """Times of whole networks, in their order."""
        return self.time([partial(self.load_network, arch) for arch in archs])


def _by_macs(networks: TimedNetworks) -> dict[Hashable, float]:
    """In place of times alone: one nanosecond for each ten multiply-adds."""
    costs = networks.costs
    return {(p, c): costs.choice_costs(p)[c].macs * 1e-7 for p, c in networks.all_layers()}


def _times(networks: TimedNetworks, fit: LatencyFit) -> dict:
    """The entries of a table that hold times."""
    if isinstance(networks.space, BlockSpace):
        return dict(rows=_rows(networks, fit))
    names, space = iter(networks.names()), networks.space
    nested = [[next(names) for _ in range(d)] for d in space.decode([0] * len(space.sizes)).depths]

    def filled(times: Mapping) -> list:
        return [
            [[0.0 if name is None else round(times[name], 6) for name in row] for row in stage]
            for stage in nested
        ]

    return dict(
        fixed_ms=round(fit.fixed_ms, 6), fixed_error_ms=round(fit.fixed_error_ms, 6),
        choices_ms=filled(fit.layers_ms), error_ms=filled(fit.error_ms),
    )  # fmt: skip


def _rows(networks: TimedNetworks, fit: LatencyFit) -> list[dict]:
    """By what a layer is. What all networks have is one row, and its parts take no time."""
    rows, tails = [dict(op='fixed', latency_ms=round(fit.fixed_ms, 6))], {}
    for layer, time_ms in fit.layers_ms.items():
        if layer.op == 'tail':
            tails[layer.in_channels] = time_ms
            continue
        kept = {key: value for key, value in layer._asdict().items() if value is not None}
        kept.update(in_size=list(layer.in_size), latency_ms=round(time_ms, 6))
        rows.append(dict(kept, error_ms=round(fit.error_ms[layer], 6)))
    space, found = networks.space, {}
    for cell in space.cells[-1]:
        cells = [0] * (space.num_blocks - 1) + [space.cells[-1].index(cell)]
        depths = [block[number].layers for block, number in zip(space.cells, cells)]
        arch = space.answer(cells, [[0] * depth for depth in depths])
        network, costs = networks.costs.network(arch)
        first, behind = _fixed_rows(costs.layer_table(network), space, networks.input_size)
        if behind:
            behind[0]['latency_ms'] = round(tails.get(costs.space.stage_channels[-2], 0.0), 6)
        for row in (*first, *behind):
            found[tuple((k, str(v)) for k, v in row.items() if k != 'latency_ms')] = row
    return [*rows, *found.values()]


def _fixed_rows(
    table: Sequence[Mapping], space: BlockSpace, input_size: tuple[int, int]
) -> tuple[list[dict], list[dict]]:
    """Of a network's layers those before its blocks, and those behind them."""
    parts, size = ([], []), list(input_size)
    for row in table:
        if row['stage'] is None or not 1 <= row['stage'] <= space.num_blocks:
            is_pooled = list(row['out_size']) == [1, 1] and row['op'] != 'pool'
            keys = 'op', 'in_channels', 'out_channels', 'stride'
            kept = {key: row[key] for key in keys}
            kept.update(in_size=[1, 1] if is_pooled else size, latency_ms=0.0)
            parts[row['name'] not in ('stem', 'blocks.0.0')].append(kept)
        size = list(row['out_size'])
    return parts
