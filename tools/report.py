"""Make one HTML page from the files of a search."""

import argparse
import sys

from cream_mm.command_line import tool_parser

EXAMPLE = """\
example:
  python tools/report.py work_dirs/demo/search
  python tools/report.py work_dirs/demo/search --retrain work_dirs/demo/retrain \\
      --detector work_dirs/demo/retinanet --out work_dirs/demo/report.html
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(
        'Make one self-contained HTML page from the files of a search: what was '
        'found, what it costs, how the search went.',
        epilog=EXAMPLE,
    )
    parser.add_argument('search_dir', help='work directory of a search (holds best_arch.json)')
    parser.add_argument('--retrain', metavar='DIR', help='work directory of the retraining')
    parser.add_argument('--detector', metavar='DIR', help='work directory of the detector')
    parser.add_argument(
        '--out', metavar='FILE', help='page to write (default: SEARCH_DIR/report.html)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write the page and print where it is, with the result table."""
    args = parse_args(argv)
    from cream_mm.reports import SearchReport

    try:
        report = SearchReport(args.search_dir, retrain_dir=args.retrain, detector_dir=args.detector)
        out = report.save(args.out)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error.args[-1] if error.args else error}')
    for note in report.notes:
        print(f'not in the report: {note}', file=sys.stderr)
    print(f'{report.summary()}\n\nreport: {out}')


if __name__ == '__main__':
    main()
