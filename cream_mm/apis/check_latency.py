"""Looks whether a table of latency predicts networks that it has not seen."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..costs import build_cost_model
from ..costs.latency import MAX_ERROR_PCT, MIN_TAU, LatencyTable, machine_words
from ..evaluation.rank_correlation import compare, correlation
from ..files.latency_file import read_latency
from ..files.read import read_json
from ..files.whole import write_json
from .latency_networks import TimedNetworks
from .latency_table import Stand
from .time_networks import Backend

SESSIONS = 2
"""Each network is loaded so many times: where it lies in the memory matters, too."""
DRIFT_PCT = 5.0
"""A reference that takes so much more or less time than at the build is spoken of."""
Say = Callable[[str], None]


def check_latency(path: str | Path, networks: int = 30, seed: int = 0, say: Say = print) -> bool:
    """Time random networks and compare them with what every table of a file predicts.

    ``check`` of the table in the file becomes what was found.

    Args:
        path (str | Path): The file.
        networks (int): How many; none of them was measured for the table, as far as the space
            has others.
        seed (int): Of the draw.
        say (callable): Takes lines for the user.

    Returns:
        bool: Whether the mean error of all tables is at most ``MAX_ERROR_PCT``, and tau at least
        ``MIN_TAU``.

    Raises:
        FileNotFoundError, ValueError: If the file cannot be read, is a table of layers, or of
            another dtype than float32.
        ImportError: If the backend of the table is not installed.
    """
    file = read_latency(path)
    if file.space is None:
        raise ValueError(f'{path} is a table of layers: it does not tell whose networks to time')
    if networks < 3:
        raise ValueError(f'a check takes at least 3 networks; got {networks}')
    content = read_json(path)
    machine = file.machine
    if machine.get('dtype', 'float32') != 'float32':
        raise ValueError(f'{path} has times in {machine["dtype"]}; a check runs float32')
    runtime = Backend(
        machine.get('backend', 'onnxruntime'), machine.get('device', 'cpu'),
        int(machine.get('threads') or 1),
    )  # fmt: skip
    now = runtime.machine()
    say(f'machine   {machine_words(now)}')
    is_same = True
    for key in ('processor', 'versions', 'cores'):
        if key in machine and machine[key] != now[key]:
            say(f'note      the table was measured with {key} {machine[key]}, here {now[key]}')
            is_same = is_same and key != 'processor'
    good = True
    for entries, table in zip(content['tables'], file.tables):
        found = _check_table(file.space, entries, table, runtime, networks, seed, is_same, say)
        entries['check'] = found
        write_json(path, content)
        is_good = found['mean_error_pct'] <= MAX_ERROR_PCT and (found['tau'] or -1) >= MIN_TAU
        if not is_good:
            say(
                f'NOT GOOD  a table is to be at most {MAX_ERROR_PCT:g} % off, with a tau of at '
                f'least {MIN_TAU:g}: {_advice(found)}'
            )
        good = good and is_good
    say(f'written   {path}')
    return good


def _check_table(
    space: Any, entries: dict, table: LatencyTable, runtime: Backend, number: int, seed: int,
    is_same: bool, say: Say,
) -> dict:  # fmt: skip
    counted = dict(head_channels=table.head_channels, head=table.head)
    size, classes = table.input_size, table.num_classes or 1000
    networks = TimedNetworks(space, size, classes, **counted)
    costs = build_cost_model(space, size, classes, **counted, latency=table.for_costs())
    fitted = networks.designed(int(entries.get('networks') or 0), int(entries.get('seed') or 0))
    drawn = itertools.islice(networks.random(seed), number + len(fitted))
    new = [arch for arch in dict.fromkeys(drawn) if arch not in fitted]
    archs = [*new, *fitted][:number]
    if len(archs) > len(new):
        say(
            f'note      this space has {len(new)} networks more than the table was built from; '
            f'{len(archs) - len(new)} of those are timed again'
        )
        number = len(archs)
    predicted = np.array([costs.cost(arch).latency_ms for arch in archs])

    stand = Stand(networks, runtime, table.batch or 1)
    sessions = []
    for session in range(SESSIONS):
        sessions.append(list(stand.time_networks(archs)))
        say(f'timing    {table.told()}: {number} networks, {session + 1} of {SESSIONS} times')
    ratios = np.array([[timing.ratio for timing in timings] for timings in sessions])
    times = np.array([[timing.ms for timing in timings] for timings in sessions])
    here = float(np.quantile([t.reference_ms for timings in sessions for t in timings], 0.25))
    then = entries.get('reference_ms')
    as_timed = np.median(times, 0)
    measured = ratios.mean(0) * float(then) if then and is_same else as_timed

    error = 100 * np.abs(predicted / measured - 1)
    worst = int(error.argmax())
    kendall = compare(dict(predicted=predicted), measured, seed=seed)['predicted']['kendall']
    repeat = [correlation(a, b)['kendall'] for a, b in itertools.combinations(ratios, 2)]
    found = dict(
        networks=number, mean_error_pct=round(float(error.mean()), 3),
        worst_error_pct=round(float(error.max()), 3), tau=kendall['value'],
        tau_ci=kendall['interval'], tau_of_repeats=float(np.mean(repeat)),
        spread_pct=round(float(100 * measured.std() / measured.mean()), 3),
        mean_error_as_timed_pct=round(float(100 * np.abs(predicted / as_timed - 1).mean()), 3),
        drift_pct=round(100 * (here / then - 1), 3) if then else None,
        archs=[space.format(arch) for arch in archs],
        predicted_ms=np.round(predicted, 4).tolist(),
        measured_whole_ms=np.round(measured, 4).tolist(),
    )  # fmt: skip
    tau = found['tau']
    low, high = found['tau_ci'] or (float('nan'),) * 2
    say(
        f'check     {number} new networks, {measured.min():.2f} to {measured.max():.2f} ms: mean '
        f'error {found["mean_error_pct"]:.1f} %, worst {found["worst_error_pct"]:.1f} % '
        f'({archs[worst]}); '
        + ('no tau' if tau is None else f'tau {tau:.2f}, 95 % interval {low:.2f} to {high:.2f}')
    )
    say(
        f'          two timings of the same networks: tau {found["tau_of_repeats"]:.2f}; '
        f'the networks differ by {found["spread_pct"]:.1f} % (standard deviation)'
    )
    if found['drift_pct'] is not None and abs(found['drift_pct']) > DRIFT_PCT and is_same:
        more = 'more' if found['drift_pct'] > 0 else 'less'
        say(
            f'note      the reference network takes {abs(found["drift_pct"]):.0f} % {more} time '
            'than at the build: the machine is busier or idler. That is taken out above; without, '
            f'the mean error is {found["mean_error_as_timed_pct"]:.1f} %'
        )
    return found


def _advice(found: dict) -> str:
    if found['mean_error_pct'] > MAX_ERROR_PCT:
        return 'times do not add up here, or something else ran during the build; build it anew'
    if found['tau_of_repeats'] < MIN_TAU:
        return (
            'no table can rank networks better than a second timing does; random ones differ too '
            'little, or the machine is busy. What the budget needs is the error, which is small'
        )
    return 'build it with more --minutes, while nothing else runs'
