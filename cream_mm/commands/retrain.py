"""Train the network that a search has found, from its export.

  cream-mm retrain work_dirs/search/export
  cream-mm retrain work_dirs/search --work-dir work_dirs/retrain
  cream-mm retrain work_dirs/front/62.412m --data data/flowers --cfg-options max_epochs=20

FOLDER is an export, with its retrain.py, or the work directory of a search: its answer then is
exported into WORK_DIR/export. It is cream-mm train FOLDER/retrain.py with these values; of a
detector's search that trains the detector.
"""

import argparse
import os
from collections.abc import Sequence

from cream_mm.command_line import check_writable, tool_parser
from cream_mm.commands._training import add_train_options, parse_train_args, train_with
from cream_mm.commands._values import kind_of_data

ANSWER = 'best_arch.json'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('folder', metavar='FOLDER', help='an export, or the folder of a search')
    parser.add_argument('--data', metavar='DIR', help='default: that of the search')
    parser.add_argument('--work-dir', metavar='DIR', help='default: retrain in the export')
    add_train_options(parser, 'max_epochs=20')
    return parse_train_args(parser, argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.data:
        kind_of_data(args.data)
    folder = exported(args.folder, resume=args.resume)
    work_dir = args.work_dir or os.path.join(folder, 'retrain')
    check_writable(work_dir)
    data = [f'data_root={args.data}'] if args.data else []
    config = os.path.join(folder, 'retrain.py')
    train_with(config, work_dir, args, [*data, *args.cfg_options])


def exported(folder: str, *, resume: bool = False) -> str:
    """The export in a folder, or of the search whose folder it is.

    One of an earlier answer of that search is written anew, unless its training goes on.

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
    if os.path.isfile(os.path.join(export, 'retrain.py')):
        if not _differ(os.path.join(folder, ANSWER), os.path.join(export, 'arch.json')):
            return export
        earlier = 'is of an earlier answer of this search'
        if resume:
            print(f'note: --resume goes on with {export}, which {earlier}')
            return export
        print(f'{export} {earlier}: exported anew')
    from cream_mm.commands import export_arch

    export_arch.main([folder, '--out', export])
    return export


def _is_search(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, ANSWER))


def _differ(answer: str, exported: str) -> bool:
    """Whether two files of an architecture, if they are such, are of two answers."""
    from cream_mm.files import read_json

    try:
        both = [read_json(path, finite=False) for path in (answer, exported)]
    except (OSError, ValueError):
        return False
    return all(isinstance(one, dict) for one in both) and any(
        repr(both[0].get(key)) != repr(both[1].get(key))  # NaN is the same there
        for key in ('arch', 'slice_of', 'rating', 'seed')
    )
