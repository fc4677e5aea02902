"""Write a classifier, a detector or feature maps as ONNX, and compare the file with PyTorch.

python tools/export_onnx.py work_dirs/retrain
python tools/export_onnx.py lite0 --size 192 192 --images folder_of_photos
python tools/export_onnx.py work_dirs/detector --dynamic-size --openvino --int8
"""

import argparse
import os
from collections.abc import Sequence
from importlib.util import find_spec

from cream_mm.command_line import OptionsAction, check_checkpoint, check_config, tool_parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        'config',
        help='config file, work directory of a run, folder of an export or its arch.json, or the '
        'name of a published network with weights, such as lite0',
    )
    parser.add_argument(
        'checkpoint', nargs='?', help='default: that of the work directory, export or network'
    )
    parser.add_argument('--out', help='folder; default: onnx in the work directory')
    parser.add_argument('--maps', action='store_true', help="the backbone's feature maps")
    parser.add_argument(
        '--size', nargs=2, type=int, metavar=('H', 'W'), help="default: the config's test size"
    )
    parser.add_argument('--dynamic-size', action='store_true', help='leave height and width open')
    parser.add_argument('--batch', type=int, help='fix the number of images; default: any')
    parser.add_argument('--opset', type=int, default=17, help='of ONNX; %(default)s')
    parser.add_argument('--openvino', action='store_true', help="OpenVINO's files as well")
    parser.add_argument(
        '--int8', nargs='?', type=int, const=300, metavar='N',
        help='an int8 file as well, with ranges of N training images; %(const)s',
    )  # fmt: skip
    parser.add_argument(
        '--int8-bits', type=int, choices=(7, 8), default=8,
        help='of its weights; 7 for processors without VNNI; %(default)s',
    )  # fmt: skip
    parser.add_argument(
        '--max-drop', type=float, default=1.0, metavar='POINTS',
        help='that int8 may lose; %(default)s',
    )  # fmt: skip
    parser.add_argument('--no-check', action='store_true', help='do not compare with PyTorch')
    parser.add_argument(
        '--check-images', type=int, metavar='N', help='compare N photographs; default: all'
    )
    parser.add_argument(
        '--images', help='folder of photographs to compare; default: the validation set'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override config values',
    )
    args = parser.parse_args(argv)
    for name in ('batch', 'int8', 'check_images'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'argument --{name.replace("_", "-")}: it is at least 1; got {value}')
    if args.size and min(args.size) < 1:
        parser.error(f'argument --size: sides are at least 1; got {args.size[0]} {args.size[1]}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.config.endswith('.py'):
        check_config(args.config)
        if not args.checkpoint:
            raise ValueError(
                f'{args.config} without weights: give CONFIG CHECKPOINT, or the work directory of '
                'a run'
            )
    if args.checkpoint and not os.path.isdir(args.checkpoint) and '://' not in args.checkpoint:
        check_checkpoint(args.checkpoint)
    if args.images and not os.path.exists(args.images):
        raise FileNotFoundError(f'no folder {args.images}')
    if args.config.endswith('.py'):
        from cream_mm.config.load import check_early

        check_early(args.config, args.cfg_options, check_data=False)
    if find_spec('onnx') is None:  # said again by the export, many seconds of imports later
        raise ImportError('this needs the package onnx: pip install "cream-mm[onnx]"')
    from cream_mm.deploy.export_folder import export

    export(
        args.config, args.checkpoint, args.out, maps=args.maps, size=args.size,
        dynamic_size=args.dynamic_size, batch=args.batch, opset=args.opset,
        openvino=args.openvino, int8=args.int8, int8_bits=args.int8_bits, max_drop=args.max_drop,
        check=not args.no_check,
        check_images=args.check_images, images=args.images, cfg_options=args.cfg_options,
    )  # fmt: skip
