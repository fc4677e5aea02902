"""What networks of cells with two inputs are made of: operations, and the frame around the cells.

Module names are those of NAO-V2's released networks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ...ops import batch_norm_act, depthwise_by, depthwise_conv, norm_act
from ...spaces import NAOSpace
from ...spaces.nao import (
    AVG_POOL,
    IDENTITY,
    KERNELS,
    MAX_POOL,
    NUM_INPUTS,
    OPERATIONS,
    STEM_WIDTH,
)
from .cell_ops import build_cell_stem, check_stages
from .mbconv import build_norm, prefer_channels_last


@dataclass(frozen=True)
class Place:
    """Where a cell stands in a network.

    Attributes:
        layer (int): From 0.
        stage (int): Of its output, from 0.
        reduces (bool): Whether it is a reduction cell: its inputs are twice as large.
        shrinks (bool): Whether the map before the previous one is twice as large as that.
        channels (int): Of each of its nodes.
        inputs (tuple[int, int]): Channels of the map before the previous one, and of that.
    """

    layer: int
    stage: int
    reduces: bool
    shrinks: bool
    channels: int
    inputs: tuple[int, int]


class ReluConvBN(nn.Module):
    """ReLU, conv1x1 without bias, norm. (N, in_channels, H, W) -> (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return norm_act(self.conv(x.relu()), self.bn, 'none', source=self.conv)


class FactorizedReduce(nn.Module):
    """Half the size without losing pixels of the diagonal: every other pixel, and those between.

    Two conv1x1 with stride 2, of the map and of the map moved by one pixel up and left, with zeros
    at the lower and right side; half the channels each. Then the norm. No activation.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        half = out_channels // 2
        self.path1 = _strided(in_channels, half)
        self.path2 = _strided(in_channels, out_channels - half)
        self.bn = build_norm(norm_cfg, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        moved = F.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        return norm_act(torch.cat([self.path1(x), self.path2(moved)], dim=1), self.bn, 'none')


def _strided(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Identity(), nn.Conv2d(in_channels, out_channels, 1, 2, bias=False))


class SepConv(nn.Module):
    """Twice: ReLU, depthwise convolution, conv1x1, norm; ``op.0`` to ``op.7``.

    (N, channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels: int, kernel: int, stride: int, norm_cfg: dict):
        super().__init__()
        layers: list[nn.Module] = []
        for step in (stride, 1):
            layers += [
                nn.ReLU(),
                nn.Conv2d(
                    channels, channels, kernel, step, kernel // 2, groups=channels, bias=False
                ),
                nn.Conv2d(channels, channels, 1, bias=False),
                build_norm(norm_cfg, channels),
            ]
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        relu, depthwise, pointwise, norm, _, depthwise2, pointwise2, norm2 = self.op
        x = pointwise(depthwise_conv(relu(x), depthwise))
        x = norm_act(x, norm, 'relu', source=pointwise)
        x = pointwise2(depthwise_conv(x, depthwise2))
        return norm_act(x, norm2, 'none', source=pointwise2)


def build_pool(op: int, stride: int) -> nn.Module:
    """A pool of 3x3, by its index in ``OPERATIONS``; the mean is over pixels of the image alone."""
    if op == AVG_POOL:
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.MaxPool2d(3, stride, 1)


def build_operation(op: int, channels: int, stride: int, norm_cfg: dict) -> nn.Module:
    """The operation of an edge of a network of its own, by its index in ``OPERATIONS``."""
    if op in KERNELS:
        return SepConv(channels, KERNELS[op], stride, norm_cfg)
    if op in (AVG_POOL, MAX_POOL):
        return build_pool(op, stride)
    return FactorizedReduce(channels, channels, norm_cfg) if stride == 2 else nn.Identity()


class MatchInputs(nn.Module):
    """Brings both maps that enter a cell to one size and the cell's channels.

    (N, C0, H0, W0), (N, C1, H, W) -> twice (N, channels, H, W).
    """

    def __init__(self, place: Place, norm_cfg: dict):
        super().__init__()
        before, previous = place.inputs
        if place.shrinks:
            self.preprocess_x = FactorizedReduce(before, place.channels, norm_cfg)
        elif before != place.channels:
            self.preprocess_x = ReluConvBN(before, place.channels, norm_cfg)
        if previous != place.channels:
            self.preprocess_y = ReluConvBN(previous, place.channels, norm_cfg)
        self.shrinks = place.shrinks

    def forward(self, before: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        if hasattr(self, 'preprocess_x'):
            before = self.preprocess_x(before.relu() if self.shrinks else before)
        if hasattr(self, 'preprocess_y'):
            previous = self.preprocess_y(previous)
        return before, previous


class InputNorm(_BatchNorm):
    """Batch norm of what may come from several inputs: each has its own scale and shift.

    Statistics are those of all. ``weight.{i}`` and ``bias.{i}`` are of input i; there is no saved
    count of batches.

    (N, num_features, H, W) -> (N, num_features, H, W).
    """

    def __init__(
        self, num_features: int, num_inputs: int, eps: float = 1e-5, momentum: float | None = 0.1
    ):
        super().__init__(num_features, eps, momentum, affine=False)
        self.register_buffer('num_batches_tracked', torch.tensor(0), persistent=False)
        del self.weight, self.bias  # that no input has
        self.weight = per_input(num_inputs, num_features)
        self.bias = per_input(num_inputs, num_features)
        for scale, shift in zip(self.weight, self.bias):
            nn.init.ones_(scale)
            nn.init.zeros_(shift)

    def forward(self, x: Tensor, source: int, act: str = 'none') -> Tensor:
        return batch_norm_act(x, self, self.weight[source], self.bias[source], act)

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def _load_from_state_dict(self, *args: Any) -> None:
        nn.Module._load_from_state_dict(self, *args)  # the base class asks for a count of batches


def per_input(num_inputs: int, *shape: int) -> nn.ParameterList:
    """A tensor of its own for each input, not yet set."""
    return nn.ParameterList(nn.Parameter(torch.empty(shape)) for _ in range(num_inputs))


class SharedSepConv(nn.Module):
    """:class:`SepConv` with all weights apart for each input that it may have.

    (N, channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels: int, kernel: int, num_inputs: int, norm_cfg: Mapping):
        super().__init__()
        depthwise, pointwise = (channels, 1, kernel, kernel), (channels, channels, 1, 1)
        self.W1_depthwise = per_input(num_inputs, *depthwise)
        self.W1_pointwise = per_input(num_inputs, *pointwise)
        self.bn1 = InputNorm(channels, num_inputs, **norm_cfg)
        self.W2_depthwise = per_input(num_inputs, *depthwise)
        self.W2_pointwise = per_input(num_inputs, *pointwise)
        self.bn2 = InputNorm(channels, num_inputs, **norm_cfg)

    def forward(self, x: Tensor, source: int, stride: int) -> Tensor:
        x = depthwise_by(x.relu(), self.W1_depthwise[source], stride)
        x = self.bn1(F.conv2d(x, self.W1_pointwise[source]), source, 'relu')
        x = depthwise_by(x, self.W2_depthwise[source], 1)
        return self.bn2(F.conv2d(x, self.W2_pointwise[source]), source)

    def parameters_of(self, source: int) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of an input."""
        for name, child in self.named_children():
            lists = {name: child} if isinstance(child, nn.ParameterList) else {
                f'{name}.weight': child.weight, f'{name}.bias': child.bias
            }  # fmt: skip
            for prefix, params in lists.items():
                yield f'{prefix}.{source}', params[source]


class SharedPool(nn.Module):
    """A pool, whose stride is that of the edge. (N, C, H, W) -> (N, C, h, w)."""

    def __init__(self, op: int):
        super().__init__()
        self.pools = {stride: build_pool(op, stride) for stride in (1, 2)}

    def forward(self, x: Tensor, source: int, stride: int) -> Tensor:
        return self.pools[stride](x)


class SharedIdentity(nn.Module):
    """The map itself; of stride 2 a :class:`FactorizedReduce` for each input of the cell."""

    def __init__(self, channels: int, reduces: bool, norm_cfg: dict):
        super().__init__()
        if reduces:
            self.reduce = nn.ModuleList(
                FactorizedReduce(channels, channels, norm_cfg) for _ in range(NUM_INPUTS)
            )

    def forward(self, x: Tensor, source: int, stride: int) -> Tensor:
        return self.reduce[source](x) if stride == 2 else x


def build_shared_operations(place: Place, num_inputs: int, norm_cfg: dict) -> nn.ModuleList:
    """All operations of one edge of a supernet's node, by their index in ``OPERATIONS``."""
    own = {key: value for key, value in norm_cfg.items() if key in ('eps', 'momentum')}
    channels, made = place.channels, []
    for op in range(len(OPERATIONS)):
        if op in KERNELS:
            made.append(SharedSepConv(channels, KERNELS[op], num_inputs, own))
        elif op == IDENTITY:
            made.append(SharedIdentity(channels, place.reduces, norm_cfg))
        else:
            made.append(SharedPool(op))
    return nn.ModuleList(made)


class SharedCombine(nn.Module):
    """ReLU, conv1x1 on the concatenated states, norm, with weights apart for each state.

    ``states[i]`` of (N, C, H, W) for i in ``concat`` -> (N, C, H, W).
    """

    def __init__(self, channels: int, num_states: int, norm_cfg: dict):
        super().__init__()
        self.w = per_input(num_states, channels, channels, 1, 1)
        self.bn = build_norm(norm_cfg, channels)

    def forward(self, states: Sequence[Tensor], concat: Sequence[int]) -> Tensor:
        x = torch.cat([states[i] for i in concat], dim=1).relu()
        weight = torch.cat([self.w[i] for i in concat], dim=1)
        return norm_act(F.conv2d(x, weight), self.bn, 'none')


def drop_samples(x: Tensor, keep: float) -> Tensor:
    """Zeros for some of the samples; the others are divided by ``keep``, their share.

    (N, C, H, W) -> (N, C, H, W).
    """
    kept = (torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) < keep).to(x.dtype)
    return x * (kept / keep)


def init_he_weights(module: nn.Module) -> None:
    """He initialisation of every weight with two dimensions or more: normal, by the fan-in."""
    for param in module.parameters():
        if param.dim() >= 2:
            nn.init.kaiming_normal_(param)


class NAOFrame(nn.Module):
    """Which modules stand where in a network of such cells; the cells are the subclass's.

    ``stem``, and in ``cells`` N normal cells, then twice a reduction cell and N more. Each takes
    the outputs of the two before it; both inputs of the first are the stem's map.

    Attributes:
        drop_path_rate (float): Of the last cell's edges at the end of a training.
        drop_path_scale (float): Share of this rate that holds now, for who raises it step by step.
    """

    space: NAOSpace
    out_indices: tuple[int, ...]
    drop_path_rate: float
    drop_path_scale: float = 1.0

    def build_cell(self, place: Place) -> nn.Module:
        """A cell."""
        raise NotImplementedError

    def cell_channels(self, place: Place) -> int:
        """Channels of its output."""
        raise NotImplementedError

    def run_cell(self, cell: nn.Module, before: Tensor, previous: Tensor, keep: float) -> Tensor:
        """Outputs of the two cells before it -> its own; ``keep`` is the share of edges."""
        return cell(before, previous, keep)

    def build_frame(
        self, norm_cfg: dict, out_indices: Sequence[int] | None, drop_path_rate: float
    ) -> None:
        """Make all modules.

        Raises:
            ValueError: If an index does not name a stage, or the rate is none.
        """
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate must be from 0 to below 1; got {drop_path_rate}')
        space = self.space
        self.norm_cfg, self.drop_path_rate = norm_cfg, drop_path_rate
        self.out_indices = check_stages(out_indices, space.num_stages)
        stem_channels = STEM_WIDTH * space.channels
        self.stem = build_cell_stem(space, norm_cfg, stem_channels)
        self.cells = nn.ModuleList()
        before = previous = stem_channels
        shrinks, out_channels = False, []
        for layer in range(space.num_stages * (space.num_cells + 1) - 1):
            stage, number = divmod(layer + 1, space.num_cells + 1)
            place = Place(
                layer, stage, number == 0, shrinks, space.stage_channels[stage], (before, previous)
            )
            self.cells.append(self.build_cell(place))
            before, previous = previous, self.cell_channels(place)
            shrinks = place.reduces
            if number == space.num_cells:
                out_channels.append(previous)
        self.out_channels = tuple(out_channels[i] for i in self.out_indices)

    def stage_cells(self, stage: int) -> range:
        """Indices of the cells of a stage, the reduction before them included."""
        return range(self.last_layer(stage - 1) + 1 if stage else 0, self.last_layer(stage) + 1)

    def keep_rate(self, layer: int) -> float:
        """Share of the samples that an edge of a cell keeps in training."""
        share = (layer + 1) / len(self.cells) * self.drop_path_rate * self.drop_path_scale
        return 1 - share if self.training else 1.0

    def last_layer(self, stage: int) -> int:
        """The cell whose output is a stage's map."""
        return (stage + 1) * (self.space.num_cells + 1) - 2

    def run_frame(self, x: Tensor, layers: Sequence[int]) -> tuple[Tensor, ...]:
        """Images to the outputs of these cells, in their order; later cells are not run."""
        before = previous = self.stem(prefer_channels_last(x))
        outs = []
        for layer in range(max(layers) + 1):
            out = self.run_cell(self.cells[layer], before, previous, self.keep_rate(layer))
            before, previous = previous, out
            if layer in layers:
                outs.append(out)
        return tuple(outs)
