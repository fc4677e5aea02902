"""Squeeze-and-excitation as Cream's released networks have it."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ...ops import cpu_kernels, squeeze_excite
from ...spaces import make_divisible


class SqueezeExcite(nn.Module):
    """Channel gate from globally pooled features.

    The ratio is taken of the channels that come in (the *expanded* ones inside an MBConv), the
    inner activation is ReLU, the gate relu6(x + 3) / 6, both convolutions have a bias.

    Args:
        channels (int): Channels of the input.
        ratio (float): Share of them that the bottleneck keeps. Defaults to 0.25.

    Shapes:
        input and output: (N, channels, H, W).
    """

    def __init__(self, channels: int, ratio: float = 0.25):
        super().__init__()
        reduced = make_divisible(channels * ratio)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.act = nn.ReLU(inplace=True)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if cpu_kernels.fits(x, self.conv_reduce.weight):
            return squeeze_excite(x, self.conv_reduce, self.conv_expand)
        scale = self.conv_expand(self.act(self.conv_reduce(self.pool(x))))  # (N, C, 1, 1)
        # Not nn.Hardsigmoid: it has no second derivative, which compat.meta_step='real' needs.
        return x * (F.relu6(scale + 3) / 6)
