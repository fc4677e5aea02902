"""What a backbone hands to a neck, and a neck to the heads: found by running them once."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

SIDES = (256, 512)  # pixels; the larger one where maps become too small for a layer
# What needs a download or a compiled operator, and changes neither the size nor the width of a map.
LEFT_OUT = ('init_cfg', 'dcn', 'stage_with_dcn', 'sac', 'stage_with_sac')


class Maps(NamedTuple):
    """Feature maps of one image: their widths, and how many pixels apart their points are."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


def build_module(cfg: Mapping, scope: str) -> nn.Module:
    """A module of any package of OpenMMLab, not initialised, in evaluation mode.

    The caller's random numbers stay where they were.
    """
    with DefaultScope.overwrite_default_scope(scope), torch.random.fork_rng(devices=[]):
        module = MODELS.build(copy.deepcopy(dict(cfg)))
    module.eval()  # returns nothing where a class's own train() returns nothing
    return module


def without_extras(cfg: Mapping) -> dict:
    """A backbone's config without what is not there, or not needed, to see its maps' shapes."""
    cfg = {key: value for key, value in cfg.items() if key not in LEFT_OUT}
    if cfg.get('pretrained') is not None:  # of timm's backbones: True downloads at once
        cfg['pretrained'] = False
    return cfg


def without_weights(node: Any) -> Any:
    """A model's config that loads no weights anywhere, for whoever counts or draws."""
    if isinstance(node, Mapping):
        node = {key: without_weights(value) for key, value in node.items()}
        init = node.get('init_cfg')
        inits = init if isinstance(init, list) else [init]
        if any('Pretrained' in str(one.get('type')) for one in inits if isinstance(one, dict)):
            del node['init_cfg']
        if node.get('pretrained') is not None:
            node['pretrained'] = False if node['pretrained'] is True else None
        return node
    if isinstance(node, (list, tuple)):
        return type(node)(without_weights(item) for item in node)
    return node


@torch.no_grad()
def backbone_maps(module: nn.Module) -> Maps:
    """Run a backbone on one image of zeros.

    Raises:
        ValueError: If it returns something else than a sequence of maps, or a map's size is not a
            whole fraction of the image's.
    """
    side = SIDES[0]
    outs = module(torch.zeros(1, 3, side, side))
    are_maps = isinstance(outs, Sequence) and len(outs) > 0
    if not are_maps or not all(isinstance(x, Tensor) and x.ndim == 4 for x in outs):
        raise ValueError(f'it returns {type(outs).__name__}, not a tuple of maps')
    wrong = [tuple(x.shape[2:]) for x in outs if side % x.size(2) or x.size(2) != x.size(3)]
    if wrong:
        raise ValueError(f'of {side} x {side} pixels it makes a map of {wrong[0]}')
    return Maps(tuple(x.size(1) for x in outs), tuple(side // x.size(2) for x in outs))


@torch.no_grad()
def neck_shapes(necks: Sequence[Mapping], maps: Maps, scope: str) -> list[tuple[int, ...]]:
    """Run necks, one after the other, on maps of zeros.

    Returns:
        list[tuple[int, int, int]]: (C, H, W) of what the last one returns.

    Raises:
        Exception: Whatever theirs raises at the larger of :data:`SIDES`.
    """
    modules = nn.Sequential(*(build_module(cfg, scope) for cfg in necks))
    for side in SIDES:
        sizes = [-(-side // stride) for stride in maps.strides]
        inputs = tuple(torch.zeros(1, c, size, size) for c, size in zip(maps.channels, sizes))
        try:
            outs: Any = modules(inputs)
        except Exception:
            if side == SIDES[-1]:
                raise
        else:
            break
    outs = outs if isinstance(outs, Sequence) else [outs]
    return [tuple(x.shape[1:]) for x in outs]
