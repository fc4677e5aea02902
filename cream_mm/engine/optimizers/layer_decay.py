"""Learning rates that fall from the head to the stem, for weights that are good already."""

import re
from collections.abc import Iterable
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS
from .merged_groups import MergedGroupsConstructor

_LAYER = re.compile(r'blocks\.\d+\.\d+\.|cells\.\d+\.')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(MergedGroupsConstructor):
    """Layer-wise learning rates for the backbone of a classifier or a detector.

    With n layers in the backbone, one at depth d learns at
    ``lr * layer_decay_rate ** (n + 1 - d)``; the stem has depth 0, the first layer 1; heads and
    necks learn at ``lr``. Norms and biases get no weight decay. Parameters of equal settings are in
    one group.

    For every network and supernet of this package, and for backbones of mmpretrain that tell
    depths (``get_layer_depth``). A schedule keeps the rates apart if it is relative: give
    ``CosineAnnealingLR`` an ``eta_min`` of 0, or ``eta_min_ratio``.

    Arguments, beside those of :class:`MergedGroupsConstructor`, in ``paramwise_cfg``:

    * ``layer_decay_rate``: Factor from a layer to the one before it. Defaults to 0.9.
    * ``norm_decay_mult``, ``bias_decay_mult``: Default to 0.

    Reference:
        Clark et al., ELECTRA, ICLR 2020; the numbering of timm's and mmpretrain's layer decay.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        usual = dict(layer_decay_rate=0.9, norm_decay_mult=0.0, bias_decay_mult=0.0)
        super().__init__(optim_wrapper_cfg, {**usual, **(paramwise_cfg or {})})

    def _set_rates(self, params: list[dict], module: nn.Module) -> None:
        super()._set_rates(params, module)
        rate = self.paramwise_cfg['layer_decay_rate']
        names = {id(param): name for name, param in module.named_parameters()}
        depths, last = layer_depths(module)
        for group in params:
            depth = depths[names[id(group['params'][0])]]
            group['lr'] = group.get('lr', self.base_lr) * rate ** (last - depth)
        print_log(
            f'layer_decay_rate={rate:g}: the stem learns at {rate**last:.2g} of the learning rate, '
            f'each of {last - 1} layers at 1/{rate:g} of the one before it, the head at all of it',
            'current',
        )


def layer_depths(model: nn.Module) -> tuple[dict[str, int], int]:
    """How deep in a model each of its parameters lies.

    Args:
        model (nn.Module): With a ``backbone``; or a backbone itself.

    Returns:
        tuple[dict[str, int], int]: By a parameter's name, 0 for the stem, from 1 on for the layers
        of the backbone; and the depth of all that is behind them.

    Raises:
        ValueError: If nothing tells the layers of the backbone apart.
    """
    backbone = getattr(model, 'backbone', model)
    prefix = '' if backbone is model else 'backbone.'
    inner = [name for name, _ in backbone.named_parameters()]
    if hasattr(backbone, 'get_layer_depth'):  # mmpretrain's: the last of them is the head's
        found = {name: backbone.get_layer_depth(name) for name in inner}
        depths = {name: depth for name, (depth, _) in found.items()}
        last = max(count for _, count in found.values()) - 1
    else:
        depths = _depths_in_order(inner)
        last = max(depths.values(), default=0) + 1
        if last == 1:
            raise ValueError(
                f'LayerDecayConstructor does not know the layers of a {type(backbone).__name__}: '
                'its parameters are in no blocks.S.L or cells.L. Take constructor='
                "'cream_mm.MergedGroupsConstructor', and paramwise_cfg.rates for rates of parts"
            )
    own = {prefix + name: depth for name, depth in depths.items()}
    return {name: own.get(name, last) for name, _ in model.named_parameters()}, last


def _depths_in_order(names: Iterable[str]) -> dict[str, int]:
    """Depths by names in the order of the network: what closes it belongs to its last layer."""
    layers: dict[Any, int] = {}
    depths = {}
    for name in names:
        if match := _LAYER.match(name):
            depths[name] = layers.setdefault(match[0], len(layers) + 1)
        else:
            depths[name] = len(layers)
    return depths
