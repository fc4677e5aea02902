"""What ranks the cells of NAS-Bench-201 without a supernet, and how additive their accuracies are.

  python benchmarks/ranking/nb201_baselines.py

Of all 15,625 cells with the accuracy of each, of the 6,466 classes of isomorphic ones with the
mean of each (the protocol of CLOSE), and of the 6,321 of these that can be trained: parameters,
MACs, convolutions (all, and those through which something passes), a training of 12 epochs in
place of 200, and two ceilings, fitted to the accuracies themselves: effects of single choices, and
of the choices of pairs of edges. Reads data/nasbench201_{12,200}epoch.csv; writes
docs/results/nb201_baselines.json. A minute.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

from cream_mm.command_line import one_line_errors
from cream_mm.costs import build_cost_model
from cream_mm.evaluation import correlation
from cream_mm.evaluation.rank_correlation import precisions
from cream_mm.files import read_csv, write_json
from cream_mm.spaces import NASBench201Space
from cream_mm.spaces.nas_bench_201 import CONV_1X1, CONV_3X3, OPERATIONS
from cream_mm.structures import Arch

COLUMNS = {'cifar10': 'cifar10', 'cifar100': 'cifar100', 'imagenet16': 'imagenet'}
"""Data sets as the table of 200 epochs names them, and as that of 12 epochs does."""
SPACE = NASBench201Space()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--data', default='data', help='folder of both tables (default: %(default)s)'
    )
    parser.add_argument('--out', default='docs/results/nb201_baselines.json')
    args = parser.parse_args()
    full, short = (
        read_table(Path(args.data, f'nasbench201_{epochs}epoch.csv')) for epochs in (200, 12)
    )
    classes: dict[Arch, list[Arch]] = {}
    for arch in full:
        classes.setdefault(SPACE.canonical(arch), []).append(arch)
    groups = {
        'all_cells': {arch: [arch] for arch in full},
        'classes': classes,
        'trainable_classes': {a: members for a, members in classes.items() if SPACE.proposes(a)},
    }
    content: dict = dict(format='cream_mm.nb201_baselines/1', truth='test accuracy, 200 epochs')
    for group, members in groups.items():
        archs = list(members)
        untrained = scores_of(archs)
        effects = [one_hot(archs, order) for order in (1, 2)]
        content[group] = dict(num=len(archs))
        for name, other in COLUMNS.items():
            truth, fast = (
                np.array([np.mean([table[a][column] for a in of]) for of in members.values()])
                for table, column in ((full, f'{name}-test'), (short, f'{other}-test'))
            )
            scorings = dict(untrained, epochs_12=fast)
            for x, key in zip(effects, ('single_effects', 'pairs_of_edges')):  # sums that tie, tie
                scorings[key] = (x @ np.linalg.lstsq(x, truth, rcond=None)[0]).round(9)
            print(f'\n{group} ({len(archs)}), {name}')
            content[group][name] = {}
            for key, values in scorings.items():
                found = compare_with(values, truth, untrained['macs'])
                content[group][name][key] = found
                print(
                    f'  {key:17s} tau {found["kendall"]:.4f}  Spearman {found["spearman"]:.4f}  '
                    f'precision at the top 5 % {found["top"]["5"]:.3f}'
                )
    write_json(args.out, content)


def read_table(path: Path) -> dict[Arch, dict[str, float]]:
    """The numbers of each cell, by column."""
    header, rows = read_csv(path)
    cell = 'cellstr' if 'cellstr' in header else 'arch'
    names = [name for name in header if name not in ('arch', 'cellstr')]
    return {SPACE.parse(row[cell]): {name: float(row[name]) for name in names} for _, row in rows}


def scores_of(archs: list[Arch]) -> dict[str, np.ndarray]:
    """Scores that cost no training, (n,) each."""
    model = build_cost_model(SPACE, 32, 10)
    costs = [model.cost(arch) for arch in archs]
    convolutions = [sum(op in (CONV_1X1, CONV_3X3) for op in SPACE.encode(a)) for a in archs]
    return dict(
        params=np.array([cost.params for cost in costs], dtype=float),
        macs=np.array([cost.macs for cost in costs], dtype=float),
        convolutions=np.array(convolutions, dtype=float),
        live_convolutions=np.array([SPACE.count_layers(arch) for arch in archs], dtype=float),
    )


def one_hot(archs: list[Arch], order: int) -> np.ndarray:
    """(n, features): 1 where ``order`` edges together have certain operations."""
    flat, size = np.array([SPACE.encode(arch) for arch in archs]), len(OPERATIONS)
    columns = []
    for edges in combinations(range(flat.shape[1]), order):
        codes = flat[:, edges] @ size ** np.arange(order)
        columns += [codes == code for code in range(size**order)]
    return np.stack(columns, axis=1).astype(float)


def compare_with(scores: np.ndarray, truth: np.ndarray, macs: np.ndarray) -> dict:
    """Coefficients and precision at the top shares."""
    return dict(
        kendall=(found := correlation(scores, truth))['kendall'],
        spearman=found['spearman'],
        top=precisions(scores, truth, macs)['top'],
    )


if __name__ == '__main__':
    with one_line_errors():
        main()
