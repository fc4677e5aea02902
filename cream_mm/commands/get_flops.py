"""Parameters and FLOPs of any config: a classifier, a detector, or a search.

  python tools/get_flops.py configs/cream/retrain_imagenet.py
  python tools/get_flops.py configs/retinanet_cream.py --shape 800 1280
  python tools/get_flops.py cream-287m
  python tools/get_flops.py work_dirs/export/arch.json
  python tools/get_flops.py cream-287m --latency latency.json

FLOPs are printed in three conventions, multiply-adds of a detector also by its parts:
  macs       multiply-adds of convolutions and matrix products; what budgets mean here, and half
             of what torch.utils.flop_counter counts
  published  that of the paper of the backbone's space: of Cream's, what the names cream-14m ...
             cream-604m mean: macs, batch norm, average pools; of DNA's, what its table means:
             macs, biases of convolutions, batch norm, the global pool; of NAS-Bench-201's,
             what its table means: macs and the bias of the classifier; of NAO's, macs
  board      what the released Cream code prints during a search: convolutions, their biases,
             batch norm, pools and ReLU, without the stem's norm and the classifier

With --latency, a table that tools/latency.py built or one of another device (docs/latency.md),
also the milliseconds of each layer of a network and of the whole; of a search, their range.
"""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cream_mm.command_line import OptionsAction, check_pair, tool_parser

if TYPE_CHECKING:
    from mmengine.model import BaseModel


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = tool_parser(__doc__)
    parser.add_argument(
        'config',
        help='config file, or the work directory of a run; or a network by itself: a published '
        'name, an arch.json or best_arch.json, or as text',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        help="height and width, or one side; default: the config's input_size or scale, 800 1280 "
        'where that is 1333 x 800',
    )
    parser.add_argument('--latency', metavar='FILE', help='a table of times, see docs/latency.md')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override config values, e.g. model.backbone.arch=cream-604m num_classes=10',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    is_config = args.config.endswith('.py') or os.path.exists(args.config)
    if (args.config.endswith('.json') or not is_config) and print_network(args.config, args):
        return
    check_pair(args.config, None)
    from cream_mm.config.load import load_config
    from cream_mm.config.work_dir import config_file

    if os.path.isdir(args.config):
        args.config = config_file(args.config)

    options = dict(args.cfg_options or {})
    if args.latency:
        options['latency'] = args.latency
    # With data, what it has as classes is counted.
    cfg = load_config(args.config, options, check_data='data_root' in options)
    from mmengine.config import ConfigDict
    from mmengine.registry import MODELS, init_default_scope

    from cream_mm.apis.probe_maps import without_weights

    init_default_scope(cfg.default_scope)
    from cream_mm.engine.part_costs import size_of_tests

    shape = args.shape or size_of_tests(cfg)
    height, width = shape[0], shape[-1]
    # Weights count nothing. Two-stage detectors read their settings as attributes.
    model = MODELS.build(ConfigDict(without_weights(cfg.model.to_dict()))).eval()
    print(f'config     {args.config}')
    if getattr(model.backbone, 'shares_weights', False):
        print_search(model)
    elif args.latency:
        raise ValueError(
            f'--latency: {args.config} is no search and names no network by itself; give '
            'an arch.json, a published name or the config of a search'
        )
    else:
        print_counts(model, height, width)
    print_parts(model, height, width)


def print_network(arch: str, args: argparse.Namespace) -> bool:
    """Counts of a network of ours as a classifier, of the classes that its file tells, else 1000.

    Returns:
        bool: Whether it is one.
    """
    from cream_mm.models.backbones.resolve_arch import names_network

    if not names_network(arch):
        return False
    if args.cfg_options:
        raise ValueError('--cfg-options are for a config; this is a network by name or file')
    from cream_mm.apis.create_model import create_model

    model = create_model(arch)
    print(f'network    {arch}')
    shape = args.shape or [model._config.test_dataloader.dataset.pipeline[2].crop_size]
    print_counts(model, shape[0], shape[-1])
    if args.latency:
        print_latency(arch, args.latency, (shape[0], shape[-1]), model.head.num_classes)
    return True


def print_latency(name: str, path: str, size: tuple[int, int], num_classes: int) -> None:
    """Milliseconds of a classifier, layer by layer, by a table."""
    from cream_mm.apis.count_latency import count_latency

    found = count_latency(name, path, size, num_classes)
    print(f'latency    {found.ms:.3f} ms, {found.about}')
    for layer, words, ms in found.layers:
        print(f'  {ms:9.4f} ms  {layer:12s} {words}')
    for doubt in found.doubts:
        print(f'note: {doubt}')


def print_counts(model: 'BaseModel', height: int, width: int) -> None:
    """Run a model once and print what it costs."""
    import torch

    from cream_mm.apis.count_model import count_model
    from cream_mm.engine.part_costs import run_once
    from cream_mm.models.backbones import FixedNetwork

    image = torch.zeros(1, 3, height, width)
    is_own = isinstance(model.backbone, FixedNetwork)
    stem_norm = model.backbone.stem_norm if is_own else ''
    stem_norm = stem_norm and f'backbone.{stem_norm}'
    space = getattr(model.backbone, 'space', None)
    counter = getattr(space, 'published_flops', 'cream')
    cost = count_model(model, lambda: run_once(model, image), stem_norm, counter).in_units()
    if is_own:
        print(f'arch       {model.backbone.space.spell(model.backbone.arch)}')
    print(f'input      {height} x {width}')
    print(f'params     {cost["params_m"]:.3f} M')
    print(f'macs       {cost["macs_m"]:.2f} M')
    print(f'published  {cost["published_flops_m"]:.2f} M')
    print(f'board      {cost["board_flops_m"]:.2f} M')


def print_parts(model: 'BaseModel', height: int, width: int) -> None:
    """What backbone, neck and heads of a detector cost; nothing of another model."""
    from cream_mm.engine.hooks.part_costs_hook import cost_lines, costs_of
    from cream_mm.engine.part_costs import is_detector

    if not is_detector(model):
        return
    content = costs_of(model, (height, width), timed=False)
    of_path = ' of a path in the middle of the budget' if content['arch'] else ''
    print(f'parts at {height} x {width}{of_path}')
    for name, part in content['parts'].items():
        print(f'  {name:<9}{part["macs_m"]:10.2f} M macs {part["params_m"]:9.3f} M params')
    for line in cost_lines(content)[1:]:
        print(line)


def print_search(model: 'BaseModel') -> None:
    """Range of a search space: what its smallest and its largest path cost."""
    budget = model.backbone.budget
    ends = budget.cost_model.extremes()
    height, width = budget.cost_model.input_size
    print(f'input      {height} x {width}')
    print(f'supernet   {sum(p.numel() for p in model.parameters()) / 1e6:.3f} M params')
    print(f'budget     {budget}')
    for name, key in (('params', 'params_m'), ('macs', 'macs_m'),
                      ('published', 'published_flops_m'), ('board', 'board_flops_m')):  # fmt: skip
        if ends is not None:  # else nobody knows them
            print(f'{name:9s}  {ends[0][key]:.3f} to {ends[1][key]:.3f} M for a path')
    if ends is not None and 'latency_ms' in ends[0]:
        low, high = (end['latency_ms'] for end in ends)
        print(f'latency    {low:.3f} to {high:.3f} ms for a path')
