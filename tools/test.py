"""Evaluate a checkpoint: a classifier, a detector, or a supernet (whose board is then rated).

python tools/test.py configs/retinanet_cream.py work_dirs/retinanet_cream/epoch_12.pth
python tools/test.py configs/cream/retrain_imagenet.py best.pth --cfg-options data_root=FOLDER
"""

import argparse
import os
import os.path as osp
from collections.abc import Sequence

from mmengine.config import DictAction

from cream_mm.command_line import one_line_errors
from cream_mm.config.load import load_config
from cream_mm.config.tta import use_tta
from cream_mm.engine import Runner


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='for logs and results; default: the config name')
    parser.add_argument('--out', help='write predictions or metrics of mmengine to this .pkl file')
    parser.add_argument('--show-dir', help='draw predictions of a detector into this folder')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='predict each image several times and merge: as tta_model and tta_pipeline of the '
        'config say; without them, as it is and mirrored',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override config values, e.g. data_root=DIR',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main(argv: Sequence[str] | None = None) -> dict:
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    if not osp.isfile(args.checkpoint):
        raise FileNotFoundError(f'no checkpoint {args.checkpoint}')
    cfg.load_from = args.checkpoint
    if args.tta:
        use_tta(cfg)
    if args.show_dir:
        if 'visualization' not in cfg.default_hooks:
            raise ValueError('--show-dir draws detections; this config has no visualization hook')
        cfg.default_hooks.visualization.update(draw=True, test_out_dir=args.show_dir)
    runner = Runner.from_cfg(cfg)
    if args.out:
        from mmengine.evaluator import DumpResults

        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    return runner.test()


if __name__ == '__main__':
    with one_line_errors():
        main()
