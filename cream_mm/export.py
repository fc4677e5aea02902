"""Turns a path of a supernet into files that others can use."""

import copy
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from . import __version__
from .config import override
from .converters import cut_path, load_weights
from .costs import CostModel
from .models.backbones.cream_net import ARCH_FORMAT, resolve_arch
from .utils import write_json

DEFAULT_NEXT_STEPS = dict(
    retrain='configs/cream/retrain_imagenet.py', detector='configs/retinanet_cream.py'
)


def export_arch(arch: str, checkpoint: str | None, out: str, *, root: str) -> dict[str, Path]:
    """Write architecture, weights and ready-to-run configs into one folder.

    Args:
        arch (str): A published name, ``best_arch.json``, or a nested list.
        checkpoint (str, optional): The supernet. Defaults to the last checkpoint of the search
            that wrote the JSON, where there is one; without any, no weights are written.
        out (str): Folder to write into.
        root (str): Where the ``configs/`` that the new configs inherit from lie.

    Returns:
        dict[str, Path]: ``arch``, ``weights`` (if any), ``retrain`` and ``detector`` (if the
        network has the stages that the detector takes).

    Raises:
        ValueError: If the architecture is unknown.
        FileNotFoundError: If the checkpoint is missing.
        KeyError: If the checkpoint does not hold the architecture.
    """
    arch_value, space, about = resolve_arch(arch)
    if checkpoint is None:
        checkpoint = _last_checkpoint(arch)
    weights = cut_path(load_weights(checkpoint), arch_value, space=space) if checkpoint else None
    num_classes = about.get('num_classes', 1000)
    if weights and 'head.classifier.bias' in weights:
        num_classes = len(weights['head.classifier.bias'])

    out = Path(out).resolve()
    files = dict(arch=out / 'arch.json')
    size = about.get('input_size', [224, 224])
    head_channels = about.get('head_channels', space.head_channels)
    costs = CostModel(space, size, num_classes, head_channels)
    content = dict(
        about,
        format=ARCH_FORMAT,
        arch=arch_value.to_list(),
        space=space.to_dict(),
        num_classes=num_classes,
        head_channels=head_channels,
        input_size=list(size),
        costs=costs.cost(arch_value).in_millions(),
        layers=costs.layer_table(arch_value),
        cream_mm=__version__,
    )
    write_json(files['arch'], content)
    if weights:
        files['weights'] = out / 'weights.pth'
        torch.save(dict(state_dict=weights, meta=dict(arch=arch_value.to_list())), files['weights'])

    steps = {**DEFAULT_NEXT_STEPS, **(about.get('next_steps') or {})}
    backbone = {'model.backbone.arch': str(files['arch'])}
    retrain = {
        **backbone,
        'model.head.in_channels': space.stage_channels[-1],
        'model.head.hidden_channels': head_channels,
        'num_classes': num_classes,
        'input_size': size[0],
    }
    if about.get('data_root'):
        retrain['data_root'] = about['data_root']
    files['retrain'] = _write_config(
        out / 'retrain.py', Path(root, steps['retrain']), retrain, f'Retrain {arch_value}.'
    )
    base = Config.fromfile(str(Path(root, steps['detector'])))
    indices = base.model.backbone.out_indices
    if max(indices) >= len(space.stage_channels):
        return files
    taps = [space.stage_channels[i] for i in indices]
    detector = {**backbone, 'model.neck.in_channels': taps}
    if weights:
        detector['model.backbone.init_cfg'] = dict(
            type='Pretrained', checkpoint=str(files['weights']), prefix='backbone.'
        )
    files['detector'] = _write_config(
        out / 'retinanet.py',
        Path(root, steps['detector']),
        detector,
        f'{arch_value} in a detector.\n# It starts from the weights of the supernet; better, name '
        'the retrained ones: --cfg-options model.backbone.init_cfg.checkpoint=FILE',
    )
    return files


def _last_checkpoint(arch: str) -> str | None:
    note = Path(arch).parent / 'last_checkpoint' if str(arch).endswith('.json') else None
    return note.read_text().strip() if note is not None and note.is_file() else None


def _write_config(path: Path, base: Path, options: dict[str, Any], comment: str) -> Path:
    """A config that inherits from ``base`` and holds just what differs."""
    old = Config.fromfile(str(base))
    new = copy.deepcopy(old)
    override(new, {k: v for k, v in options.items() if '.' in k or k in old})
    changes = Config(_difference(old._cfg_dict.to_dict(), new._cfg_dict.to_dict()))
    path.write_text(
        f'# {comment}\n'
        f'#   python tools/train.py {os.path.relpath(path)}\n'
        f'_base_ = {os.path.relpath(base.resolve(), path.parent)!r}\n'
        f'{changes.pretty_text}'
    )
    return path


def _difference(old: dict, new: dict) -> dict:
    """What has to be merged into ``old`` to make it ``new``; lists are given whole."""
    changes = {}
    for key, value in new.items():
        if key in old and old[key] == value:
            continue
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        changes[key] = _difference(old[key], value) if both else value
    return changes
