"""Do scores put networks in the order of their true accuracy? Coefficients and their errors."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..structures.randomness import named_rng

COEFFICIENTS = ('kendall', 'spearman', 'pearson')
RATIOS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5)
"""Shares of the networks, from the best on, that a ranking should hold."""


def correlation(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Kendall's tau-b, Spearman's rho and Pearson's r of n pairs.

    Returns:
        dict[str, float]: Under ``kendall``, ``spearman`` and ``pearson``; NaN where one side is
        constant or n < 2.

    Shapes:
        scores, truth: (n,).
    """
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return dict.fromkeys(COEFFICIENTS, float('nan'))
    # Of no use here: the exact one takes long, the asymptotic one divides by n - 2.
    p_value = 'asymptotic' if len(scores) > 2 else 'exact'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', stats.NearConstantInputWarning)
        return dict(
            kendall=float(stats.kendalltau(scores, truth, method=p_value).statistic),
            spearman=float(stats.spearmanr(scores, truth).statistic),
            pearson=float(stats.pearsonr(scores, truth).statistic),
        )


def compare(
    scorings: dict[str, np.ndarray],
    truth: np.ndarray,
    *,
    baselines: Sequence[str] = (),
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, dict]:
    """Correlation of several scorings with the same truth, with bootstrap intervals.

    All are resampled together, so that differences between them have intervals of their own.

    Args:
        scorings (dict[str, np.ndarray]): (n,) scores by name, higher is better.
        truth (np.ndarray): (n,) true accuracies.
        baselines (Sequence[str]): Names that each other scoring is compared with.
        num_resamples (int): Defaults to 1000.
        level (float): Of the percentile intervals. Defaults to 0.95.
        seed (int): Of the resamples.

    Returns:
        dict[str, dict]: By name, ``{'kendall': {'value': 0.6, 'interval': [0.5, 0.7]}, ...}``, and
        under ``kendall_minus_<baseline>`` the same of the difference in tau. NaN becomes None.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993): percentile intervals.
        A resample holds pairs twice; tau-b leaves such ties out, so that it stays centred.
    """
    rng = named_rng('bootstrap', seed, 0)
    sampled = {name: {c: [] for c in COEFFICIENTS} for name in scorings}
    for _ in range(num_resamples):
        index = rng.integers(len(truth), size=len(truth))
        for name, scores in scorings.items():
            for coefficient, value in correlation(scores[index], truth[index]).items():
                sampled[name][coefficient].append(value)

    values = {name: correlation(scores, truth) for name, scores in scorings.items()}
    result = {}
    for name in scorings:
        result[name] = {
            c: _with_interval(values[name][c], np.array(sampled[name][c]), level)
            for c in COEFFICIENTS
        }
        for other in baselines if name not in baselines else ():
            difference = values[name]['kendall'] - values[other]['kendall']
            resampled = np.subtract(sampled[name]['kendall'], sampled[other]['kendall'])
            result[name][f'kendall_minus_{other}'] = _with_interval(difference, resampled, level)
    return result


def _with_interval(value: float, resampled: np.ndarray, level: float) -> dict:
    resampled = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(resampled):
        return dict(value=None, interval=None)
    tail = 50 * (1 - level)
    low, high = np.percentile(resampled, (tail, 100 - tail))
    return dict(value=float(value), interval=[float(low), float(high)])


def best_first(scores: np.ndarray, macs_m: np.ndarray) -> np.ndarray:
    """Places in descending order of score; of equal scores the cheaper first, as a search picks."""
    return np.lexsort((macs_m, -np.asarray(scores)))


def top_k_precision(
    scores: np.ndarray, truth: np.ndarray, macs_m: np.ndarray, k: int, *, bottom: bool = False
) -> float:
    """Share of the k networks with the best scores that are among the k truly best.

    With ``bottom`` of the k worst instead.
    """
    part = slice(-k, None) if bottom else slice(k)
    chosen, best = best_first(scores, macs_m)[part], best_first(truth, macs_m)[part]
    return len(set(chosen.tolist()) & set(best.tolist())) / k


def precisions(scores: np.ndarray, truth: np.ndarray, macs_m: np.ndarray) -> dict[str, dict]:
    """:func:`top_k_precision` at each of :data:`RATIOS` of the networks, from both ends.

    Returns:
        dict[str, dict]: ``{'top': {'5': 0.3, ...}, 'bottom': {...}}`` by per cent; without those
        of which there are too few networks.

    Reference:
        CLOSE (Zhou et al., ECCV 2022), released evaluation: k is rounded down. Differs: of equal
        scores the cheaper comes first, there any may.
    """
    ks = {f'{100 * ratio:g}': int(len(truth) * ratio) for ratio in RATIOS}
    return {
        side: {
            name: top_k_precision(scores, truth, macs_m, k, bottom=side == 'bottom')
            for name, k in ks.items() if k
        }
        for side in ('top', 'bottom')
    }  # fmt: skip


def regret(
    scores: np.ndarray,
    truth: np.ndarray,
    macs_m: np.ndarray,
    table_truth: np.ndarray,
    table_macs_m: np.ndarray,
    budget_m: float,
) -> dict | None:
    """What is lost by taking the best-scored network within a budget.

    Args:
        scores, truth, macs_m (np.ndarray): (n,) of the networks that have a score.
        table_truth, table_macs_m (np.ndarray): (m,) of all networks of the table.
        budget_m (float): Most MACs allowed, in millions.

    Returns:
        dict | None: ``picked`` and ``best``, true accuracies; ``best_scored``, the best of those
        that have a score; ``regret`` = best - picked, in points. None if no network with a score
        is within the budget.
    """
    inside = np.flatnonzero(np.asarray(macs_m) <= budget_m)
    if not len(inside):
        return None
    pick = inside[best_first(scores[inside], macs_m[inside])[0]]
    best = float(table_truth[table_macs_m <= budget_m].max())
    return dict(
        regret=best - float(truth[pick]),
        picked=float(truth[pick]),
        picked_macs_m=float(macs_m[pick]),
        best=best,
        best_scored=float(truth[inside].max()),
    )
