"""The convolution blocks of Cream's networks. Module names are those of the released weights."""

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from torch import Tensor

from ...ops import depthwise_conv, norm_act
from ...spaces import make_divisible
from .squeeze_excite import SqueezeExcite


def build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    """A norm layer from mmcv's notation, without the name mmcv gives it."""
    return build_norm_layer(norm_cfg, channels)[1]


def prefer_channels_last(x: Tensor) -> Tensor:
    """Layout in which depthwise convolutions run fastest on a CPU; a GPU keeps what it was given.

    One MBConv (32 x 80 x 14 x 14, k5 e6), forward and backward on 2 cores: 160 ms contiguous,
    102 ms channels-last.
    """
    return x if x.is_cuda else x.contiguous(memory_format=torch.channels_last)


class MBConv(nn.Module):
    """Inverted bottleneck with SE: expand, depthwise, gate, project.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel (int): Side of the depthwise kernel, odd.
        expand (int): Expansion ratio of the middle.
        stride (int): Stride of the depthwise convolution.
        norm_cfg (dict): Norm layer in mmcv's notation.

    Shapes:
        input: (N, in_channels, H, W). output: (N, out_channels, ceil(H / stride), ...).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        expand: int,
        stride: int,
        norm_cfg: dict,
    ):
        super().__init__()
        mid = make_divisible(in_channels * expand)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv_pw = nn.Conv2d(in_channels, mid, 1, bias=False)
        self.bn1 = build_norm(norm_cfg, mid)
        self.conv_dw = nn.Conv2d(mid, mid, kernel, stride, kernel // 2, groups=mid, bias=False)
        self.bn2 = build_norm(norm_cfg, mid)
        self.se = SqueezeExcite(mid)
        self.conv_pwl = nn.Conv2d(mid, out_channels, 1, bias=False)
        self.bn3 = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = norm_act(self.conv_pw(x), self.bn1)
        out = self.se(norm_act(depthwise_conv(out, self.conv_dw), self.bn2))
        out = norm_act(self.conv_pwl(out), self.bn3, silu=False)
        return out + x if self.has_shortcut else out


class DepthwiseSeparable(nn.Module):
    """The fixed first block: depthwise 3x3, SE, conv1x1 without activation, shortcut.

    Shapes:
        input and output: (N, channels, H, W).
    """

    def __init__(self, channels: int, norm_cfg: dict):
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.bn1 = build_norm(norm_cfg, channels)
        self.se = SqueezeExcite(channels)
        self.conv_pw = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = build_norm(norm_cfg, channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.se(norm_act(depthwise_conv(x, self.conv_dw), self.bn1))
        return norm_act(self.conv_pw(out), self.bn2, silu=False) + x


class ConvBNAct(nn.Module):
    """The fixed last block: conv1x1, BN, Swish.

    Shapes:
        input: (N, in_channels, H, W). output: (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn1 = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return norm_act(self.conv(x), self.bn1)
