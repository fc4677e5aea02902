"""Evaluate a classifier or a detector; of a search, rate its networks and answer again.

python tools/test.py work_dirs/retinanet_cream --show-dir drawn
python tools/test.py configs/retinanet_cream.py work_dirs/retinanet_cream/epoch_12.pth
python tools/test.py configs/cream/retrain_imagenet.py best.pth --cfg-options data_root=FOLDER
"""

import argparse
import os
import os.path as osp
from collections.abc import Sequence
from typing import Any

from cream_mm.command_line import (
    OptionsAction,
    check_pair,
    check_writable,
    check_writable_file,
    tool_parser,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='config file, or the work directory of a run')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help="checkpoint file; default: the work directory's best one, or its newest",
    )
    parser.add_argument(
        '--work-dir',
        help='for logs and results; default: WORK_DIR/test, or work_dirs/<config name>',
    )
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
        action=OptionsAction,
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
    check_pair(args.config, args.checkpoint)
    if args.work_dir:
        check_writable(args.work_dir)
    if args.out:
        check_writable_file(args.out)
    if args.show_dir:
        check_writable(args.show_dir, '--show-dir')
    from cream_mm.config.load import load_config
    from cream_mm.config.normalisation import fit_images
    from cream_mm.config.work_dir import config_and_checkpoint
    from cream_mm.files import say_early

    is_work_dir = osp.isdir(args.config)
    args.config, args.checkpoint = config_and_checkpoint(args.config, args.checkpoint)

    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    name = osp.splitext(osp.basename(args.config))[0]
    # The config that a run left in its work directory is not to be replaced by this run's.
    work_dir, folder = cfg.get('work_dir') or osp.join('work_dirs', name), osp.dirname(args.config)
    if is_work_dir or osp.abspath(folder) == osp.abspath(work_dir):
        work_dir = osp.join(folder, 'test')
    cfg.work_dir = args.work_dir or work_dir
    cfg.load_from = args.checkpoint
    fit_images(cfg, args.cfg_options or {}, say_early)
    if is_work_dir:
        keep_boxes(cfg, folder)
    if args.tta:
        from cream_mm.config.tta import use_tta

        use_tta(cfg)
    if args.show_dir:
        if 'visualization' not in cfg.default_hooks:
            raise ValueError('--show-dir draws detections; this config has no visualization hook')
        # mmdet's hook would put a relative one below the log's folder.
        out = osp.abspath(args.show_dir)
        cfg.default_hooks.visualization.update(draw=True, test_out_dir=out)
        before = _pictures(out)
    from cream_mm.engine import Runner

    runner = Runner.from_cfg(cfg)
    if args.out:
        from mmengine.evaluator import DumpResults

        if not hasattr(runner.test_loop, 'evaluator'):
            raise ValueError(
                f'--out writes predictions; {type(runner.test_loop).__name__} of this config makes '
                'none, and writes files of its own into the work_dir'
            )
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    from mmengine.dist import is_main_process

    if args.show_dir and is_main_process():
        drawn = _pictures(args.show_dir)
        count = sum(before.get(name) != time for name, time in drawn.items())
        print(f'drawn: {count} images in {args.show_dir}')
    return metrics


def keep_boxes(cfg: Any, folder: str) -> None:
    """Let a detector's boxes on its validation images stay beside its config, for a report."""
    from cream_mm.config.coco_data import coco_metrics

    sets = [(cfg.get(f'{side}_dataloader') or {}).get('dataset') or {} for side in ('val', 'test')]
    val, test = ([one.get(k) for k in ('data_root', 'ann_file', 'data_prefix')] for one in sets)
    if val == test:
        for metric in coco_metrics(cfg.get('test_evaluator')):
            metric.setdefault('outfile_prefix', osp.join(folder, 'val'))


def _pictures(folder: str) -> dict[str, int]:
    """The files of a folder, and when each was last written, in ns."""
    if not osp.isdir(folder):
        return {}
    return {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(folder) if entry.is_file()}
