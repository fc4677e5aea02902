"""Train a light detector with a network of yours as its backbone, on a set with boxes.

  cream-mm detect lite0 --data data/cards
  cream-mm detect work_dirs/search/export --data data/cards --work-dir work_dirs/detector
  cream-mm detect work_dirs/search/export/retrain --data data/cards --minutes 60

NETWORK is the folder of an export or of a retraining, a checkpoint of either, or the name of a
network with weights (lite0, lite1, lite2). DIR is in the form of COCO, PASCAL VOC or YOLO, or has a
CSV of boxes; without a split 20 % of the images are validated on. The detector is that of
configs/photos/detector.py, RetinaNet with a slim neck and head. Its config, detector.py, is written
into the work directory and trained. With other detectors: cream-mm export --detector.
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from cream_mm.command_line import check_writable, tool_parser
from cream_mm.commands._training import add_train_options, parse_train_args, train_with
from cream_mm.commands._values import boxes_in


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('network', metavar='NETWORK', help='folder, checkpoint or name')
    parser.add_argument('--data', metavar='DIR', required=True, help='folder of the set')
    parser.add_argument(
        '--work-dir', metavar='DIR', default='work_dirs/detector', help='default: %(default)s'
    )
    add_train_options(parser, 'scale=[384,384]')
    return parse_train_args(parser, argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    boxes_in(args.data)
    check_writable(args.work_dir)
    from cream_mm.apis.light_detector import write_detector

    is_new = not os.path.exists(args.work_dir)
    with ExitStack() as stack:
        folder = os.path.join(args.work_dir, 'config')
        if args.dry_run and not args.resume:
            folder = stack.enter_context(TemporaryDirectory(prefix='cream_mm-detector-'))
        config = os.path.join(folder, 'detector.py')
        if not (args.resume and os.path.isfile(config)):
            write_detector(args.network, config)
        try:
            train_with(config, args.work_dir, args, [f'data_root={args.data}', *args.cfg_options])
        except (OSError, ValueError):
            if is_new and os.path.isdir(args.work_dir) and os.listdir(args.work_dir) == ['config']:
                shutil.rmtree(args.work_dir)  # an option or the data was refused: no run began
            raise
