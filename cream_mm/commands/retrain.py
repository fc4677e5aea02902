"""Train the network that a search has found, from its export.

  cream-mm retrain work_dirs/search/export
  cream-mm retrain work_dirs/search --work-dir work_dirs/retrain
  cream-mm retrain work_dirs/front/62.4m --data data/flowers --cfg-options max_epochs=20

FOLDER is an export, with its retrain.py, or the work directory of a search: its answer then is
exported into WORK_DIR/export. It is cream-mm train FOLDER/retrain.py with these values; of a
detector's search that trains the detector.
"""

import argparse
import os
from collections.abc import Sequence

from cream_mm.command_line import check_pairs, check_writable, tool_parser
from cream_mm.commands._values import kind_of_data, minutes


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('folder', metavar='FOLDER', help='an export, or the folder of a search')
    parser.add_argument('--data', metavar='DIR', help='default: that of the search')
    parser.add_argument('--minutes', type=minutes, metavar='N', help='that it may take')
    parser.add_argument('--work-dir', metavar='DIR', help='default: retrain in the export')
    parser.add_argument('--resume', action='store_true', help='go on where it was interrupted')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override config values, e.g. max_epochs=20',
    )
    args = parser.parse_args(argv)
    check_pairs(parser, args.cfg_options, '--cfg-options')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.data:
        kind_of_data(args.data)
    folder = exported(args.folder)
    work_dir = args.work_dir or os.path.join(folder, 'retrain')
    check_writable(work_dir)
    options = [f'data_root={args.data}'] if args.data else []
    options += args.cfg_options
    options += [f'max_minutes={args.minutes:g}'] if args.minutes else []
    from cream_mm.commands import train

    config = os.path.join(folder, 'retrain.py')
    resume = ['--resume'] if args.resume else []
    given = ['--cfg-options', *options] if options else []
    train.main([config, '--work-dir', work_dir, *resume, *given])


def exported(folder: str) -> str:
    """The export in a folder, or of the search whose folder it is.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if os.path.isfile(os.path.join(folder, 'retrain.py')) and not _is_search(folder):
        return folder
    if not _is_search(folder):
        what = 'is no export and no finished search' if os.path.isdir(folder) else 'is not there'
        raise FileNotFoundError(
            f'{folder} {what}: an export has a retrain.py ("cream-mm export WORK_DIR" writes one), '
            'a search its best_arch.json'
        )
    export = os.path.join(folder, 'export')
    if not os.path.isfile(os.path.join(export, 'retrain.py')):
        from cream_mm.commands import export_arch

        export_arch.main([folder, '--out', export])
    return export


def _is_search(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, 'best_arch.json'))
