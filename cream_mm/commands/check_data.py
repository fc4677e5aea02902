"""Look at a data set before anyone trains on it, and split it where that is wanted.

  python tools/check_data.py data/flowers
  python tools/check_data.py data/flowers --split 0.1 --apply copy
  python tools/check_data.py data/cards --folds 5 --apply lists

Reads what the configs read: class folders, packed images, tables of labels, COCO, PASCAL VOC, YOLO,
CSV of boxes, and plain folders of images. Prints the classes and what was found, errors first, each
with its count, the first examples and what to do; writes a page with pictures to look at. Nothing
in DIR is changed. The exit code is 1 where there are errors, else 0.
"""

import argparse
import json
import os
import shlex
from collections.abc import Sequence

from cream_mm.command_line import check_writable, tool_parser

KINDS = (
    'coco', 'voc', 'yolo', 'box_csv', 'packed', 'label_table', 'class_folders', 'images',
)  # fmt: skip


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(__doc__)
    parser.add_argument('dir', metavar='DIR', help='folder of the set')
    parser.add_argument('--kind', choices=KINDS, help='how to read it (default: what it is)')
    parser.add_argument(
        '--out',
        metavar='FOLDER',
        default='work_dirs/check_data',
        help='for the page, and for lists of a split (default: %(default)s)',
    )
    parser.add_argument('--json', action='store_true', help='print JSON in place of text')
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        '--split',
        type=float,
        metavar='SHARE',
        help='split all images anew, this share to validate on: each class has its share of it, '
        'copies of one picture stay on one side',
    )
    how.add_argument(
        '--folds', type=int, metavar='N', help='N such splits, each holding out another part'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the split (default: %(default)s)')
    parser.add_argument(
        '--keep-test', action='store_true', help='leave the test set out of the new split'
    )
    parser.add_argument(
        '--apply',
        choices=('copy', 'lists'),
        help='write the split: as a copy of the set in DIR-split, or as lists in OUT/split with '
        'links to DIR. Without it, its numbers are printed',
    )
    parser.add_argument(
        '--to', metavar='FOLDER', help='where the split goes in place of DIR-split or OUT/split'
    )
    args = parser.parse_args(argv)
    divides = args.split is not None or args.folds is not None
    if not divides and (args.apply or args.keep_test or args.to):
        parser.error('--apply, --to and --keep-test belong to --split SHARE or --folds N')
    if args.split is not None and not 0 < args.split < 1:
        parser.error(f'--split is a share between 0 and 1; got {args.split:g}')
    if args.folds is not None and args.folds < 2:
        parser.error(f'--folds is 2 or more; got {args.folds}')
    if args.folds is not None and args.apply == 'copy':
        parser.error('N folds would be N copies: --apply lists writes links')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Check, print, write the page and the split; returns the exit code."""
    args = parse_args(argv)
    if not os.path.isdir(args.dir):
        what = 'is a file, not a folder' if os.path.exists(args.dir) else 'is not there'
        raise FileNotFoundError(f'{args.dir} {what}: give the folder of a data set')
    check_writable(args.out, '--out')
    from cream_mm.reports.check_data import check_data, divide, split_lines
    from cream_mm.reports.data_report import DataReport

    check = check_data(args.dir, args.kind, shows_progress=True)
    report = DataReport(check)
    page = report.save(os.path.join(args.out, 'data_report.html'))
    content = dict(report.to_dict(), page=str(page))
    lines = [report.to_text(), f'page: {page}']
    if args.split is not None or args.folds is not None:
        parts = divide(
            check, share=args.split, folds=args.folds, seed=args.seed, keep_test=args.keep_test
        )
        lines += ['', *split_lines(check, parts)]
        content['split'] = [{k: len(v) for k, v in part.items()} for part in parts]
        if args.apply:
            content['written'] = write(args, check, parts)
            lines += [f'wrote {folder}' for folder in content['written']]
            lines.append(f'train on it with --cfg-options data_root={content["written"][0]}')
    if check.source.classes and args.kind is None and args.folds is None:
        (data,) = content.get('written', [args.dir])
        lines += ['next', f'  cream-mm search --data {shlex.quote(data)}']
    print(json.dumps(content, indent=1) if args.json else '\n'.join(lines))
    return 1 if check.has_errors else 0


def write(args: argparse.Namespace, check: object, parts: list[dict]) -> list[str]:
    """Write the split or the folds; returns the folders."""
    from cream_mm.datasets.split_files import write_copy, write_lists

    if args.apply == 'copy':
        to = args.to or f'{os.path.normpath(args.dir)}-split'
        return [str(write_copy(check, parts[0], to))]
    to = args.to or os.path.join(args.out, 'split')
    if args.folds is None:
        return [str(write_lists(check, parts[0], to))]
    return [
        str(write_lists(check, part, os.path.join(to, f'fold_{number}')))
        for number, part in enumerate(parts)
    ]
