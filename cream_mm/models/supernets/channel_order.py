"""The order of the expanded channels of a block: the most important first, as slices take them."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import MBConv, SqueezeExcite


def projection(block: MBConv) -> Tensor:
    """Sum of a channel's |projection weights|, times |gamma| of the norm before. (mid,)."""
    return block.conv_pwl.weight.flatten(1).abs().sum(0) * block.bn2.weight.abs()


def variance(block: MBConv) -> Tensor:
    """How much a channel moves the block's output: the variance that goes with it. (mid,).

    The channel is taken for a normal variable N(beta, gamma^2) behind its norm. The variance behind
    the activation goes into each output by the square of the projection's weight and of the last
    norm's factor. What a channel adds on average is not counted, as batch norm that is measured
    again makes up for it: one that hardly ever changes, or is dead, can go first.
    """
    weight = block.conv_pwl.weight.flatten(1).double()  # (out, mid)
    factor = block.bn3.weight.double().abs()
    if getattr(block.bn3, 'running_var', None) is not None:
        factor = factor / (block.bn3.running_var.double() + block.bn3.eps).sqrt()
    return (weight * factor[:, None]).square().sum(0) * _variance_behind(block)


def none(block: MBConv) -> Tensor:
    """All the same: the order stays as it is. (mid,)."""
    return torch.zeros(len(block.conv_dw.weight), device=block.conv_dw.weight.device)


IMPORTANCE: dict[str, Callable[[MBConv], Tensor]] = dict(
    variance=variance, projection=projection, none=none
)
"""Rules by name: what the expanded channels of a block are sorted by."""


def check_rule(rule: str) -> str:
    """Return a rule's name.

    Raises:
        ValueError: If there is none of this name.
    """
    if rule not in IMPORTANCE:
        raise ValueError(f'importance is one of {", ".join(IMPORTANCE)}; got {rule!r}')
    return rule


@torch.no_grad()
def sort_block(block: MBConv, rule: str) -> None:
    """Put the expanded channels of a block into descending importance, and its squeezed ones.

    The block computes what it did, up to rounding. Equal channels stay in their order, so that
    sorting again changes nothing.
    """
    importance = IMPORTANCE[rule](block)
    order = importance.argsort(descending=True, stable=True)
    for tensor in (*_tensors(block.bn1), *_tensors(block.bn2)):
        tensor.copy_(tensor[order])
    for conv in (block.conv_pw, block.conv_dw):
        conv.weight.copy_(conv.weight[order])
    block.conv_pwl.weight.copy_(block.conv_pwl.weight[:, order])
    if isinstance(block.se, SqueezeExcite):
        reduce, expand = block.se.conv_reduce, block.se.conv_expand
        reduce.weight.copy_(reduce.weight[:, order])
        expand.weight.copy_(expand.weight[order])
        expand.bias.copy_(expand.bias[order])
        if rule != 'none':
            _sort_squeezed(reduce, expand)


def _sort_squeezed(reduce: nn.Conv2d, expand: nn.Conv2d) -> None:
    """By what goes in times what goes out; slices of Cream's gate have fewer of these, too."""
    inputs, outputs = reduce.weight.flatten(1).abs().sum(1), expand.weight.flatten(1).abs().sum(0)
    order = (inputs * outputs).argsort(descending=True, stable=True)
    reduce.weight.copy_(reduce.weight[order])
    reduce.bias.copy_(reduce.bias[order])
    expand.weight.copy_(expand.weight[:, order])


def _tensors(norm: nn.Module) -> list[Tensor]:
    """Of a norm layer, what has an entry for each channel."""
    return [t for t in (*norm.parameters(), *norm.buffers()) if t.dim() == 1]


def _variance_behind(block: MBConv) -> Tensor:
    """Variance of act(N(beta, gamma^2)) of each channel, by quadrature. (mid,)."""
    gamma, beta = block.bn2.weight.double(), block.bn2.bias.double()
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    nodes, weights = gamma.new_tensor(nodes), gamma.new_tensor(weights / weights.sum())
    act = dict(silu=F.silu, relu=F.relu, relu6=F.relu6)[block.act]
    values = act(beta[:, None] + gamma[:, None] * nodes)  # (mid, nodes)
    mean = values @ weights
    return (values - mean[:, None]).square() @ weights
