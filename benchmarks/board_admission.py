"""Which admission rule keeps the better paths? A simulation on a table of trained networks.

  python benchmarks/board_admission.py data/nas-bench-macro_cifar10.json

Each of 20 runs draws paths uniformly from the table, within a FLOPs range. A path's score is its
true accuracy, lowered by a supernet that is still learning (the deficit shrinks over the run), and
measured on one batch of 256 images. The board holds 10 paths. Printed: true accuracy and FLOPs of
the paths that are on it at the end, and the accuracy of the best of them.
"""

import argparse
import json

import numpy as np

from cream_mm.methods.cream.prioritized_board import admits


def run(rule, accuracy, flops, *, rng, steps, deficit, capacity=10, batch=256):
    """Indices of the paths that a board ends with."""
    board = []  # (score, -flops, index), worst last
    for step in range(steps):
        path = int(rng.integers(len(accuracy)))
        expected = accuracy[path] - deficit * (1 - step / steps)
        score = rng.binomial(batch, expected / 100) / batch * 100
        entry = (score, -flops[path], path)
        if any(path == other for *_, other in board):
            board = [e for e in board if e[2] != path] + [entry]
        elif len(board) < capacity:
            board.append(entry)
        elif admits(rule, score - board[-1][0], flops[path] < -board[-1][1]):
            board[-1] = entry
        board.sort(reverse=True)
    return [path for *_, path in board]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('table', help='nas-bench-macro_cifar10.json')
    parser.add_argument('--steps', type=int, default=20_000)
    parser.add_argument('--seeds', type=int, default=20)
    args = parser.parse_args()
    with open(args.table) as file:
        rows = list(json.load(file).values())
    accuracy = np.array([row['mean_acc'] for row in rows])
    flops = np.array([row['flops'] for row in rows]) / 1e6
    print(f'{len(rows)} networks, {accuracy.min():.2f} to {accuracy.max():.2f} %, '
          f'{flops.min():.1f} to {flops.max():.1f} M')  # fmt: skip
    print('| range | deficit | rule | board % | board M | best on it % |\n|' + '---|' * 6)
    ranges = {'all': (0, 1e9), 'upper half': (np.median(flops), 1e9),
              'middle fifth': tuple(np.quantile(flops, (0.4, 0.6)))}  # fmt: skip
    for name, (low, high) in ranges.items():
        inside = (flops >= low) & (flops <= high)
        for deficit in (0, 20):
            for rule in ('better_and_cheaper', 'gap_or_cheaper'):
                ends = [
                    run(rule, accuracy[inside], flops[inside], steps=args.steps, deficit=deficit,
                        rng=np.random.default_rng([7, seed]))
                    for seed in range(args.seeds)
                ]  # fmt: skip
                mean = np.mean([accuracy[inside][end].mean() for end in ends])
                best = np.mean([accuracy[inside][end].max() for end in ends])
                cost = np.mean([flops[inside][end].mean() for end in ends])
                print(f'| {name} | {deficit} | {rule} | {mean:.2f} | {cost:.1f} | {best:.2f} |')
            print(f'| {name} | {deficit} | (all paths) | {accuracy[inside].mean():.2f} | '
                  f'{flops[inside].mean():.1f} | {accuracy[inside].max():.2f} |')  # fmt: skip


if __name__ == '__main__':
    main()
