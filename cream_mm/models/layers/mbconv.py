"""The convolution blocks of an MBConv space. Module names are those of Cream's released weights."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from torch import Tensor

from ...ops import depthwise_conv, is_ordinary, is_plain, norm_act, norm_act_squeeze_excite
from ...spaces import IDENTITY, LayerSpec, MBConvSpace, make_divisible
from .squeeze_excite import SqueezeExcite


def build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    """A norm layer from mmcv's notation, without the name mmcv gives it."""
    return build_norm_layer(norm_cfg, channels)[1]


def norm_of(space: MBConvSpace, norm_cfg: Mapping | None = None) -> dict:
    """Norm layers of the networks of a space, in mmcv's notation.

    Args:
        space (MBConvSpace): Knows the ``eps`` of its norms, see ``bn_eps``.
        norm_cfg (dict, optional): What is asked for, which wins. Defaults to ``dict(type='BN')``.
    """
    eps = {} if space.bn_eps is None else dict(eps=space.bn_eps)
    return {**eps, **(norm_cfg or dict(type='BN'))}


def prefer_channels_last(x: Tensor) -> Tensor:
    """The layout in which depthwise convolutions run fastest on a CPU.

    A GPU keeps what it was given; so do traces and transforms, not all of which know of layouts.
    One MBConv (32 x 80 x 14 x 14, k5 e6), forward and backward on 2 cores: 160 ms contiguous,
    102 ms channels-last.
    """
    return x.contiguous(memory_format=torch.channels_last) if is_ordinary(x) else x


def _norm_act_gate(
    x: Tensor, norm: nn.Module, act: str, gate: nn.Module, source: nn.Module
) -> Tensor:
    """``gate(norm_act(x, norm, act))``."""
    if is_ordinary(x) and is_plain(gate, SqueezeExcite) and gate.hard:
        return norm_act_squeeze_excite(x, norm, act, gate, source=source)
    return gate(norm_act(x, norm, act, source=source))


def _add_shortcut(x: Tensor, out: Tensor, drop_path: nn.Module | None) -> Tensor:
    return (out if drop_path is None else drop_path(out)) + x


def set_drop_paths(blocks: Sequence[nn.Module], rate: float) -> None:
    """Stochastic depth of those blocks that have a shortcut, per image, in training only.

    Block k of n drops out at ``rate * k / n``: the first never, the last not quite at ``rate``.

    Args:
        blocks (Sequence[Module]): In their order. Those without a shortcut count.
        rate (float): 0 to below 1; 0 leaves the blocks as they are.

    Reference:
        DNA, released code (the drop-connect of EfficientNet).
    """
    if not 0 <= rate < 1:
        raise ValueError(f'drop_path_rate must be from 0 to below 1; got {rate}')
    for k, block in enumerate(blocks):
        if rate * k and getattr(block, 'has_shortcut', False):
            block.drop_path = DropPath(rate * k / len(blocks))


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise, gate, project.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel (int): Side of the depthwise kernel, odd.
        expand (int): Expansion ratio of the middle.
        stride (int): Stride of the depthwise convolution.
        norm_cfg (dict): Norm layer in mmcv's notation.
        act (str): ``'silu'`` (default), ``'relu'`` or ``'relu6'``.
        se (str): The gate: ``'cream'`` (default), ``'efficientnet'`` or ``'none'``.
        padding (str, optional): ``'same'`` pads the depthwise convolution as TensorFlow does, for
            weights that were trained there. Defaults to half the kernel on every side.

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
        act: str = 'silu',
        se: str = 'cream',
        padding: str | None = None,
    ):
        super().__init__()
        self.act, self.padding = act, padding
        mid = make_divisible(in_channels * expand)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv_pw = nn.Conv2d(in_channels, mid, 1, bias=False)
        self.bn1 = build_norm(norm_cfg, mid)
        zeros = 0 if padding == 'same' else kernel // 2
        self.conv_dw = nn.Conv2d(mid, mid, kernel, stride, zeros, groups=mid, bias=False)
        self.bn2 = build_norm(norm_cfg, mid)
        self.se = _squeeze_excite(mid, se, in_channels)
        self.conv_pwl = nn.Conv2d(mid, out_channels, 1, bias=False)
        self.bn3 = build_norm(norm_cfg, out_channels)
        self.drop_path = None

    def forward(self, x: Tensor) -> Tensor:
        out = norm_act(self.conv_pw(x), self.bn1, self.act, source=self.conv_pw)
        out = depthwise_conv(out, self.conv_dw, self.padding)
        out = _norm_act_gate(out, self.bn2, self.act, self.se, self.conv_dw)
        out = norm_act(self.conv_pwl(out), self.bn3, 'none', source=self.conv_pwl)
        return _add_shortcut(x, out, self.drop_path) if self.has_shortcut else out


class DepthwiseSeparable(nn.Module):
    """The fixed first block: depthwise 3x3, SE, conv1x1 without activation, shortcut.

    Args:
        in_channels (int): Channels of the input.
        norm_cfg (dict): Norm layer in mmcv's notation.
        out_channels (int, optional): Channels of the output. Defaults to those of the input;
            only then there is a shortcut.
        act, se (str): As in :class:`MBConv`.

    Shapes:
        input: (N, in_channels, H, W). output: (N, out_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        norm_cfg: dict,
        out_channels: int | None = None,
        act: str = 'silu',
        se: str = 'cream',
    ):
        super().__init__()
        out_channels = out_channels or in_channels
        self.act = act
        self.has_shortcut = in_channels == out_channels
        self.conv_dw = nn.Conv2d(in_channels, in_channels, 3, 1, 1, groups=in_channels, bias=False)
        self.bn1 = build_norm(norm_cfg, in_channels)
        self.se = _squeeze_excite(in_channels, se, in_channels)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = build_norm(norm_cfg, out_channels)
        self.drop_path = None

    def forward(self, x: Tensor) -> Tensor:
        out = depthwise_conv(x, self.conv_dw)
        out = _norm_act_gate(out, self.bn1, self.act, self.se, self.conv_dw)
        out = norm_act(self.conv_pw(out), self.bn2, 'none', source=self.conv_pw)
        return _add_shortcut(x, out, self.drop_path) if self.has_shortcut else out


class ConvBNAct(nn.Module):
    """Conv1x1, BN, activation: the fixed last block, and an identity that changes the shape.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        norm_cfg (dict): Norm layer in mmcv's notation.
        stride (int): Of the convolution. Defaults to 1.
        act (str): ``'silu'`` (default), ``'relu'``, ``'relu6'`` or ``'none'``.

    Shapes:
        input: (N, in_channels, H, W). output: (N, out_channels, ceil(H / stride), ...).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm_cfg: dict,
        stride: int = 1,
        act: str = 'silu',
    ):
        super().__init__()
        self.act = act
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.bn1 = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return norm_act(self.conv(x), self.bn1, self.act, source=self.conv)


# ---- from a space to its modules -----------------------------------------------------------------


def build_stem(space: MBConvSpace) -> nn.Conv2d:
    """The convolution that every network begins with; :func:`run_stem` runs it."""
    padding = 0 if _stem_padding(space) == 'same' else 1
    return nn.Conv2d(space.in_channels, space.stem_width, 3, space.stem_stride, padding, bias=False)


def run_stem(x: Tensor, conv: nn.Conv2d, norm: nn.Module, space: MBConvSpace) -> Tensor:
    """Convolution, norm, activation. (N, in_channels, H, W) -> (N, stem_width, h, w)."""
    x = depthwise_conv(prefer_channels_last(x), conv, _stem_padding(space))
    return norm_act(x, norm, space.act, source=conv)


def _stem_padding(space: MBConvSpace) -> str | None:
    return _padding(space, space.stem_stride)


def _padding(space: MBConvSpace, stride: int) -> str | None:
    """Of odd kernels; without a stride TensorFlow's is half the kernel, too."""
    return 'same' if space.padding == 'same' and stride != 1 else None


def build_first(space: MBConvSpace, norm_cfg: dict) -> list[nn.Module]:
    """What ``blocks.0`` holds: the fixed first block, or nothing."""
    if space.first_channels == 0:
        return []
    out_channels = space.stage_channels[0]
    return [DepthwiseSeparable(space.stem_width, norm_cfg, out_channels, space.act, space.se)]


def build_choice(space: MBConvSpace, spec: LayerSpec, choice: int, norm_cfg: dict) -> nn.Module:
    """The module of one choice at one layer."""
    meaning, shape = space.choices[choice], (spec.in_channels, spec.out_channels)
    if meaning != IDENTITY:
        padding = _padding(space, spec.stride)
        return MBConv(*shape, *meaning, spec.stride, norm_cfg, space.act, space.se, padding)
    # One pixel is padded by none, whoever pads.
    return ConvBNAct(*shape, norm_cfg, spec.stride, 'none') if spec.reshapes else nn.Identity()


def build_last(space: MBConvSpace, norm_cfg: dict) -> list[nn.Module]:
    """What the last of ``blocks`` holds: the fixed conv1x1 after the last stage, or nothing."""
    if space.final_channels == 0:
        return []
    return [ConvBNAct(*space.stage_channels[-2:], norm_cfg, act=space.act)]


def head_settings(
    space: MBConvSpace, hidden_channels: int | None = None, norm_cfg: Mapping | None = None
) -> dict:
    """Arguments of a :class:`~cream_mm.models.CreamClsHead` that the space decides.

    Args:
        space (MBConvSpace): Of the network in front of it.
        hidden_channels (int, optional): Channels of the conv1x1, 0 for none. Defaults to the
            space's.
        norm_cfg (dict, optional): As the network's.

    Returns:
        dict: ``in_channels``, ``hidden_channels``, and where the head has a norm layer
        ``norm_cfg`` and ``act``.
    """
    hidden = space.head_channels if hidden_channels is None else hidden_channels
    settings = dict(in_channels=space.stage_channels[-1], hidden_channels=hidden)
    if space.head_norm and hidden:
        settings.update(norm_cfg=norm_of(space, norm_cfg), act=space.act)
    return settings


def _squeeze_excite(channels: int, se: str, block_channels: int) -> nn.Module:
    return nn.Identity() if se == 'none' else SqueezeExcite(channels, se, block_channels)
