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
        self._names = [name for name, _ in shell.named_modules()]
        self._small = list(shell.modules())
        # (which module, its weight or statistic, the shape of the slice) of each.
        self._weights: list[tuple[int, str, torch.Size]] = []
        self._statistics: list[tuple[int, str, torch.Size]] = []
        for i, small in enumerate(self._small):
            for name, weight in small._parameters.items():
                if weight is not None:
                    self._weights.append((i, name, weight.shape))
                    small._parameters[name] = None
            for name, value in small._buffers.items():
                if value is not None:
                    self._statistics.append((i, name, value.shape))
            if isinstance(small, _BatchNorm):
                small.momentum = 0.0
        self._modes: list[bool] | None = None  # of the full block, when it was last followed
        self._sources: list[Tensor] | None = None
        self.follow()

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, h, w)."""
        modules = self.follow()
        try:
            for i, name, shape in self._weights:
                # The kernels of cream_mm.ops read plain memory. Where no row was shortened this
                # is the view itself.
                weight = slice_to(modules[i]._parameters[name], shape).contiguous()
                self._small[i]._parameters[name] = weight
            return self.shell(x)
        finally:
            for i, name, _ in self._weights:
                self._small[i]._parameters[name] = None

    def modules(self) -> Iterator[nn.Module]:
        """Those that run, in the full block's mode."""
        self.follow()
        return self.shell.modules()

    def follow(self) -> list[nn.Module]:
        """Take over the full block's mode, and where its statistics lie, if either changed.

        Only then: whoever put a norm layer into another mode for a while is not interfered with.

        Returns:
            list[nn.Module]: The full block's modules as they are now, for those of the shell.
        """
        modules = [self.full.get_submodule(name) for name in self._names]
        modes = [module.training for module in modules]
        if modes != self._modes:
            self._modes = modes
            for small, mode in zip(self._small, modes):
                small.training = mode
        sources = [modules[i]._buffers[name] for i, name, _ in self._statistics]
        if self._sources is None or any(a is not b for a, b in zip(sources, self._sources)):
            self._sources = sources
            for (i, name, shape), source in zip(self._statistics, sources):
                # A number of batches is no slice: it would count for the full block.
                value = slice_to(source, shape) if shape else torch.zeros_like(source)
                self._small[i]._buffers[name] = value
        for small, module in zip(self._small, modules):
            if type(small) is not type(module):  # synchronised over the ranks since
                small.__class__ = type(module)
                small.process_group = getattr(module, 'process_group', None)
        return modules
