"""What cell networks are made of: operations on edges, and the frame around the cells.

Module names are those of NAS-Bench-201's released networks.
"""

from collections.abc import Sequence

import torch.nn as nn
from torch import Tensor

from ...spaces import CellSpace, NASBench201Space
from ...spaces.nas_bench_201 import AVG_POOL, KERNELS, NONE, SKIP
from .mbconv import build_norm, prefer_channels_last


class ConvBN(nn.Module):
    """ReLU, convolution without bias, norm: ``op.0``, ``op.1``, ``op.2``.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, norm_cfg: dict
    ):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
            build_norm(norm_cfg, out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Zero(nn.Module):
    """No edge: zeros, with a graph."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


class Reduction(nn.Module):
    """The fixed residual block before the second and the third stage: half the size.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        self.conv_a = ConvBN(in_channels, out_channels, 3, 2, norm_cfg)
        self.conv_b = ConvBN(out_channels, out_channels, 3, 1, norm_cfg)
        # Rounded up as the convolutions are: the same as published where sides are even.
        pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.downsample = nn.Sequential(pool, nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(x) + self.conv_b(self.conv_a(x))


def build_operation(op: int, channels: int, norm_cfg: dict) -> nn.Module:
    """The operation of an edge, by its index in ``OPERATIONS``."""
    if op in KERNELS:
        return ConvBN(channels, channels, KERNELS[op], 1, norm_cfg)
    if op == AVG_POOL:
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return {NONE: Zero, SKIP: nn.Identity}[op]()


class CellFrame(nn.Module):
    """Which modules stand where in a network of cells; the cells themselves are the subclass's.

    ``stem``; in ``cells`` the cells of the first stage, then a :class:`Reduction` and the cells of
    the next, and so on; ``lastact``, BN and ReLU behind the last stage.
    """

    space: NASBench201Space
    out_indices: tuple[int, ...]

    def build_cell(self, channels: int) -> nn.Module:
        """One cell whose nodes have this many channels."""
        raise NotImplementedError

    def run_cell(self, cell: nn.Module, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return cell(x)

    def build_frame(self, norm_cfg: dict, out_indices: Sequence[int] | None) -> None:
        """Make all modules.

        Raises:
            ValueError: If an index does not name a stage.
        """
        space = self.space
        self.norm_cfg = norm_cfg
        self.out_indices = check_stages(out_indices, space.num_stages)
        channels = space.stage_channels
        self.out_channels = tuple(channels[i] for i in self.out_indices)
        self.stem = build_cell_stem(space, norm_cfg)
        cells: list[nn.Module] = []
        for stage, width in enumerate(channels):
            if stage > 0:
                cells.append(Reduction(channels[stage - 1], width, norm_cfg))
            cells += [self.build_cell(width) for _ in range(space.num_cells)]
        self.cells = nn.ModuleList(cells)
        self.lastact = nn.Sequential(build_norm(norm_cfg, channels[-1]), nn.ReLU())

    def stage_modules(self, stage: int) -> list[nn.Module]:
        """The cells of a stage, the reduction before them included; stages count from 0."""
        start = stage * (self.space.num_cells + 1) - (stage > 0)
        return list(self.cells[start : (stage + 1) * (self.space.num_cells + 1) - 1])

    def run_stage(self, stage: int, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', h, w)."""
        for module in self.stage_modules(stage):
            x = module(x) if isinstance(module, Reduction) else self.run_cell(module, x)
        return x

    def run_frame(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images to the maps of ``out_indices``."""
        x = self.stem(prefer_channels_last(x))  # a step takes two thirds of the time
        outs = []
        for stage in range(self.out_indices[-1] + 1):  # a detector does not pay for the rest
            x = self.run_stage(stage, x)
            if stage in self.out_indices:
                last = stage == self.space.num_stages - 1
                outs.append(self.lastact(x) if last else x)
        return tuple(outs)


def build_cell_stem(space: CellSpace, norm_cfg: dict, channels: int | None = None) -> nn.Sequential:
    """conv3x3 and BN; a stride beyond 2 is made by max pools behind them, which have no weights.

    ``channels`` are those of its map; they default to the space's.
    """
    channels = channels or space.channels
    conv = nn.Conv2d(3, channels, 3, min(space.stem_stride, 2), 1, bias=False)
    stem = [conv, build_norm(norm_cfg, channels)]
    stride = conv.stride[0]
    while stride < space.stem_stride:
        stem.append(nn.MaxPool2d(3, 2, 1))
        stride *= 2
    return nn.Sequential(*stem)


def check_stages(out_indices: Sequence[int] | None, num_stages: int) -> tuple[int, ...]:
    """Sorted tuple of valid stage indices; None is the last.

    Raises:
        ValueError: If an index does not name a stage.
    """
    if out_indices is None:
        return (num_stages - 1,)
    if not out_indices or any(not 0 <= i < num_stages for i in out_indices):
        raise ValueError(f'out_indices must lie in 0..{num_stages - 1}; got {tuple(out_indices)}')
    return tuple(sorted(out_indices))
