"""Weights under the names of the released Cream code."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoints.official import MAX_DEPTH, SPACE, _get, read_ours
from ..models.layers import MBConv
from ..models.layers.init import init_cream_weights
from ..structures.randomness import weights_drawn


def to_official(state_dict: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """A classifier's or a search's weights under official names, in the official order.

    The board is dropped. A supernet with 4 layers in stage 3 gets the dead layer, which the
    released code builds and loads: freshly initialised, from a fixed seed.

    Raises:
        ValueError: If the weights are not those of a whole network of Cream's space.
    """
    weights, layout = read_ours(state_dict)
    if layout.is_supernet and layout.depths[2] == MAX_DEPTH:
        layout = replace(layout, has_dead_layer=True)
        weights = {**weights, **_dead_layer()}
    return OrderedDict((name, _get(weights, name)) for name in layout.shapes())


def _dead_layer() -> dict[str, Tensor]:
    """The fifth layer of stage 3, initialised from a fixed seed."""
    channels = SPACE.stage_channels[3]
    with weights_drawn(0):
        layer = torch.nn.ModuleList(
            MBConv(channels, channels, kernel, expand, 1, dict(type='BN'))
            for kernel, expand in SPACE.choices
        )
        init_cream_weights(layer)
    return {f'blocks.3.{MAX_DEPTH}.{name}': value for name, value in layer.state_dict().items()}
