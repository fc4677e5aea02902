"""Convert a checkpoint of the released code (microsoft/Cream) to cream_mm, or back.

  python tools/convert_checkpoint.py 14.pth.tar work_dirs/official/cream-14m.pth
  python tools/convert_checkpoint.py work_dirs/retrain/epoch_510.pth mine.pth.tar --to official

SRC is a retrained network or a supernet; which one, and its architecture, is read off its tensors,
every one of which is checked. Nothing in SRC is executed.
"""

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cream_mm.command_line import check_checkpoint, check_writable_file, tool_parser
from cream_mm.command_words import as_typed

if TYPE_CHECKING:
    from cream_mm.converters.convert_checkpoint import Conversion


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(__doc__)
    parser.add_argument('src', metavar='SRC', help='the checkpoint to read')
    parser.add_argument('dst', metavar='DST', help='the file to write')
    parser.add_argument(
        '--to',
        choices=['cream_mm', 'official'],
        default='cream_mm',
        help='whose names DST gets; default: cream_mm',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_checkpoint(args.src)
    check_writable_file(args.dst, 'DST')
    from cream_mm.converters import convert_checkpoint

    found = convert_checkpoint(args.src, args.dst, to_official=args.to == 'official')
    print_found(found)
    print(f'written    {args.dst}')
    if args.to == 'official':
        print('next       the released code can load it; state_dict_ema, which its test asks for,')
        print('           holds the same weights as state_dict')
        return
    if found.arch and not found.name:
        print(f'           {found.arch}')
    print('next')
    for command in next_steps(found, shlex.quote(args.dst)):
        print(f'  {as_typed(command)}')


def print_found(found: 'Conversion') -> None:
    layout = found.layout
    if layout.is_supernet:
        print(f'found      a supernet of depths {list(layout.depths)}, 6 choices per layer')
    else:
        name = f'{found.name}, ' if found.name else 'a network, not a published one, '
        print(f'found      {name}arch {layout.arch}')
    print(f'classes    {layout.num_classes}')
    print(f'weights    {found.source}')
    print(f'tensors    {found.num_tensors:,}, {found.num_params:,} parameters')
    for note in found.notes:
        print(f'note       {note}')


def next_steps(found: 'Conversion', dst: str) -> list[str]:
    """Commands that use the converted file."""
    layout = found.layout
    classes = f'num_classes={layout.num_classes} ' if layout.num_classes != 1000 else ''
    if layout.is_supernet:
        depths = str(list(layout.depths)).replace(' ', '')
        images = ''
        if layout.num_images not in (None, 4):
            images = f'model.board.num_images={layout.num_images} '
        path = str(layout.space.decode([3] * layout.space.num_layers))
        return [
            f"python tools/export_arch.py '{path}' \\\n"
            f'      --checkpoint {dst} --out work_dirs/export',
            'python tools/train.py configs/cream/search_imagenet.py --cfg-options \\\n'
            f'      load_from={dst} model.backbone.space.depths={depths} \\\n'
            f'      {images}{classes}data_root=FOLDER',
        ]
    arch = shlex.quote(found.arch)
    config = f'configs/cream/retrain_{found.name or "imagenet"}.py'
    choice = '' if found.name else f'model.backbone.arch={arch} '
    return [
        f'python tools/test.py {config} {dst} \\\n'
        f'      --cfg-options {choice}{classes}data_root=FOLDER',
        'python tools/train.py configs/retinanet_cream.py --cfg-options \\\n'
        f'      data_root=data/my_coco model.backbone.arch={arch} \\\n'
        '      model.backbone.init_cfg.type=Pretrained \\\n'
        f'      model.backbone.init_cfg.checkpoint={dst} model.backbone.init_cfg.prefix=backbone.',
    ]
