"""Train anything: a supernet search, a retraining, a detector.

python tools/train.py configs/cream/search_imagenet.py --cfg-options data_root=data/imagenet
python tools/train.py configs/retinanet_cream.py --amp --work-dir work_dirs/my_detector
torchrun --nproc_per_node=8 tools/train.py configs/cream/search_imagenet.py --launcher pytorch
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cream_mm.command_line import (
    OptionsAction,
    check_checkpoint,
    check_config,
    tool_parser,
)
from cream_mm.command_words import own_command

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
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='tell how long the run will take, by its first steps; nothing is kept',
    )
    parser.add_argument(
        '--dry-run-out', metavar='FILE', help='with --dry-run: its numbers as JSON, too'
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
    parser.add_argument(
        '--folds',
        type=int,
        metavar='K',
        help='train K times, each K-th of the images held out once, into WORK_DIR/fold_0, ...; the '
        'same command goes on after a kill',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    if args.dry_run_out and not args.dry_run:
        parser.error('argument --dry-run-out: it is for --dry-run')
    args.command = [
        *own_command('train')[1:],
        *(sys.argv[1:] if argv is None else argv),
    ]
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def build_runner(args: argparse.Namespace, folder: str | None = None) -> 'Runner':
    """The run that the arguments ask for; of a dry run, all it writes goes to ``folder``."""
    check_config(args.config)
    if args.resume and args.resume != 'auto' and '://' not in args.resume:
        check_checkpoint(args.resume)
    from cream_mm.config.folder_data import look_before_training
    from cream_mm.config.load import load_config

    options = dict(args.cfg_options or {})
    if args.work_dir:
        options['work_dir'] = args.work_dir
    if folder:
        from cream_mm.config.carry import read_config

        begun = options.get('work_dir') or read_config(args.config)[0].get('work_dir')
    from cream_mm.config.auto_batch import size_batch

    sized = size_batch(
        args.config, options, resume=bool(args.resume), amp=args.amp, keep=not folder
    )
    command = args.command
    if sized != options:  # a dry run that max_minutes makes need not measure again
        command = [*command, '--cfg-options', f'batch_size={sized["batch_size"]}']
    options = sized
    if folder:
        options['work_dir'] = folder
    cfg = load_config(args.config, options, writes=True)
    if args.resume:
        from cream_mm.checkpoints.whole_file import latest_checkpoint

        begun_anew = args.resume == 'auto' and latest_checkpoint(cfg.work_dir) is None
        if not (begun_anew and cfg.get('load_from')):  # else it begins with these weights
            cfg.resume = True
            cfg.load_from = None if args.resume == 'auto' else args.resume
    if folder:
        from cream_mm.engine.dry_run import leave_no_trace

        leave_no_trace(cfg, folder, begun)
    else:
        from cream_mm.config.max_minutes import size_epochs

        size_epochs(cfg, options, command)
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
    from cream_mm.engine import Runner

    return Runner.from_cfg(cfg)


def tell_how_long(args: argparse.Namespace, began: float) -> None:
    """A dry run: how long the run will take, on the screen."""
    from cream_mm.files.dry_run_folder import FOLDER

    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        runner = build_runner(args, folder)
        from cream_mm.config.max_minutes import fitting
        from cream_mm.engine.dry_run import dry_run, dry_run_table
        from cream_mm.files import write_json

        found = dry_run(runner, began)
        if int(os.environ.get('RANK', 0)):
            return
        print(dry_run_table(found))
        if minutes := runner.cfg.get('max_minutes'):
            print(fitting(found.record(), minutes)[1])
        if args.dry_run_out:
            write_json(Path(args.dry_run_out), found.record())


def run_folds(args: argparse.Namespace, words: Sequence[str]) -> None:
    """Train each fold by a process of its own, with the options that were typed."""
    check_config(args.config)
    if args.dry_run:
        raise ValueError('--dry-run tells of one fold: leave --folds out')
    if args.resume:
        raise ValueError('--folds goes on by itself; leave --resume out')
    if args.launcher != 'none':
        raise ValueError(
            '--folds has no --launcher: launch each fold by itself, with '
            f'"--cfg-options folds={args.folds} fold=0 --work-dir WORK_DIR/fold_0" and so on, then '
            'call it without a launcher, and it writes the table'
        )
    from cream_mm.apis.train_folds import train_folds

    work_dir = args.work_dir or os.path.join('work_dirs', Path(args.config).stem)
    train_folds(
        args.config, work_dir, args.folds,
        options=args.cfg_options, words=_option_words(words),
        flags=[flag for flag in ('--amp', '--auto-scale-lr') if flag in words],
    )  # fmt: skip


def _option_words(words: Sequence[str]) -> list[str]:
    """``KEY=VALUE`` as they stand behind ``--cfg-options``."""
    found, inside = [], False
    for word in words:
        if word.startswith('--'):
            inside = word == '--cfg-options'
        elif inside:
            found.append(word)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    began = time.perf_counter()
    args = parse_args(argv)
    if args.folds is not None:
        run_folds(args, sys.argv[1:] if argv is None else list(argv))
    elif args.dry_run:
        tell_how_long(args, began)
    else:
        build_runner(args).train()
