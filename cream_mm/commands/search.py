"""Search again in a search that has ended, by another strategy; nothing is trained.

  python tools/search.py work_dirs/search_imagenet --strategy training_effects --num 11
  python tools/search.py configs/cream/search_imagenet.py work_dirs/search_imagenet/epoch_120.pth \\
      --strategy evolution --num 500 --work-dir work_dirs/search_imagenet/evolution

A strategy proposes paths (networks within the supernet), which are rated on held-out images; the
best one is the answer. --strategy is one of these, or one of your own that is registered:

  training_effects  what each choice adds, fitted to the path_log.jsonl of the training; ranks best
                    in docs/results/ranking.md. Nothing has to be rated for it: --num 11 is enough
  combined_effects  fits ratings, training losses and size together, and rates what the fit puts
                    first at eight costs; for slices of one network
  single_changes    rates the full network and each single change of it, then the best sums of
                    changes; for slices that were not trained
  main_effects      what each choice adds, fitted to the ratings
  evolution         regularized evolution
  nsga2             all trade-offs of rating and MACs; needs pymoo
  nao               random paths first, then those to which the gradient of a learned score leads in
                    a latent space; --strategy-options num_initial=100 num_new=50 num_seeds=100
                    epochs=1000 are its defaults
  random            random paths
  board             Cream's own: the paths of its board

Paths are compared by what the config says: cross entropy, or its metric. The budget is the
config's. Into the work-dir go search.json (all rated paths and the trade-offs among them) and
best_arch.json, which tools/export_arch.py takes. The same command after a kill goes on where it
was.
"""

import argparse
import os.path as osp
from collections.abc import Sequence

from cream_mm.command_line import (
    OptionsAction,
    check_file,
    check_pair,
    check_writable,
    tool_parser,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='config of the search, or its work directory')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint of the search; default: the newest of WORK_DIR'
    )
    parser.add_argument('--strategy', default='evolution', help='default: %(default)s')
    parser.add_argument('--num', type=int, default=500, help='paths to rate (default: %(default)s)')
    parser.add_argument('--num-random', type=int, default=0, help='random ones to rate beside them')
    parser.add_argument('--seed', type=int, default=0, help='of the strategy')
    parser.add_argument('--population', type=int, help='of evolution and nsga2')
    parser.add_argument(
        '--path-log',
        metavar='FILE',
        help='for training_effects; default: path_log.jsonl beside the checkpoint',
    )
    parser.add_argument(
        '--strategy-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='arguments of the strategy beside these, e.g. tournament=5',
    )
    parser.add_argument('--metric', help="what paths are compared by; default: the config's")
    parser.add_argument('--num-images', type=int, help="images to rate on; default: the config's")
    parser.add_argument(
        '--bn-policy',
        choices=['recalibrate', 'batch_stats'],
        help='mean and variance of batch norm, when a path is rated: measured for it on training '
        "images, or of each batch; default: the config's",
    )
    parser.add_argument(
        '--work-dir', help='default: a folder beside the checkpoint, named by the strategy'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override config values, e.g. budget.macs_m=[300,400]',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.num < 1:
        raise ValueError(f'--num is at least 1; got {args.num}')
    check_pair(args.config, args.checkpoint)
    if args.path_log:
        check_file(args.path_log, f'no {args.path_log}')
    from cream_mm.config.work_dir import config_and_checkpoint

    args.config, args.checkpoint = config_and_checkpoint(args.config, args.checkpoint)
    work_dir = args.work_dir or osp.join(osp.dirname(args.checkpoint), args.strategy)
    check_writable(work_dir)
    strategy = dict(
        type=args.strategy, seed=args.seed, population=args.population, path_log=args.path_log
    )
    given = dict(num_images=args.num_images, bn_policy=args.bn_policy, metric=args.metric)
    options = dict(
        strategy={
            **{k: v for k, v in strategy.items() if v is not None},
            **(args.strategy_options or {}),
        },
        num=args.num,
        num_random=args.num_random,
        **{k: v for k, v in given.items() if v is not None},
    )
    from cream_mm.config.load import check_early

    check_early(args.config, args.cfg_options)
    from cream_mm.apis import open_search

    with open_search(args.config, args.checkpoint, work_dir, args.cfg_options, options) as loop:
        loop.run()
