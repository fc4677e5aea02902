"""Does a supernet rank networks as training each alone does? Correlate it with a table.

  python tools/rank_correlation.py configs/cream/search_imagenet.py SUPERNET.pth TABLE.csv \\
      --num 500 --budgets 300 400
  python tools/rank_correlation.py work_dirs/search_imagenet TABLE.csv
  python tools/rank_correlation.py configs/cream/search_imagenet.py TABLE.csv --ratings SCORES.csv
  python tools/rank_correlation.py work_dirs/search_lite TABLE.csv \\
      --ratings work_dirs/search_lite/block_ratings.json
  python tools/rank_correlation.py work_dirs/search_nb201 nasbench201_200epoch.csv \\
      --column cifar10-test

TABLE has the accuracy of networks trained alone: a CSV with the header
arch,accuracy[,macs_m,params_m], where arch is a nested or a flat list in double quotes, a digit per
layer, or a cell as NAS-Bench-201 writes it; or NAS-Bench-Macro's JSON; or accuracy.csv of
tools/train_paths.py. Of several columns of accuracies --column names one. Entries that are the same
network, as isomorphic cells are, count once, with the mean of their accuracies. Rated are NUM
random networks of it, the cheapest and the costliest. Into the folder OUT go rank_correlation.json
and scatter.png; ratings.jsonl there lets the same command go on after a kill. What needs no
training stands beside the ratings as scores of their own: MACs, parameters, the number of layers
that are no identity (of a cell, of live convolutions), and NASWOT, which looks at each network
untrained and takes a tenth of a second for a small one. A supernet that ranks no better than they
do has taught nothing about ranks.
"""

import argparse
import os
from collections.abc import Sequence

from cream_mm.command_line import (
    OptionsAction,
    check_file,
    check_pair,
    check_writable,
    tool_parser,
)

SCORES = ('combined', 'main_effects', 'training', 'loss', 'top1')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='config of the search, or its work directory')
    parser.add_argument(
        'checkpoint', nargs='?', help='supernet; left out with --ratings, or a work directory'
    )
    parser.add_argument('table', help='.csv or .json of true accuracies')
    parser.add_argument(
        '--ratings',
        metavar='FILE',
        help='scores instead of a supernet: .csv, .json or .jsonl; or block_ratings.json, of which '
        "a network's score is the sum, with the other sign",
    )
    parser.add_argument(
        '--column', metavar='NAME', help='column of TABLE that is the accuracy, e.g. cifar10-test'
    )
    parser.add_argument(
        '--ratings-column', metavar='NAME', help='column of the file of --ratings that is the score'
    )
    parser.add_argument('--num', type=int, help='random networks to rate; default: the whole table')
    parser.add_argument('--seed', type=int, default=0, help='of the sample and the bootstrap')
    parser.add_argument(
        '--extremes',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='rate the cheapest and the costliest network beside the random ones (default: yes)',
    )
    parser.add_argument(
        '--budgets',
        type=float,
        nargs='+',
        default=[],
        metavar='MMACS',
        help='pick the best within each; default: quartiles of the table',
    )
    parser.add_argument(
        '--above',
        type=float,
        nargs='+',
        default=[],
        metavar='ACCURACY',
        help='also correlate networks of at least this accuracy',
    )
    parser.add_argument(
        '--without',
        nargs='+',
        default=[],
        metavar='CHOICE',
        help="also correlate networks without a choice: 'identity', or an index",
    )
    parser.add_argument('--bn-policy', choices=['recalibrate', 'batch_stats'])
    parser.add_argument(
        '--score',
        choices=SCORES,
        help='what the plot, and "score" in the tables, stand for; the others stand beside it, by '
        'name. top1: accuracy. loss: cross entropy, which is finer. main_effects: of the '
        'cross entropy, which are less noisy. training: main effects of the losses in '
        "the training's path_log.jsonl, the default where there is that file; else main_effects. "
        'combined: the sum of both',
    )
    parser.add_argument(
        '--path-log', metavar='FILE', help='default: path_log.jsonl beside the checkpoint'
    )
    parser.add_argument('--num-images', type=int, help="images to rate on; default: the config's")
    parser.add_argument(
        '--naswot',
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also score each network untrained, on 32 of the config's training images (default: "
        'yes, where they are here)',
    )
    parser.add_argument('--resamples', type=int, default=1000, help='of the bootstrap')
    parser.add_argument('--out', metavar='DIR', help='default: beside the checkpoint or the table')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE')
    args = parser.parse_intermixed_args(argv)
    is_known = args.checkpoint is not None or os.path.isdir(args.config) and not args.ratings
    if is_known == (args.ratings is not None):
        parser.error(
            'give either a checkpoint, CONFIG CHECKPOINT TABLE or WORK_DIR TABLE, or --ratings FILE'
        )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_pair(args.config, args.checkpoint)
    check_file(args.table, f'no table {args.table}')
    if args.ratings:
        check_file(args.ratings, f'no table {args.ratings}')
    if args.path_log:
        check_file(args.path_log, f'no {args.path_log}')
    if args.out:
        check_writable(args.out, '--out')
    from cream_mm.config.load import check_early
    from cream_mm.config.work_dir import config_and_checkpoint, config_file

    if not args.ratings:
        args.config, args.checkpoint = config_and_checkpoint(args.config, args.checkpoint)
    elif os.path.isdir(args.config):
        args.config = config_file(args.config)
    check_early(args.config, args.cfg_options, check_data=args.ratings is None)
    from cream_mm.apis.correlate import correlate

    correlate(**vars(args))
