"""Which networks of a space are timed, as which modules, and what their layers are called."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch.nn as nn
from torch import Tensor

from ..costs import BlockCosts, CostTable, build_cost_model
from ..costs.mbconv import strided
from ..models.backbones import network_class
from ..models.heads import CreamClsHead
from ..models.layers import build_choice, build_last, norm_of
from ..spaces import IDENTITY, ElasticSpace, LayerSpec, MBConvSpace, Space
from ..spaces.blocks import BlockSpace
from ..structures import Arch
from ..structures.randomness import named_rng, weights_drawn

DRAWN_PER_NETWORK = 20
"""Of a space whose positions are not free so many are drawn for each network; the one whose
choices are the rarest so far is taken."""
WIDEST = 12
"""Networks of one choice throughout are timed where a space has no more choices than that."""


class Layer(NamedTuple):
    """A layer of an MBConv network by what it is: equal ones take equal time."""

    op: str  # 'mbconv'; 'conv1x1', an identity that reshapes; 'tail', what follows the blocks
    kernel: int | None
    expand: int | None
    in_channels: int
    out_channels: int
    stride: int
    in_size: tuple[int, int]


class Whole(nn.Module):
    """A network, with the head that it is timed with."""

    def __init__(self, backbone: nn.Module, head: nn.Module | None):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        maps = self.backbone(x)
        return maps if self.head is None else self.head(maps)


class Tail(nn.Module):
    """The last conv1x1 and the head."""

    def __init__(self, last: Sequence[nn.Module], head: nn.Module | None):
        super().__init__()
        self.last, self.head = nn.Sequential(*last), head

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(x)
        return x if self.head is None else self.head((x,))


class TimedNetworks:
    """The networks of a space at one size of images.

    Args:
        space (Space): The search space.
        input_size (int | tuple[int, int]): Image height and width in pixels.
        num_classes, head_channels, head: As in :func:`build_cost_model`.

    Attributes:
        costs (CostTable | BlockCosts): Their multiply-adds.
        input_size (tuple[int, int]): Image height and width.

    Raises:
        ValueError: If what a choice takes depends on the others in this space.
    """

    def __init__(
        self,
        space: Space,
        input_size: int | Sequence[int],
        num_classes: int | None = 1000,
        head_channels: int | None = None,
        head: str | None = 'classifier',
    ):
        self.space = space
        self.costs = build_cost_model(space, input_size, num_classes, head_channels, head=head)
        if isinstance(space, ElasticSpace):
            raise ValueError(
                'slices of one network take their times from a table of layers of the device '
                '(docs/latency.md, rows with op, kernel, expand, channels, stride and in_size; of '
                "every size in input_sizes). Give the config latency='ROWS.csv', or search under "
                'a budget of macs_m'
            )
        if not isinstance(self.costs, (CostTable, BlockCosts)):
            raise ValueError(
                f'what a choice costs in the space {space.name!r} depends on the others, so that '
                'there is no table of times that add up. Search it under a budget of macs_m'
            )
        self.input_size = self.costs.input_size
        self.head = head
        self.num_classes, self.head_channels = self.costs.num_classes, self.costs.head_channels

    # ---- layers ----------------------------------------------------------------------------------

    def layers(self, arch: Arch) -> list[Hashable]:
        """What an architecture has besides what all have. An identity is no layer at all."""
        if isinstance(self.space, BlockSpace):
            network, space = self.space.network(arch)
            found = [layer for layer, _ in _mbconv_layers(space, network, self.input_size)]
            return [*found, _tail(space, self.input_size)] if self._last_widths() else found
        if isinstance(self.space, MBConvSpace):
            layers = _mbconv_layers(self.space, arch, self.input_size)
            return [layer for layer, _ in layers]
        return list(enumerate(self.space.encode(arch)))

    def names(self) -> list[list[Hashable | None]]:
        """Of each choice at each position its layer; None where it is none. No blocks."""
        if not isinstance(self.space, MBConvSpace):
            return [[(p, c) for c in range(size)] for p, size in enumerate(self.space.sizes)]
        found, size = [], strided(self.input_size, self.space.stem_stride)
        for spec in self.space.layers():
            found.append([_layer(spec, meaning, size) for meaning in self.space.choices])
            size = strided(size, spec.stride)
        return found

    def all_layers(self) -> dict[Hashable, tuple[nn.Module, tuple[int, int, int]] | None]:
        """Every layer that a network may have, as a module and the (C, H, W) that it takes.

        None where the layers of a space have no modules of their own.
        """
        found: dict[Hashable, Any] = {}
        if isinstance(self.space, BlockSpace):
            for space in _neighbours(self.space):
                found |= self._modules(space)
            for width in self._last_widths():
                space = _ends_in(self.space, width)
                layer = _tail(space, self.input_size)
                norm_cfg = norm_of(space)
                with weights_drawn(0):
                    module = Tail(build_last(space, norm_cfg), self._head(space))
                found[layer] = module, (layer.in_channels, *layer.in_size)
        elif isinstance(self.space, MBConvSpace):
            found = self._modules(self.space)
        else:
            sizes = self.space.sizes
            found = {(p, c): None for p, size in enumerate(sizes) for c in range(size)}
        return found

    def _last_widths(self) -> list[int]:
        """Of the last block, where what stands behind it takes a time that depends on them."""
        widths = self.costs.widths(self.space.num_blocks - 1)
        has_tail = self.space.skeleton.final_channels or self.head
        return widths if len(widths) > 1 and has_tail else []

    def _modules(self, space: MBConvSpace) -> dict:
        found = {}
        for choice in range(len(space.choices)):
            arch = space.decode([choice] * space.num_layers)
            for layer, spec in _mbconv_layers(space, arch, self.input_size):
                if layer not in found:
                    with weights_drawn(0):
                        module = build_choice(space, spec, choice, norm_of(space))
                    found[layer] = module, (layer.in_channels, *layer.in_size)
        return found

    # ---- networks --------------------------------------------------------------------------------

    def module(self, arch: Arch) -> Whole:
        """A network with random weights.

        Shapes:
            input: (N, C, H, W). output: (N, num_classes), or the maps that a detector takes.
        """
        network, space = arch, self.space
        if isinstance(space, BlockSpace):
            network, space = space.network(arch)
        kind, more = network_class(space), {}
        if self.head is None:
            more['out_indices'] = kind.feature_indices(network, space)
        with weights_drawn(0):
            backbone = kind(network, space=space.to_dict(), **more)
            backbone.draw_weights()
            return Whole(backbone, self._head(space, network))

    def _head(self, space: Space, network: Arch | None = None) -> nn.Module | None:
        if self.head is None:
            return None
        network = network or space.decode([0] * len(space.sizes))
        settings = network_class(space).head_settings(network, space, self.head_channels)
        return CreamClsHead(self.num_classes, **settings)

    def reference(self) -> Arch:
        """The network that every other one is timed beside."""
        return self.draw(named_rng('latency_reference', 0, 0))

    def draw(self, rng: np.random.Generator) -> Arch:
        """A random network."""
        if not isinstance(self.space, BlockSpace):
            return self.space.sample(rng)
        cells = [int(rng.integers(len(block))) for block in self.space.cells]
        number = len(self.space.skeleton.choices)
        depths = [block[cell].layers for block, cell in zip(self.space.cells, cells)]
        choices = [[int(c) for c in rng.integers(number, size=depth)] for depth in depths]
        return self.space.answer(cells, choices)

    def random(self, seed: int) -> Iterator[Arch]:
        """Different random networks without end, as far as the space has them."""
        seen, step = set(), 0
        while True:
            arch = self.draw(named_rng('latency_check', seed, step))
            step += 1
            if arch not in seen or step > 100 * (len(seen) + 1):
                seen.add(arch)
                yield arch

    def design(self, seed: int) -> Iterator[Arch]:
        """The networks to fit to, in their order, without end: each choice equally often.

        Of a space whose positions are free, first those of one choice throughout. Then in turns
        networks whose equal positions have equal choices, which tell times of layers best, and
        networks of independent choices, as a search meets them.
        """
        if not isinstance(self.space, MBConvSpace):
            yield from self._rarest(seed)
            return
        space, number, step = self.space, len(self.space.choices), 0
        positions = [(spec.stage, spec.layer > 0) for spec in space.layers()]
        if number <= WIDEST:
            yield from (space.decode([choice] * space.num_layers) for choice in range(number))
        while True:
            rng = named_rng('latency_design', seed, step)
            names = positions if step % 2 == 0 else list(range(space.num_layers))
            columns = {name: rng.permutation(number) for name in dict.fromkeys(names)}
            for row in range(number):
                yield space.decode([int(columns[name][row]) for name in names])
            step += 1

    def designed(self, number: int, seed: int) -> list[Arch]:
        """The first different ones of the design; fewer where a space has hardly more."""
        drawn = itertools.islice(self.design(seed), 3 * number)
        return list(itertools.islice(dict.fromkeys(drawn), number))

    def _rarest(self, seed: int) -> Iterator[Arch]:
        seen: dict[Hashable, int] = {}
        step = 0
        while True:
            rng = named_rng('latency_design', seed, step)
            drawn = [self.draw(rng) for _ in range(DRAWN_PER_NETWORK)]
            rare = [sum(1 / (1 + seen.get(layer, 0)) for layer in set(self.layers(arch)))
                    for arch in drawn]  # fmt: skip
            arch = drawn[int(np.argmax(rare))]
            for layer in self.layers(arch):
                seen[layer] = seen.get(layer, 0) + 1
            yield arch
            step += 1


def _mbconv_layers(
    space: MBConvSpace, arch: Arch, input_size: tuple[int, int]
) -> Iterator[tuple[Layer, LayerSpec]]:
    size = strided(input_size, space.stem_stride)
    for spec in space.layers(arch.depths):
        layer = _layer(spec, space.choices[arch.stages[spec.stage - 1][spec.layer]], size)
        if layer is not None:
            yield layer, spec
        size = strided(size, spec.stride)


def _layer(spec: LayerSpec, meaning: tuple[int, int] | str, size: tuple[int, int]) -> Layer | None:
    shape = spec.in_channels, spec.out_channels, spec.stride, size
    if meaning != IDENTITY:
        return Layer('mbconv', *meaning, *shape)
    return Layer('conv1x1', 1, None, *shape) if spec.reshapes else None


def _tail(space: MBConvSpace, input_size: tuple[int, int]) -> Layer:
    size = strided(input_size, space.stem_stride)
    for stride in space.strides:
        size = strided(size, stride)
    width, out = space.stage_channels[-2:]
    return Layer('tail', None, None, width, out, 1, size)


def _neighbours(space: BlockSpace) -> Iterator[MBConvSpace]:
    """Spaces of networks that hold each cell behind each width at least once."""
    for block, cells in enumerate(space.cells):
        for cell in range(len(cells)):
            for before in range(len(space.cells[block - 1]) if block else 1):
                chosen = [0] * space.num_blocks
                chosen[block - 1], chosen[block] = before, cell
                yield space.network_space(chosen)


def _ends_in(space: BlockSpace, width: int) -> MBConvSpace:
    chosen = [0] * space.num_blocks
    chosen[-1] = [cell.width for cell in space.cells[-1]].index(width)
    return space.network_space(chosen)
