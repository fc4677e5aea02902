"""Depths and input size that the released Cream code would choose for a FLOPs range, and why.

  python tools/suggest_depths.py 250 350
  python tools/suggest_depths.py 0 60

LOW and HIGH are millions of FLOPs as the released search code counts them ("board").
"""

import argparse
from collections.abc import Sequence

from cream_mm.command_line import tool_parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(__doc__)
    parser.add_argument('low', type=float, metavar='LOW', help='lower end, in millions')
    parser.add_argument('high', type=float, metavar='HIGH', help='upper end, in millions')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    from cream_mm.costs import build_cost_model
    from cream_mm.methods.cream.depth_layout import depth_layout
    from cream_mm.spaces import MBConvSpace

    layout = depth_layout(args.low, args.high)
    depths = str(list(layout.depths)).replace(' ', '')
    for reason in layout.reasons:
        print(f'* {reason}')
    print(f'\ndepths {depths}, {layout.input_size} x {layout.input_size} pixels')

    space = MBConvSpace(depths=layout.depths)
    smallest, largest = build_cost_model(space, layout.input_size).extremes()
    print('The paths of that supernet cost, with 1000 classes:')
    for name, key in (('board', 'board_flops_m'), ('macs', 'macs_m')):
        print(f'  {name:6s} {smallest[key]:.1f} to {largest[key]:.1f} M')
    low, high = smallest['board_flops_m'], largest['board_flops_m']
    meets = args.low <= high and args.high >= low
    budget = f' budget.board_flops_m=[{args.low:g},{args.high:g}]' if meets else ''
    if meets and (args.low > low or args.high < high):
        print('The released code trains all of them. cream_mm can keep to the range:')
    elif not meets:
        print(
            f'None of them lies between {args.low:g} and {args.high:g} M: choose depths yourself.'
        )
    print(
        'python tools/train.py configs/cream/search_imagenet.py --cfg-options \\\n'
        f'    model.backbone.space.depths={depths} input_size={layout.input_size}{budget}'
    )
