"""Write what a search has found as a folder: weights, arch.json, and configs to train it further.

  python tools/export_arch.py work_dirs/search_imagenet/best_arch.json --out work_dirs/export
  python tools/export_arch.py work_dirs/search_imagenet
  python tools/export_arch.py work_dirs/search_imagenet --all --out work_dirs/exports
  python tools/export_arch.py '[[0],[3,3],[3,1],[3,1,1],[3,3],[3],[0]]' \\
      --checkpoint work_dirs/search_imagenet/epoch_120.pth --out work_dirs/export

With --detector, the detector's config in the export is one of your own, or of mmdet's:

  python tools/export_arch.py work_dirs/search_imagenet/best_arch.json --out work_dirs/export \\
      --detector mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py

Everything in it stays but what the backbone decides; what cannot be fitted is said in one line.

Networks of cells are searched small; --space exports one at another scale, with its costs:

  python tools/export_arch.py work_dirs/search --space num_cells=6 channels=36

With --all every network of the search's front.json, small to large, gets a folder named by its
cost.

Of a search among slices of one network (configs/photos), DIR/full.pth is that network, once, and
each folder holds a slice: arch.json, weights.pth with batch norm measured on training images (the
config in the work directory is run for that), and retrain.py, which starts from the weights and is
distilled from full.pth. Only its training needs full.pth; move all of DIR, or none of it.
"""

import argparse
import os.path as osp
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cream_mm.command_line import (
    OptionsAction,
    check_checkpoint,
    check_config,
    check_file,
    check_writable,
    tool_parser,
)
from cream_mm.command_words import PROGRAM, speaks_of_program, words_as_typed
from cream_mm.mim_scope import configs_root


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        'arch',
        metavar='ARCH',
        help='work directory of a search, best_arch.json, a published name, or a nested list',
    )
    parser.add_argument(
        '--checkpoint',
        metavar='SUPERNET.pth',
        help="the supernet; default: the last checkpoint beside ARCH's JSON. Or a published name "
        'whose weights are installed: lite0 --checkpoint lite0',
    )
    parser.add_argument(
        '--detector',
        metavar='CONFIG.py',
        help='put the backbone into this config of a detector; default: the one that the search '
        'names, as retinanet.py',
    )
    parser.add_argument(
        '--space',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='fields of the space to change, e.g. num_cells=6 channels=36 of cells',
    )
    parser.add_argument(
        '--all', action='store_true', help='every network of front.json, a folder for each'
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder to write into; default in a work directory: export, with --all exports',
    )
    args = parser.parse_args(argv)
    if osp.isdir(args.arch) and not args.all:
        args.out = args.out or osp.join(args.arch, 'export')
        args.arch = osp.join(args.arch, 'best_arch.json')
    if args.out is None and not args.all:
        parser.error('the following arguments are required: --out')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_files(args)
    if args.all:
        print_all(args)
        return
    from cream_mm.apis.export_arch import export_arch
    from cream_mm.files.arch_file import DETECTION, read_arch_file
    from cream_mm.files.commands import note_command

    notes = []
    files = export_arch(
        args.arch,
        args.checkpoint,
        args.out,
        root=str(configs_root()),
        detector=args.detector,
        space=args.space,
        say=notes.append,
    )
    for what, path in files.items():
        print(f'{what:9s} {osp.relpath(path)}')
    about = read_arch_file(files['arch'])
    if share := share_of_full(about):
        macs, size = about['costs']['macs_m'], about['input_size'][0]
        print(f'slice     {macs:.2f} MMACs{share} at {size} px')
    if about['costs'].get('latency_ms') is not None:
        print(f'latency   {time_words(about)}')
    notes += (about.get('choice') or {}).get('notes') or []
    for note in notes:
        print(f'note:     {note}')
    if 'weights' not in files and about.get('weights_travel', True) and not args.space:
        print('no weights: name the supernet with --checkpoint to cut them out')
    print(f'next:     {shlex.join(_training(files))}')
    if args.detector:  # its own work_dir may be there already, under the same name
        config = osp.relpath(files['detector'])
        command = ['python', 'tools/train.py', config, '--work-dir', config[: -len('.py')]]
        if about.get('task') == DETECTION and about.get('data_root'):
            command += ['--cfg-options', f'data_root={about["data_root"]}']
            command += outputs_of(files['detector'], about.get('classes'))
        print(f'          {shlex.join(words_as_typed(command))}')
    if osp.isfile(args.arch):
        note_command(osp.dirname(args.arch) or '.')


def outputs_of(config: str, classes: Sequence[str] | None) -> list[str]:
    """Options that give the heads of a detector's config as many outputs as there are classes."""
    from mmengine.config import Config

    from cream_mm.config.carry import places_below

    number = len(classes or ())
    return [
        f'{place}={number}'
        for place, value in places_below(Config.fromfile(config).model, 'model')
        # One output tells objects from background.
        if number and place.endswith('.num_classes') and value not in (1, number)
    ]


def check_files(args: argparse.Namespace) -> None:
    """Whether what is named is there.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    if args.all:
        front = osp.join(args.arch, 'front.json')
        check_file(front, f'no {front}; a search writes it beside its best_arch.json')
    elif args.arch.endswith('.json'):
        check_file(args.arch, f'no file {args.arch}; a search writes its best_arch.json at its end')
    if args.checkpoint and args.checkpoint != args.arch:  # else a published name
        check_checkpoint(args.checkpoint)
    if args.detector and '::' not in args.detector:
        check_config(args.detector)
    if args.out:
        check_writable(args.out, '--out')


def time_words(about: dict) -> str:
    """How long the network takes, and where."""
    from cream_mm.costs.latency import machine_words

    machine = (about.get('latency') or {}).get('machine')
    where = f', by a table of {machine_words(machine)}' if machine else ''
    return f'{about["costs"]["latency_ms"]:.3g} ms{where}'


def share_of_full(about: dict) -> str:
    """What share a slice has of the multiply-adds of the network that it is a slice of."""
    full = ((about.get('slice_of') or {}).get('full_costs') or {}).get('macs_m')
    return f' ({100 * about["costs"]["macs_m"] / full:.0f} % of the full network)' if full else ''


def print_note(note: str) -> None:
    print(f'note: {note}')


def print_all(args: argparse.Namespace) -> None:
    from cream_mm.apis.export_arch import export_front
    from cream_mm.files import read_json
    from cream_mm.files.arch_file import read_arch_file
    from cream_mm.files.commands import note_command
    from cream_mm.reports.metric import metric_name

    out = args.out or osp.join(args.arch, 'exports')
    every = export_front(
        args.arch,
        args.checkpoint,
        out,
        root=str(configs_root()),
        detector=args.detector,
        space=args.space,
        say=print_note,
    )
    front = read_json(osp.join(args.arch, 'front.json'), finite=False)
    score = metric_name(front.get('score'))
    better = ', lower is better' if front.get('higher_is_better') is False else ''
    for files in every.values():
        about = read_arch_file(files['arch'])
        rating, costs = about.get('rating') or {}, about['costs']
        share = share_of_full(about)
        told = [f'{costs["macs_m"]:.2f} MMACs{share}, {costs["params_m"]:.3f} M params']
        if about.get('slice_of', {}).get('space', {}).get('input_sizes'):
            told.insert(0, f'{about["input_size"][0]} px')
        if costs.get('latency_ms') is not None:
            told.append(f'{costs["latency_ms"]:.3g} ms')
        if 'top1_pct' in rating:
            by_loss = front.get('score') == 'cross_entropy' and 'score' in rating
            loss = f', cross entropy {rating["score"]:.4f}' if by_loss else ''
            told.append(f'rated {rating["top1_pct"]:.2f} % top-1{loss} in the supernet')
        elif 'score' in rating:
            told.append(f'{score} {rating["score"]:.4f} in the supernet{better}')
        print(f'{osp.relpath(files["arch"].parent)}: {", ".join(told)}')
    note_command(args.arch)
    name, first = next(iter(every.items()))
    command = [*_training(first), '--work-dir', osp.join(osp.relpath(args.arch), name)]
    print(f'next, for this or another: {shlex.join(command)}')


def _training(files: Mapping[str, Any]) -> list[str]:
    """The command that trains an export."""
    if speaks_of_program():
        return [PROGRAM, 'retrain', osp.relpath(osp.dirname(files['retrain']))]
    return ['python', 'tools/train.py', osp.relpath(files['retrain'])]
