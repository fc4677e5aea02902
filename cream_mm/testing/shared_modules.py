"""Small supernets whose modules do not stand for one choice at one position each."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..models.supernets import PathLayer, Supernet
from ..structures import Arch
from .tiny import tiny_space


class _Residual(nn.Module):
    """conv1x1, BN, ReLU, conv1x1 around the input; a choice uses a share of the inner channels."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.inner = inner
        self.first = nn.Conv2d(channels, inner, 1, bias=False)
        self.norm = nn.BatchNorm2d(inner)
        self.last = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, x: Tensor, share: float = 1.0) -> Tensor:
        y = F.relu(self.norm(self.first(x)))
        used = round(self.inner * share)
        return x + F.conv2d(y[:, :used], self.last.weight[:, :used])


class SharedModuleSupernet(Supernet):
    """What both supernets below have in common; the tiny space, whose kernels mean nothing here."""

    weights_travel = False

    def __init__(self, num_blocks: int):
        super().__init__(tiny_space(), dict(input_size=8, num_classes=3, head_channels=0))
        self.out_indices = (0,)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(_Residual(8, 12) for _ in range(num_blocks))
        self.set_arch(self.space.decode([0] * self.space.num_layers))

    def chain(self) -> Sequence[PathLayer]:
        """The layers of the current path."""
        raise NotImplementedError

    def path_modules(self) -> Iterator[nn.Module]:
        """Every module of the current path, once."""
        yield from {id(m): m for layer in self.chain() for m in layer.norms}.values()

    def path_layers(self, arch: Arch) -> list[PathLayer] | None:
        """The layers of a path; None where a module repeats."""
        with self.using(arch):
            layers = list(self.chain())
        modules = [id(module) for layer in layers for module in layer.norms]
        return layers if len(set(modules)) == len(modules) else None

    def forward(self, x: Tensor) -> tuple[Tensor]:
        for layer in self.chain():
            x = layer.run(x)
        return (x,)


class SlicedSupernet(SharedModuleSupernet):
    """One block a position; its two choices are slices of it."""

    def __init__(self):
        super().__init__(num_blocks=4)

    def chain(self) -> Sequence[PathLayer]:
        layers = [PathLayer('stem', self.stem, (self.stem,))]
        for i, (block, choice) in enumerate(zip(self.blocks, self.space.encode(self.arch))):
            run = partial(block, share=(0.5, 1.0)[choice])
            layers.append(PathLayer((i, choice), run, tuple(block.modules())))
        return layers


class RepeatingSupernet(SharedModuleSupernet):
    """One block a choice, at whatever position it is chosen."""

    def __init__(self):
        super().__init__(num_blocks=2)

    def chain(self) -> Sequence[PathLayer]:
        layers = [PathLayer('stem', self.stem, (self.stem,))]
        for i, choice in enumerate(self.space.encode(self.arch)):
            block = self.blocks[choice]
            layers.append(PathLayer((i, choice), block, tuple(block.modules())))
        return layers
