"""From times of whole networks to times of their layers, whose sum predicts other networks."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from ..structures.randomness import named_rng

STRENGTHS = tuple(10.0**power for power in range(-5, 2))
"""Of the pull towards the layers' own times, that a cross-validation chooses from."""
FOLDS = 8
RESAMPLES = 100
FAR = 5.0
"""Standard deviations of the residuals, by their median: networks beyond are left out."""
LEAST_FAR = 0.03
"""Residuals up to this share of a time are never too far."""
SMALLEST = 0.1
"""Layers are pulled as if they took at least this share of the average layer's time."""


class LatencyFit(NamedTuple):
    """Times that add up to those of networks.

    Attributes:
        fixed_ms (float): What every network takes.
        layers_ms (dict): Of each layer.
        error_ms (dict): Of each layer half the width of its 95 % interval.
        fixed_error_ms (float): The same of ``fixed_ms``.
        error_pct (float): Mean error of networks that a fit had not seen, by cross-validation.
        strength (float): Of the pull that was chosen.
        left_out (list[int]): Places of networks that were timed too badly to count.
    """

    fixed_ms: float
    layers_ms: dict[Hashable, float]
    error_ms: dict[Hashable, float]
    fixed_error_ms: float
    error_pct: float
    strength: float
    left_out: list[int]

    def predict(self, layers: Sequence[Hashable]) -> float:
        """Milliseconds of a network of these layers."""
        return self.fixed_ms + sum(self.layers_ms[layer] for layer in layers)


def fit_latency(
    networks: Sequence[Sequence[Hashable]],
    times_ms: Sequence[float],
    alone_ms: Mapping[Hashable, float],
    seed: int = 0,
) -> LatencyFit:
    """Fit times of layers to times of whole networks.

    A layer takes another time in a network than alone: what it reads is still in a cache, and it
    is called without a session of its own. So the whole networks decide, by least squares of
    relative errors without negative times, and the times of layers alone, times one factor for all,
    are where the fit is pulled to (ridge regression): they decide on what the networks do not tell,
    such as how much of the time of all choices at a position is the fixed part's.

    Args:
        networks (Sequence[Sequence]): The layers of each, by anything that names a layer. Equal
            layers have one name and one time; what is no layer at all is left out.
        times_ms (Sequence[float]): (networks,).
        alone_ms (Mapping): Of every layer that is in a network; more do no harm.
        seed (int): Of the cross-validation and the bootstrap.

    Raises:
        ValueError: If there are less than :data:`FOLDS` networks, a time is not a positive number,
            or a layer has no time alone.
    """
    times = np.asarray(times_ms, float)
    if len(networks) != len(times) or len(times) < FOLDS:
        raise ValueError(f'a fit takes at least {FOLDS} networks; got {len(times)}')
    if not np.all(np.isfinite(times)) or times.min() <= 0:
        raise ValueError(f'not milliseconds: {times[~(times > 0)].tolist()}')
    names = list(alone_ms)
    place = {name: i for i, name in enumerate(names)}
    if missing := {layer for network in networks for layer in network} - set(place):
        raise ValueError(f'no time alone of {sorted(map(str, missing))}')
    counts = np.zeros((len(times), len(names)))
    for row, network in zip(counts, networks):
        for layer in network:
            row[place[layer]] += 1
    alone = np.maximum([alone_ms[name] for name in names], 0.0)

    far = _far_off(counts, times, alone)
    counts, times = counts[~far], times[~far]
    errors = [_held_out_error(counts, times, alone, strength, seed) for strength in STRENGTHS]
    strength = STRENGTHS[int(np.argmin(errors))]
    found = _fit(counts, times, alone, strength)
    half = _half_widths(counts, times, alone, strength, found, seed)
    return LatencyFit(
        float(found[0]), dict(zip(names, found[1:].tolist())), dict(zip(names, half[1:].tolist())),
        float(half[0]), float(100 * min(errors)), strength, np.flatnonzero(far).tolist(),
    )  # fmt: skip


def _fit(counts: np.ndarray, times: np.ndarray, alone: np.ndarray, strength: float) -> np.ndarray:
    """The fixed time, then those of the layers."""
    weights = 1 / times  # errors are relative
    sums = counts @ alone
    pair = np.stack([np.ones_like(sums), sums], 1)
    factor = nnls(pair * weights[:, None], np.ones_like(times))[0][1]
    towards = factor * alone if factor > 0 else alone
    scale = np.maximum(towards, SMALLEST * max(towards.mean(), 1e-9))
    pull = np.sqrt(strength * len(times)) / scale
    rows = np.zeros((len(times) + len(alone), 1 + len(alone)))
    rows[: len(times), 0] = weights
    rows[: len(times), 1:] = counts * weights[:, None]
    rows[len(times) :, 1:] = np.diag(pull)
    return nnls(rows, np.concatenate([np.ones_like(times), pull * towards]))[0]


def _far_off(counts: np.ndarray, times: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Which networks are far from a fit of the others; at most a quarter of them."""
    far, most = np.zeros(len(times), bool), len(times) // 4
    for _ in range(3):
        found = _fit(counts[~far], times[~far], alone, STRENGTHS[len(STRENGTHS) // 2])
        residuals = np.abs(_predicted(counts, found) / times - 1)
        limit = FAR * 1.4826 * np.median(residuals)
        limit = max(limit, np.sort(residuals)[-most - 1], LEAST_FAR)
        far = residuals > limit
    return far


def _predicted(counts: np.ndarray, found: np.ndarray) -> np.ndarray:
    return found[0] + counts @ found[1:]


def _held_out_error(counts, times, alone, strength, seed) -> float:
    folds = named_rng('latency_folds', seed, 0).permutation(len(times)) % FOLDS
    errors = np.empty(len(times))
    for fold in range(FOLDS):
        out = folds == fold
        found = _fit(counts[~out], times[~out], alone, strength)
        errors[out] = np.abs(_predicted(counts[out], found) / times[out] - 1)
    return errors.mean()


def _half_widths(counts, times, alone, strength, found, seed) -> np.ndarray:
    """By a bootstrap of the relative residuals."""
    rng = named_rng('latency_bootstrap', seed, 0)
    fitted = _predicted(counts, found)
    residuals = times / fitted - 1
    drawn = [
        _fit(counts, fitted * (1 + rng.choice(residuals, len(times))), alone, strength)
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return (high - low) / 2
