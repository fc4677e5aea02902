"""How long the networks of a search space take on this machine: measure a table, and check it.

  python tools/latency.py build cream --size 224 --out latency.json
  python tools/latency.py check latency.json
  python tools/train.py configs/cream/search_imagenet.py --cfg-options latency=latency.json \\
      budget.macs_m=None budget.latency_ms=[0,5]
  python tools/latency.py time work_dirs/search_imagenet

build takes a search space (cream, nas_bench_macro, dna, lite0, lite1, lite2, nas_bench_201) or the
config of a search. It times some hundred whole networks, ten minutes for each size, and fits times
of layers that add up to them. FILE.jsonl has every time as it was measured: the same command goes
on after a kill, and another size is added to the file. check times 30 other networks and compares
them with the table; exit code 1 says that it predicts them badly. time times what a search has
found, its answer and its front, beside what the table said of them. Leave the machine alone
meanwhile. docs/latency.md tells how it is measured.
"""

import argparse
import re
import sys
from collections.abc import Sequence

from cream_mm.command_line import (
    OptionsAction,
    check_config,
    check_file,
    check_writable_file,
    tool_parser,
)
from cream_mm.command_words import as_typed


def image_size(text: str) -> tuple[int, int]:
    """``224`` or ``800x1280``, height and width."""
    match = re.fullmatch(r'([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?', text)
    if not match:
        raise argparse.ArgumentTypeError(f'a size is SIDE or HEIGHTxWIDTH in pixels; got {text}')
    height, width = match.groups()
    return int(height), int(width or height)


def positive(text: str) -> int:
    """An integer from 1 on."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is no number from 1 on')
    return int(text)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='build|check|time')
    build = commands.add_parser('build', help='measure a table', description='Measure a table.')
    build.add_argument(
        'source', metavar='SPACE_OR_CONFIG', help="a space's name, a search's config"
    )
    build.add_argument('--out', default='latency.json', metavar='FILE', help='default: %(default)s')
    build.add_argument(
        '--backend',
        choices=['onnxruntime', 'openvino', 'torch'],
        default='onnxruntime',
        help='what runs the networks (default: %(default)s)',
    )
    build.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    build.add_argument(
        '--size',
        nargs='+',
        type=image_size,
        default=[],
        metavar='SIDE',
        help="of images in pixels, or HEIGHTxWIDTH; one table each. Default: the config's; of a "
        'space alone 224, and 32 where its stem has no stride',
    )
    build.add_argument('--batch', type=positive, default=1, help='images at once (default: 1)')
    build.add_argument(
        '--threads',
        type=positive,
        help='of one network; default: the cores that this process may use',
    )
    build.add_argument(
        '--head',
        choices=['classifier', 'none'],
        help="none: the backbone alone, as a detector has it. Default: the config's; classifier",
    )
    build.add_argument('--num-classes', type=positive, help="of the classifier; default: config's")
    build.add_argument(
        '--minutes', type=float, default=10.0, help='of each size (default: %(default)g)'
    )
    build.add_argument('--seed', type=int, default=0, help='of the choice of networks')
    build.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE')
    check = commands.add_parser(
        'check', help='compare a table with networks', description='Compare a table with networks.'
    )
    check.add_argument('file', metavar='FILE', help='what build wrote')
    check.add_argument('--networks', type=positive, default=30, help='how many (default: 30)')
    check.add_argument('--seed', type=int, default=0, help='of the draw')
    found = commands.add_parser(
        'time', help='time what a search has found', description='Time what a search has found.'
    )
    found.add_argument(
        'place', metavar='WORK_DIR_OR_ARCH', help='of a search; or an exported arch.json'
    )
    found.add_argument(
        '--backend',
        choices=['onnxruntime', 'openvino', 'torch'],
        help="default: the table's, else onnxruntime",
    )
    found.add_argument('--device', choices=['cpu', 'cuda'], help="default: the table's, else cpu")
    found.add_argument('--threads', type=positive, help="default: the table's")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.command == 'check':
        check_file(args.file, f'no latency table {args.file}')
        from cream_mm.apis.check_latency import check_latency

        if not check_latency(args.file, args.networks, args.seed):
            sys.exit(1)
        return
    if args.command == 'time':
        from cream_mm.apis.time_found import time_found

        time_found(args.place, backend=args.backend, device=args.device, threads=args.threads)
        return
    if args.source.endswith('.py'):
        check_config(args.source)
    check_writable_file(args.out)
    from cream_mm.apis.latency_table import build_latency
    from cream_mm.apis.time_networks import default_threads

    head = {} if args.head is None else dict(head=None if args.head == 'none' else args.head)
    build_latency(
        args.source, args.out, backend=args.backend, device=args.device,
        threads=args.threads or default_threads(), sizes=args.size, batch=args.batch,
        num_classes=args.num_classes, minutes=args.minutes, seed=args.seed,
        cfg_options=args.cfg_options, **head,
    )  # fmt: skip
    print(as_typed(f'next      python tools/latency.py check {args.out}'))
