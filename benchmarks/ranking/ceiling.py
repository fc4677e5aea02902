"""How additive are the true accuracies of NAS-Bench-Macro? What effects can reach at best.

  python benchmarks/ranking/ceiling.py data/nas-bench-macro_cifar10.json

Fits main effects to the true accuracies themselves, ranks with the fit, and picks within 80 % of
the costliest network's MACs. A supernet's effects cannot be expected to do better. Beside it, what
is picked by effects of pairs of layers, and by the accuracy of one of the three training seeds, had
one trained every network alone. Seconds.
"""

import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np

from cream_mm.command_line import one_line_errors
from cream_mm.costs import build_cost_model
from cream_mm.evaluation import AccuracyTable, correlation
from cream_mm.search import MainEffects
from cream_mm.spaces import MBConvSpace


def main(path: str) -> None:
    table = AccuracyTable(path, build_cost_model(MBConvSpace.build('nas_bench_macro'), 32, 10, 0))
    rows = sorted(table.rows, key=lambda row: row.macs_m)
    truth, macs = (np.array([getattr(r, k) for r in rows]) for k in ('accuracy', 'macs_m'))
    largest = rows[-1]
    inside = macs <= 0.8 * largest.macs_m
    good = int((truth[inside] >= largest.accuracy).sum())
    print(f'{len(rows)} networks; the largest: {largest.macs_m:.2f} M, {largest.accuracy:.2f} %')
    print(f'as accurate within 80 % of its MACs: {good}')
    for least in (0, 90, 92):
        part = truth >= least
        archs = [row.arch for row, taken in zip(rows, part) if taken]
        fit = MainEffects(archs, truth[part])
        taus = [
            correlation(scores, truth[part])['kendall']
            for scores in (fit.predict(archs), macs[part])
        ]
        fitted = fit.predict([row.arch for row in rows])
        pick = rows[int(np.argmax(np.where(inside, fitted, -np.inf)))]
        print(
            f'accuracy >= {least:2d}: n {part.sum():4d}  tau of fitted effects {taus[0]:.3f}, of '
            f'MACs {taus[1]:.3f}; pick within 80 %: {pick.accuracy:.2f} % at {pick.macs_m:.2f} M'
        )
    x = pairs_of_layers(rows)
    part = truth >= 90
    weights, *_ = np.linalg.lstsq(x[part], truth[part], rcond=None)
    pick = rows[int(np.argmax(np.where(inside, x @ weights, -np.inf)))]
    print(f'by pairs of layers, fitted to the {part.sum()} above 90 %: {pick.accuracy:.2f} %')

    # One network has several records, one for each order of its identity layers.
    content = json.loads(Path(path).read_text())
    seeds, flops = (np.array([r[k] for r in content.values()]) for k in ('test_acc', 'flops'))
    inside = flops <= 0.8 * flops.max()
    for i in range(seeds.shape[1]):
        pick = int(np.argmax(np.where(inside, seeds[:, i], -np.inf)))
        others = np.delete(seeds[pick], i).mean()
        print(
            f'by the accuracy of training seed {i}: {seeds[pick, i]:.2f} %, with the other seeds '
            f'{others:.2f} %, mean of all {seeds[pick].mean():.2f} %'
        )


def pairs_of_layers(rows) -> np.ndarray:
    """(n, features): 1 where two layers have a certain pair of choices."""
    flat = np.array([[c for stage in row.arch.stages for c in stage] for row in rows])
    columns = []
    for i, j in combinations(range(flat.shape[1]), 2):
        codes = 3 * flat[:, i] + flat[:, j]
        columns += [codes == code for code in range(9)]
    return np.stack(columns, axis=1).astype(float)


if __name__ == '__main__':
    with one_line_errors():
        if len(sys.argv) != 2:
            sys.exit(__doc__)
        main(sys.argv[1])
