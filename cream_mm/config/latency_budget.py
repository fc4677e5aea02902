"""A table of latency that a search's config names: found, checked, and put among its costs."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mmengine.config import Config

from ..costs import CostModel, build_cost_model
from ..costs.budget import leaves_out_nothing
from ..costs.latency import LatencyTable, machine_words, no_such_table, pick_table
from ..environment import processor_name
from ..files.latency_file import LatencyFile, read_latency, space_differences
from ..registry import kind_of
from ..spaces import ElasticSpace, MBConvSpace, Space, build_space
from .fit_network import CELLS

KEYS = ('file', 'batch', 'dtype', 'unit', 'table')
HEAD_HIDDEN = 1280  # of a CreamClsHead, where a config does not say it
SPACES = {**CELLS, 'BlockSupernet': 'BlockSpace'}  # of supernets whose space names no type


class Place(NamedTuple):
    """Where a config counts its networks, and how."""

    holder: dict  # whose entry "latency" the times become
    space: Space
    counted: dict  # arguments of `build_cost_model` beside the space and the times

    @property
    def input_size(self) -> tuple[int, int]:
        size = self.counted['input_size']
        height, width = (size, size) if isinstance(size, int) else size
        return int(height), int(width)

    @property
    def size(self) -> str:
        """As a command has it: ``224``, ``800x1280``."""
        return 'x'.join(map(str, dict.fromkeys(self.input_size)))

    @property
    def head(self) -> str | None:
        return self.counted.get('head', 'classifier')


def fit_latency(cfg: Config, say: Callable[[str], None]) -> None:
    """Put the times of the table ``latency`` into what a search counts its networks by, in place.

    ``latency`` is the path of a file, or ``dict(file=..., batch=1, dtype='float32', unit=None)``.
    It becomes that dictionary with ``table``, what was taken: the config that a run dumps holds
    the times themselves and needs no file.

    Args:
        cfg (Config): Of any model; one without a supernet is left as it is.
        say (Callable): Called with each line for the user.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it has no times for what the config counts, is of another space, or lacks
            layers; or if a budget bounds the latency and there is no table.
    """
    place = place_of(cfg)
    wanted = cfg.get('latency')
    if place is None:
        if wanted is not None:
            say('latency: this config searches nothing, so that its table is not used')
        return
    if wanted is None:
        if 'latency' in cfg:  # taken back from a config that had one
            place.holder.pop('latency', None)
        if place.holder.get('latency') is None:
            _refuse_budget(cfg, place)
        return
    wanted = dict(file=wanted) if isinstance(wanted, (str, os.PathLike)) else wanted
    if not isinstance(wanted, Mapping) or not isinstance(wanted.get('file'), (str, os.PathLike)):
        raise ValueError(f"latency is the path of a table, or dict(file='...'); got {wanted!r}")
    if unknown := sorted(set(wanted) - set(KEYS)):
        raise ValueError(f'latency.{unknown[0]}: it knows {", ".join(KEYS[:-1])}')
    wanted = dict(dict(batch=1, dtype='float32'), **wanted)
    wanted['file'] = os.path.abspath(wanted['file'])
    key = _key(wanted, place)
    if (wanted.get('table') or {}).get('of') == key and place.holder.get('latency') is not None:
        return  # of a dumped config: its times are here
    file = read_latency(wanted['file'], wanted.get('unit'))
    table = _pick(file, wanted, place, cfg)
    costs = _count(place, file, table)
    place.holder['latency'] = _plain(place.space, table, costs)
    told = dict(of=key, machine=file.machine, check=table.check, told=table.told())
    wanted['table'] = {key: value for key, value in told.items() if value is not None}
    cfg.latency = wanted
    for line in _lines(file, table, place, costs, cfg):
        say(line)


# ---- what the config counts ----------------------------------------------------------------------


def place_of(cfg: Config) -> Place | None:
    """Of a search; None where nothing counts networks."""
    model = cfg.get('model')
    backbone = model.get('backbone') if isinstance(model, dict) else None
    if not isinstance(backbone, dict) or ('arch' in backbone and not _is_elastic(backbone)):
        return None
    costs = backbone.get('costs')
    if isinstance(costs, dict) and 'input_size' in costs:
        counted = {key: costs[key] for key in costs if key != 'latency'}
        return Place(costs, _space_of(backbone), counted)
    head = model.get('head')
    # The model counts its paths itself, as Cream does.
    if model.get('input_size') is None or not isinstance(head, dict) or 'space' not in backbone:
        return None
    counted = dict(
        input_size=model['input_size'], num_classes=head.get('num_classes', 1000),
        head_channels=head.get('hidden_channels', HEAD_HIDDEN),
    )  # fmt: skip
    return Place(model, _space_of(backbone), counted)


def _is_elastic(backbone: Mapping) -> bool:
    return kind_of(backbone) == 'ElasticSupernet'


def _space_of(backbone: Mapping) -> Space:
    if _is_elastic(backbone):
        return _slices_of(backbone)
    space, kind = backbone.get('space'), SPACES.get(kind_of(backbone))
    if isinstance(space, Space):
        return space
    space = dict(preset=space) if isinstance(space, str) else dict(space or {})
    return build_space(dict(dict(type=kind), **space) if kind else space)


def _slices_of(backbone: Mapping) -> ElasticSpace:
    from ..models.backbones.resolve_arch import resolve_arch  # with torch

    full, skeleton, _ = resolve_arch(
        backbone.get('arch', 'lite0'), backbone.get('space'), MBConvSpace
    )
    names = ('expansions', 'kernels', 'input_sizes')
    return ElasticSpace(skeleton, full, **{k: backbone[k] for k in names if k in backbone})


def _budgets(cfg: Config) -> Iterator[Mapping]:
    model = cfg.get('model') or {}
    for budget in (cfg.get('budget'), model.get('budget'), model['backbone'].get('budget')):
        if isinstance(budget, Mapping):
            yield budget


def _latency_bounds(cfg: Config) -> tuple[float | None, float | None] | None:
    found = [budget['latency_ms'] for budget in _budgets(cfg) if budget.get('latency_ms')]
    bounds = [tuple(bound) for bound in found if any(side is not None for side in bound)]
    return bounds[-1] if bounds else None


def _refuse_budget(cfg: Config, place: Place) -> None:
    bound = _latency_bounds(cfg)
    if bound is not None:
        raise ValueError(
            f'budget latency_ms={bound} needs measured times: "{_command(cfg, place)}" measures '
            'them here; then give latency=latency.json. Tables of other devices: docs/latency.md'
        )


def _command(cfg: Config, place: Place, file: str = 'latency.json', batch: int = 1) -> str:
    config = _short(cfg.filename) if cfg.filename else 'CONFIG'
    more = ' --head none' if place.head is None else ''
    more += f' --batch {batch}' if batch != 1 else ''
    return f'python tools/latency.py build {config} --size {place.size}{more} --out {file}'


def _short(path: str) -> str:
    short = os.path.relpath(path)
    return path if short.startswith('..') else short


# ---- what the table says -------------------------------------------------------------------------


def _key(wanted: Mapping, place: Place) -> dict:
    """What times are of: a dumped config keeps those that it has while this stays."""
    counted = {k: list(v) if isinstance(v, tuple) else v for k, v in place.counted.items()}
    return dict(
        {key: wanted.get(key) for key in ('file', 'batch', 'dtype', 'unit')},
        space=place.space.to_dict(), **counted,
    )  # fmt: skip


def _pick(file: LatencyFile, wanted: Mapping, place: Place, cfg: Config) -> LatencyTable:
    if file.space is not None and (differ := space_differences(file, place.space)):
        raise ValueError(f'{file.path} is of another space: {"; ".join(differ)}')
    asked = file.tables, place.input_size, place.head, wanted['batch'], wanted['dtype']
    table = pick_table(*asked)
    if table is None:
        command = _command(cfg, place, f'latency_{place.size}.json', wanted['batch'])
        raise ValueError(f'{file.path} has {no_such_table(*asked)}. To measure them: "{command}"')
    return table


def _count(place: Place, file: LatencyFile, table: LatencyTable) -> CostModel:
    try:
        return build_cost_model(place.space, **place.counted, latency=table.for_costs())
    except ValueError as error:
        raise ValueError(f'{file.path}: {error}') from None


def _plain(space: Space, table: LatencyTable, costs: CostModel) -> dict:
    """The times that a config keeps: nested, or of the layers that this space has."""
    if table.rows is None:
        return table.for_costs()
    if hasattr(costs, 'used_rows'):  # a layer's time depends on more than its choice
        return dict(rows=[row for i, row in enumerate(table.rows, start=1) if i in costs.used_rows])
    position, choices = iter(range(len(space.sizes))), []
    for depth in space.decode([0] * len(space.sizes)).depths:
        rows = [costs.choice_costs(next(position)) for _ in range(depth)]
        choices.append([[cost.latency_ms for cost in row] for row in rows])
    return dict(fixed_ms=costs.fixed.latency_ms, choices_ms=choices)


def _lines(
    file: LatencyFile, table: LatencyTable, place: Place, costs: CostModel, cfg: Config
) -> Iterator[str]:
    machine = file.machine
    line = f'latency: {_short(file.path)} ({table.told()})'
    if machine:
        line += f', measured on {machine_words(machine)}'
    if machine.get('device', 'cpu') == 'cpu' and machine.get('processor'):
        here = processor_name()
        same = here == machine['processor']
        line += '; this machine is the same' if same else f'; this machine is another: {here}'
    yield line
    if untold := [key for key in ('batch', 'dtype') if getattr(table, key) is None]:
        yield (
            f'latency: the table does not tell its {" and ".join(untold)}; it is read as '
            f'batch {cfg.latency["batch"]}, {cfg.latency["dtype"]}'
        )
    for doubt in table.doubts():
        yield f'latency: {doubt}'
    mine = dict(num_classes=costs.num_classes, head_channels=costs.head_channels)
    for key, value in mine.items():
        theirs = getattr(table, key)
        if None not in (value, theirs) and value != theirs and place.head is not None:
            yield f'latency: measured with {key}={theirs}, here {value}: the head is not rescaled'
    bound, (least, most) = _latency_bounds(cfg), (end['latency_ms'] for end in costs.extremes())
    if bound is None:
        return
    if leaves_out_nothing(bound, least, most):
        low, high = bound
        yield (
            f'latency: budget latency_ms=({low}, {high}) leaves out nothing: the networks of this '
            f'space lie between {least:.3f} and {most:.3f} ms'
        )
