"""Make one HTML page from the files of a search, or of a classifier's training or test."""

import argparse
import sys
from pathlib import Path

from cream_mm.command_line import check_writable_file, tool_parser
from cream_mm.command_words import as_typed

EXAMPLE = """\
example:
  python tools/report.py work_dirs/demo/search
  python tools/report.py work_dirs/demo/search --retrain work_dirs/demo/retrain \\
      --detector work_dirs/demo/retinanet --out work_dirs/demo/report.html
  python tools/report.py work_dirs/retrain        # its errors by class
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(
        'Make one self-contained HTML page from the files of a search: what was '
        'found, what it costs, how the search went. Of a training or a test of a classifier: which '
        'classes it takes for which, and some wrong images.',
        epilog=EXAMPLE,
    )
    parser.add_argument(
        'search_dir',
        help='work directory of a search (holds best_arch.json), or of a training or test of a '
        'classifier (holds errors.json)',
    )
    parser.add_argument('--retrain', metavar='DIR', help='work directory of the retraining')
    parser.add_argument('--detector', metavar='DIR', help='work directory of the detector')
    parser.add_argument(
        '--out', metavar='FILE', help='page to write (default: report.html in the first folder)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write the page and print where it is, with the result table."""
    args = parse_args(argv)
    folder = Path(args.search_dir)
    if args.out or folder.is_dir():
        check_writable_file(args.out or folder / 'report.html')
    from cream_mm.files.errors_file import ERRORS_FILE
    from cream_mm.reports import ErrorReport, SearchReport

    try:
        if (folder / ERRORS_FILE).is_file() and not (folder / 'best_arch.json').is_file():
            report = ErrorReport(folder)
        else:
            report = SearchReport(folder, retrain_dir=args.retrain, detector_dir=args.detector)
        out = report.save(args.out)
    except (OSError, ValueError) as error:
        sys.exit(as_typed(f'error: {error.args[-1] if error.args else error}'))
    for note in report.notes:
        print(as_typed(f'not in the report: {note}'), file=sys.stderr)
    print(f'{report.summary()}\n\nreport: {out}')
