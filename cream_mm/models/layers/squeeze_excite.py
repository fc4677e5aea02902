"""Squeeze-and-excitation, Cream's and EfficientNet's."""

import torch.nn as nn
from torch import Tensor

from ...ops import squeeze_excite
from ...spaces import squeeze_channels


class SqueezeExcite(nn.Module):
    """Channel gate from globally pooled features.

    Cream: a quarter of the channels that come in (the *expanded* ones inside an MBConv), ReLU,
    the gate relu6(x + 3) / 6. EfficientNet: a quarter of the channels that enter the block,
    Swish, a sigmoid. Both convolutions have a bias.

    Args:
        channels (int): Channels of the input.
        se (str): ``'cream'`` (default) or ``'efficientnet'``.
        block_channels (int): Channels that enter the block; Cream's does not ask for them.

    Shapes:
        input and output: (N, channels, H, W).
    """

    def __init__(self, channels: int, se: str = 'cream', block_channels: int = 0):
        super().__init__()
        reduced = squeeze_channels(se, block_channels, channels)
        self.hard = se == 'cream'
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.act = nn.ReLU(inplace=True) if self.hard else nn.SiLU(inplace=True)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.hard:
            return squeeze_excite(x, self)
        return x * self.conv_expand(self.act(self.conv_reduce(self.pool(x)))).sigmoid()
