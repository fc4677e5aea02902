"""Print what a classifier says of images, or draw the boxes that a detector finds in them.

python tools/predict.py lite0 photo.jpg folder_of_photos
python tools/predict.py work_dirs/retrain photo.jpg
python tools/predict.py configs/retinanet_cream.py photo.jpg --checkpoint epoch_12.pth --out drawn
"""

import argparse
import os
from collections.abc import Sequence

from cream_mm.command_line import (
    OptionsAction,
    check_checkpoint,
    check_config,
    tool_parser,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        'config',
        help='config file, work directory of a run, folder of an export or its arch.json, or the '
        'name of a published network with weights, such as lite0',
    )
    parser.add_argument('images', nargs='+', help='images, or folders of them')
    parser.add_argument(
        '--checkpoint', help='weights; default: those of the work directory, export or network'
    )
    parser.add_argument(
        '--out', default='work_dirs/predict', help="folder for a detector's drawings; %(default)s"
    )
    parser.add_argument('--top', type=int, default=5, help='classes of a classifier; %(default)s')
    parser.add_argument(
        '--threshold', type=float, default=0.3, help="least score of a detector's box; %(default)s"
    )
    parser.add_argument('--device', help='default: a GPU if there is one')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override config values',
    )
    args = parser.parse_args(argv)
    if args.top < 1:
        parser.error(f'argument --top: it is at least 1; got {args.top}')
    if not 0 <= args.threshold <= 1:
        parser.error(f'argument --threshold: it is 0 to 1; got {args.threshold}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.config.endswith('.py'):
        check_config(args.config)
    if args.checkpoint and not os.path.isdir(args.checkpoint) and '://' not in args.checkpoint:
        check_checkpoint(args.checkpoint)
    for place in args.images:
        if not os.path.exists(place):
            raise FileNotFoundError(f'no image or folder {place}')
    if args.config.endswith('.py'):
        from cream_mm.config.load import check_early

        check_early(args.config, args.cfg_options, check_data=False)
    from cream_mm.apis.predict import find_pictures, lines_of, open_model, predict

    paths = find_pictures(args.images)
    model = open_model(args.config, args.checkpoint, args.device, args.cfg_options)
    read = 0
    for prediction in predict(model, paths, top=args.top, threshold=args.threshold, out=args.out):
        print(*lines_of(prediction), sep='\n', flush=True)
        read += prediction.unreadable is None
    if not read:
        raise ValueError(f'none of the {len(paths)} files could be read as an image')
