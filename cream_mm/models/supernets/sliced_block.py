"""A block that runs with parts of a larger block's weights."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def slice_to(value: Tensor, shape: Sequence[int]) -> Tensor:
    """The part of a larger weight that a smaller layer has: first channels, middle of the kernel.

    Args:
        value (Tensor): (C, ...), a vector of channels, or (C_out, C_in, K, K).
        shape (Sequence[int]): What is wanted of it, of as many axes.

    Returns:
        Tensor: A view of ``value`` in this shape.

    >>> slice_to(torch.arange(16.).view(1, 1, 4, 4), (1, 1, 2, 2)).flatten()
    tensor([ 5.,  6.,  9., 10.])
    """
    for axis, (own, wanted) in enumerate(zip(value.shape, shape, strict=True)):
        if own != wanted:
            value = value.narrow(axis, (own - wanted) // 2 if axis > 1 else 0, wanted)
    return value


class SlicedBlock:
    """A smaller block with the first channels and the middle of the kernels of a full block.

    It is no module, so that the supernet does not hold these weights twice. The block that runs is
    :attr:`shell`, an ordinary module without parameters: for the time of a forward it has slices
    of those of the full block, to which the gradients flow. Its batch norm has slices of the full
    block's running statistics. A training step leaves these alone, as they are the full block's;
    :func:`~cream_mm.models.layers.bn_policy.recalibrated` measures the path's own for a while.

    Args:
        full (nn.Module): The block with the weights.
        shell (nn.Module): A block of the same class, on any device, e.g. ``'meta'``.

    Attributes:
        full, shell (nn.Module): These.
    """

    def __init__(self, full: nn.Module, shell: nn.Module):
        self.full, self.shell = full, shell
        self._pairs = [
            (small, full.get_submodule(name) if name else full)
            for name, small in shell.named_modules()
        ]
        # (where it is put, whose it is, its name, its shape) of each weight, and of each statistic.
        self._weights: list[tuple[dict, nn.Module, str, torch.Size]] = []
        self._statistics: list[tuple[dict, nn.Module, str, torch.Size]] = []
        for small, large in self._pairs:
            for name, weight in small._parameters.items():
                if weight is not None:
                    self._weights.append((small._parameters, large, name, weight.shape))
                    small._parameters[name] = None
            for name, value in small._buffers.items():
                if value is not None:
                    self._statistics.append((small._buffers, large, name, value.shape))
            if isinstance(small, _BatchNorm):
                small.momentum = 0.0
        self._modes: list[bool] | None = None  # of the full block, when it was last followed
        self._sources: list[Tensor] | None = None
        self.follow()

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, h, w)."""
        self.follow()
        try:
            for place, large, name, shape in self._weights:
                # The kernels of cream_mm.ops read plain memory; where nothing was cut off from a
                # row this is the view itself.
                place[name] = slice_to(large._parameters[name], shape).contiguous()
            return self.shell(x)
        finally:
            for place, _, name, _ in self._weights:
                place[name] = None

    def modules(self) -> Iterator[nn.Module]:
        """Those that run, in the full block's mode."""
        self.follow()
        return self.shell.modules()

    def follow(self) -> None:
        """Take over the full block's mode, and where its statistics lie, if either changed.

        Only then: whoever put a norm layer into another mode for a while is not interfered with.
        """
        modes = [large.training for _, large in self._pairs]
        if modes != self._modes:
            self._modes = modes
            for (small, _), mode in zip(self._pairs, modes):
                small.training = mode
        sources = [large._buffers[name] for _, large, name, _ in self._statistics]
        if self._sources is None or any(a is not b for a, b in zip(sources, self._sources)):
            self._sources = sources
            for (place, _, name, shape), source in zip(self._statistics, sources):
                # A number of batches is no slice: it would count for the full block.
                place[name] = slice_to(source, shape) if shape else torch.zeros_like(source)
