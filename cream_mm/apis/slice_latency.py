"""Measures times for a search among slices of one network: a table of layers by a small model.

A slice has hundreds of different layers, at several sizes, more than can be told apart by timing
some networks. So a layer's time is a sum of few terms, each by what it computes: dense
multiply-adds, depthwise ones of each kernel, values written and read, one more layer. What each
term takes is fitted to whole networks, timed as :mod:`.latency_table` does it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from ..config.latency_budget import place_of
from ..config.load import load_config
from ..costs import build_cost_model
from ..costs.latency import machine_words
from ..files.latency_file import ROWS_FORMAT
from ..files.whole import write_json
from ..spaces import ElasticSpace
from ..structures import Arch
from ..structures.randomness import named_rng
from .latency_networks import TimedNetworks
from .latency_table import Stand, build_latency
from .time_networks import Backend, default_threads

NETWORKS = 24
MIN_NETWORKS = 8
MINUTES = 5.0
LEAST_MS = 1e-3  # of a layer: a reader takes less for another unit
_SAID = ('kernel', 'expand', 'in_channels', 'out_channels', 'stride')
Say = Callable[[str], None]


def measure_for(
    config: str,
    out: str | Path,
    cfg_options: Mapping | None = None,
    *,
    minutes: float | None = None,
    backend: str = 'onnxruntime',
    say: Say = print,
) -> None:
    """Measure the table that a search's config needs for a budget of latency, on this machine.

    Args:
        config (str): Of a search.
        out (str | Path): The file.
        cfg_options (dict, optional): Overrides of the config.
        minutes (float, optional): That it may take. Defaults to 5 among slices, 10 for the layers
            of another space.
        backend (str): See :class:`Backend`.
        say (callable): Takes lines for the user.

    Raises:
        ValueError: If the config is none of a search, or as :func:`load_config`.
        ImportError: If the backend is not installed.
    """
    cfg = load_config(config, dict(cfg_options or {}))
    place = place_of(cfg)
    if place is None:
        raise ValueError(f'{config} is not the config of a search: it counts no paths')
    threads = default_threads()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(place.space, ElasticSpace):
        minutes = minutes or 10.0
        say(f'--latency: no {out} yet; networks are timed first, at most {minutes:g} minutes')
        build_latency(
            config, out, backend=backend, threads=threads, minutes=minutes,
            cfg_options=dict(cfg_options or {}), say=say,
        )  # fmt: skip
        return
    minutes = minutes or MINUTES
    say(
        f'--latency: no {out} yet; {NETWORKS} networks are timed first, at most {minutes:g} '
        'minutes. Leave the machine alone meanwhile'
    )
    runtime = Backend(backend, threads=threads)
    counted = dict(place.counted)
    content = measure_slices(place.space, counted, runtime, minutes=minutes, say=say)
    write_json(out, content)
    say(f'written   {out}')


def measure_slices(
    space: ElasticSpace, counted: Mapping, runtime: Backend, *, minutes: float, say: Say = print
) -> dict:
    """Time slices, fit the terms, and give every layer of the space its time.

    Args:
        space (ElasticSpace): Of the slices.
        counted (Mapping): Arguments of :func:`build_cost_model` beside the space.
        runtime (Backend): Where they run, one image at once.
        minutes (float): That it may take; :data:`MIN_NETWORKS` are timed in any case.
        say (callable): Takes lines for the user.

    Returns:
        dict: The content of a file of layers, see docs/latency.md.
    """
    counted = {key: value for key, value in counted.items() if key != 'latency'}
    costs = build_cost_model(space, **counted)
    layers = costs.layers()
    terms = [terms_of(layer) for layer in layers]
    names = sorted({name for one in terms for name in one})
    # Each term by itself is a table of layers, and adds up over a path as times do.
    models = [
        build_cost_model(space, **counted, latency=dict(rows=_rows(layers, [
            one.get(name, 0.0) for one in terms
        ])))
        for name in names
    ]  # fmt: skip
    archs, times, start = some_paths(space), [], time.monotonic()
    stand = None
    for number, arch in enumerate(archs, start=1):
        if number > MIN_NETWORKS and time.monotonic() - start > 60 * minutes:
            say(f'networks  {number - 1}: {minutes:g} minutes are over')
            break
        networks, network = _networks(space, arch, counted)
        stand = stand or Stand(networks, runtime, 1)  # its reference stays
        (timing,) = stand.time([partial(_load, stand, networks, network)])
        times.append(timing.ratio * stand.reference_ms)
    archs = archs[: len(times)]
    sums = np.array([[model.cost(arch).latency_ms for model in models] for arch in archs])
    weights, fixed = fit_terms(sums, np.array(times))
    error = cross_validated(sums, np.array(times))
    say(
        f'fit       {len(times)} networks of {min(times):.2f} to {max(times):.2f} ms on '
        f'{machine_words(runtime.machine())}; those that a fit has not seen are {error:.1f} % off '
        'on average'
    )
    by_name = dict(zip(names, weights))
    found = [
        max(LEAST_MS, sum(by_name[name] * value for name, value in one.items())) for one in terms
    ]
    rows = [dict(op='fixed', latency_ms=round(fixed, 6)), *_rows(layers, found, digits=6)]
    return dict(
        format=ROWS_FORMAT, unit='ms', batch=1, machine=runtime.machine(), networks=len(times),
        error_pct=round(error, 2), rows=rows,
    )  # fmt: skip


def terms_of(layer: Mapping) -> dict[str, float]:
    """What a layer computes, in millions: the terms that its time is a sum of.

    >>> layer = dict(op='conv1x1', in_channels=100, out_channels=50, in_size=(20, 20),
    ...              out_size=(20, 20))
    >>> {name: round(value, 3) for name, value in terms_of(layer).items()}
    {'layers': 1.0, 'dense': 2.0, 'values': 0.06}
    """
    (height, width), (rows, columns) = layer['in_size'], layer['out_size']
    before, after = height * width / 1e6, rows * columns / 1e6
    taken, given = layer['in_channels'] or 0, layer['out_channels'] or 0
    op, kernel = layer['op'], layer.get('kernel')
    if op in ('mbconv', 'dsconv'):
        inside = round(taken * (layer.get('expand') or 1)) if op == 'mbconv' else taken
        expands = before * taken * inside if inside != taken else 0.0
        return {
            'layers': 1.0,
            'dense': expands + after * inside * given,
            f'depthwise {kernel}': after * inside * kernel**2,
            'values': before * (taken + inside) + after * (2 * inside + given),
        }
    if op == 'pool':
        return {'layers': 1.0, 'values': before * taken}
    area = kernel**2 if op == 'stem' and kernel else 1
    if op == 'linear':
        before = after = 1e-6
    return {
        'layers': 1.0, 'dense': after * area * taken * given,
        'values': before * taken + after * given,
    }  # fmt: skip


def fit_terms(sums: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares of relative errors; no term takes a negative time.

    Args:
        sums (ndarray): (networks, terms).
        times (ndarray): (networks,), in milliseconds.

    Returns:
        tuple[ndarray, float]: Milliseconds of each term, and what every network takes besides.
    """
    whole = np.column_stack([sums, np.ones(len(times))])
    scale = np.maximum(np.abs(whole).max(0), 1e-12)
    found = nnls(whole / scale / times[:, None], np.ones(len(times)))[0] / scale
    return found[:-1], float(found[-1])


def cross_validated(sums: np.ndarray, times: np.ndarray, parts: int = 6) -> float:
    """Mean error of networks that a fit has not seen, in percent."""
    errors = []
    for part in range(min(parts, len(times))):
        out = np.arange(len(times)) % parts == part
        weights, fixed = fit_terms(sums[~out], times[~out])
        errors += list(np.abs((sums[out] @ weights + fixed) / times[out] - 1))
    return 100 * float(np.mean(errors))


def some_paths(space: ElasticSpace) -> list[Arch]:
    """Paths to time, the largest first: all sizes, one choice throughout, and random ones."""
    ends = len(space.input_sizes) or 1
    most, found = max(space.sizes[: -1 if space.input_sizes else None]), {}
    for choice in range(most):
        flat = [min(choice, size - 1) for size in space.sizes]
        flat[-1] = choice % ends if space.input_sizes else flat[-1]
        found[space.decode(flat)] = None
    step = 0
    while len(found) < NETWORKS and step < 50 * NETWORKS:
        flat = list(space.encode(space.sample(named_rng('slice_latency', 0, step))))
        if space.input_sizes:
            flat[-1] = step % ends
        found[space.decode(flat)] = None
        step += 1
    first = space.full_path
    rest = [arch for arch in found if arch != first]
    order = named_rng('slice_latency', 1, 0).permutation(len(rest))
    return [first, *(rest[i] for i in order)][:NETWORKS]


def _load(stand: Stand, networks: TimedNetworks, network: Arch) -> Callable[[], None]:
    """A network of another space than the stand's own as something to call."""
    channels = networks.space.in_channels
    return stand.load(networks.module(network), (channels, *networks.input_size))


def _networks(
    space: ElasticSpace, arch: Arch, counted: Mapping
) -> tuple[TimedNetworks, Arch]:  # fmt: skip
    """The fixed network that a path is, and the space that it is of, to be built."""
    network, own = space.network(arch)
    size = space.input_size(arch) or counted['input_size']
    rest = {key: value for key, value in counted.items() if key != 'input_size'}
    return TimedNetworks(own, size, **rest), network


def _rows(layers: Sequence[Mapping], times: Sequence[float], digits: int | None = None) -> list:
    """Rows of a table of times."""
    rows = []
    for layer, value in zip(layers, times):
        said = {key: layer[key] for key in _SAID if layer.get(key) is not None}
        said.update(in_size=list(layer['in_size']), latency_ms=float(value))
        if digits is not None:
            said['latency_ms'] = round(float(value), digits)
        rows.append(dict(op=layer['op'], **said))
    return rows
