"""Train random paths of a search alone, from scratch: the ground truth for a rank correlation.

  python tools/train_paths.py configs/cream/search_imagenet.py --work-dir work_dirs/paths \\
      --num 30 --train-options max_epochs=30
  python tools/rank_correlation.py configs/cream/search_imagenet.py SUPERNET.pth \\
      work_dirs/paths/accuracy.csv

The networks are drawn uniformly within the config's budget and trained one after the other with
the retraining that the config names, as after tools/export_arch.py. queue.json lists them, and
accuracy.csv gets a line when one has finished. The same command after a kill goes on with the
checkpoint of the network that was being trained; with a larger --num it adds networks.
Give both commands the same --cfg-options.
"""

import argparse
from collections.abc import Sequence

from cream_mm.command_line import (
    OptionsAction,
    check_config,
    check_pairs,
    check_writable,
    tool_parser,
)
from cream_mm.mim_scope import configs_root


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='config of the search')
    parser.add_argument('--num', type=int, default=30, help='networks (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the draws')
    parser.add_argument('--work-dir', required=True)
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE',
                        help="override the search's config, e.g. data_root=DIR")  # fmt: skip
    parser.add_argument('--train-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help="override the retraining's config, e.g. max_epochs=30")  # fmt: skip
    args = parser.parse_args(argv)
    check_pairs(parser, args.train_options, '--train-options')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_config(args.config)
    check_writable(args.work_dir)
    from cream_mm.config.load import check_early

    check_early(args.config, args.cfg_options)
    from cream_mm.apis.train_paths import train_paths

    train_paths(**vars(args), root=str(configs_root()))
