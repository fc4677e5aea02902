"""Train anything: a supernet search, a retraining, a detector.

python tools/train.py configs/cream/search_imagenet.py --cfg-options data_root=data/imagenet
python tools/train.py configs/retinanet_cream.py --amp --work-dir work_dirs/my_detector
torchrun --nproc_per_node=8 tools/train.py configs/cream/search_imagenet.py --launcher pytorch
"""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cream_mm.command_line import (
    OptionsAction,
    check_checkpoint,
    check_config,
    one_line_errors,
    tool_parser,
)

if TYPE_CHECKING:
    from cream_mm.engine import Runner


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='for logs, checkpoints and results; default: '
                        'work_dirs/<config name>')  # fmt: skip
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from the latest checkpoint of the work-dir, or from the one named here',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the batch size (the cream configs do so by themselves)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override config values, e.g. data_root=DIR max_epochs=2 budget.macs_m=[300,400] '
        'optim_wrapper.optimizer.lr=0.1',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def build_runner(args: argparse.Namespace) -> 'Runner':
    check_config(args.config)
    if args.resume and args.resume != 'auto' and '://' not in args.resume:
        check_checkpoint(args.resume)
    from cream_mm.config.folder_data import look_before_training
    from cream_mm.config.load import load_config

    options = dict(args.cfg_options or {})
    if args.work_dir:
        options['work_dir'] = args.work_dir
    cfg = load_config(args.config, options, writes=True)
    look_before_training(cfg)
    cfg.launcher = args.launcher
    if args.amp:
        import torch

        if not torch.cuda.is_available():
            raise ValueError('--amp needs a GPU; leave it out on a CPU')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    from cream_mm.engine import Runner

    return Runner.from_cfg(cfg)


def main(argv: Sequence[str] | None = None) -> None:
    build_runner(parse_args(argv)).train()


if __name__ == '__main__':
    with one_line_errors():
        main()
