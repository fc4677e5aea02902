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
from collections.abc import Sequence

from cream_mm.command_line import check_pairs, check_writable, tool_parser
from cream_mm.commands._values import boxes_in, minutes


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('network', metavar='NETWORK', help='folder, checkpoint or name')
    parser.add_argument('--data', metavar='DIR', required=True, help='folder of the set')
    parser.add_argument('--minutes', type=minutes, metavar='N', help='that it may take')
    parser.add_argument(
        '--work-dir', metavar='DIR', default='work_dirs/detector', help='default: %(default)s'
    )
    parser.add_argument('--resume', action='store_true', help='go on where it was interrupted')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override config values, e.g. scale=[384,384]',
    )
    args = parser.parse_args(argv)
    check_pairs(parser, args.cfg_options, '--cfg-options')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    boxes_in(args.data)
    check_writable(args.work_dir)
    from cream_mm.apis.light_detector import write_detector
    from cream_mm.commands import train

    config = os.path.join(args.work_dir, 'config', 'detector.py')
    if not (args.resume and os.path.isfile(config)):
        write_detector(args.network, config)
    options = [f'data_root={args.data}', *args.cfg_options]
    options += [f'max_minutes={args.minutes:g}'] if args.minutes else []
    resume = ['--resume'] if args.resume else []
    train.main([config, '--work-dir', args.work_dir, *resume, '--cfg-options', *options])
