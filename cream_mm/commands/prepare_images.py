"""Copy an image folder into one that is faster to train on.

python tools/prepare_images.py data/imagenet data/imagenet256 --size 256
python tools/prepare_images.py data/cifar10 data/cifar10_packed --pack

The copy is another data_root: classes, labels and the held-out images stay the same.
"""

import argparse
import os
from collections.abc import Sequence

from cream_mm.command_line import check_writable, tool_parser
from cream_mm.environment import usable_cores


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(__doc__)
    parser.add_argument('src', metavar='SRC', help='holds train/<class>/* and val/<class>/*')
    parser.add_argument('dst', metavar='DST', help='a new folder')
    parser.add_argument(
        '--size',
        type=int,
        help='resize larger images so that the shorter side has SIZE pixels (JPEG quality 95), '
        'and copy the others; with --pack, make every image SIZE x SIZE (default: 256, with '
        '--pack as they are)',
    )
    parser.add_argument(
        '--pack',
        action='store_true',
        help='write each split as one file that is read in place: for small images',
    )
    parser.add_argument(
        '--num-workers',
        type=int,
        default=usable_cores(),
        help='processes that resize (default: %(default)s)',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare, and say what was written."""
    args = parse_args(argv)
    if not os.path.isdir(args.src):
        raise FileNotFoundError(f'no folder {args.src}; it holds train/<class>/* and val/<class>/*')
    check_writable(args.dst, 'DST')
    from cream_mm.datasets.prepare_images import prepare_images

    size = 256 if args.size is None and not args.pack else args.size
    counts = prepare_images(
        args.src, args.dst, size=size, pack=args.pack, num_workers=args.num_workers
    )
    print(f'wrote {args.dst}: ' + ', '.join(f'{k} {n} images' for k, n in counts.items()))
    print(f'train on it with --cfg-options data_root={args.dst}')
