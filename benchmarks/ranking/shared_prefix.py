"""What rating paths in the order of a prefix tree saves, and that it changes nothing.

  python benchmarks/ranking/shared_prefix.py configs/ranking/cream.py SUPERNET.pth \\
      data/nas-bench-macro_cifar10.json --num 500

Rates the same random networks of the table twice: with shared layers, then one by one. About three
minutes on two cores.
"""

import argparse
import tempfile
import time

from cream_mm.apis import open_search
from cream_mm.command_line import one_line_errors
from cream_mm.evaluation import AccuracyTable
from cream_mm.structures.randomness import named_rng


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('table')
    parser.add_argument('--num', type=int, default=500)
    args = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_search(args.config, args.checkpoint, folder) as loop,
    ):
        rows = AccuracyTable(args.table, loop.model.cost_model).rows
        order = named_rng('rank_correlation', 0, 0).permutation(len(rows))[: args.num]
        archs, found = [rows[i].arch for i in sorted(order)], []
        for name, max_gb in (('shared', 4.0), ('one by one', 0.0)):
            evaluator = loop.build_evaluator(max_gb=max_gb, log_file=None)
            start = time.time()
            found.append(evaluator.rate_all(archs, lambda *_: None))
            print(f'{name}: {len(archs)} networks in {time.time() - start:.1f} s', flush=True)
    print('equal ratings' if found[0] == found[1] else 'the ratings DIFFER')


if __name__ == '__main__':
    with one_line_errors():
        main()
