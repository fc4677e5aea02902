"""The slices of one network: fewer channels, smaller kernels, fewer layers, smaller images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from ..registry import TASK_UTILS
from ..structures import Arch
from .mbconv import IDENTITY, LayerSpec, MBConvSpace
from .space import Space

LEFT_OUT = 0.25
"""Share of draws that leave out a layer which can be. As one of nine choices that would be seldom,
and networks of few layers, a usual way to save, would hardly be trained."""

Choice = tuple[int, float] | str


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class ElasticSpace(Space):
    """All networks that are slices of a full network of the MBConv space.

    Each layer of the full network is a position. Its choice 0 is the full network's own (kernel,
    expansion), so that the full path is all zeros. Then come the smaller ones, the largest first,
    and at last ``'identity'`` where a layer can be left out: where it neither reshapes nor is the
    first of its stage. A layer that is an identity in the full network has this one choice.

    Where there are ``input_sizes``, one more position, the last, is the side of the images.

    Architectures are no networks by themselves: :meth:`network` gives one of the MBConv space.
    Slices that leave out different layers of a stage are different networks: the weights differ.

    Args:
        skeleton (MBConvSpace | dict | str): Space of the full network; its depths become those of
            the full network.
        full (Arch | list | str): The full network.
        expansions (Sequence[int]): Expansions that a layer may have, up to its own in ``full``.
        kernels (Sequence[int]): The same of kernels.
        input_sizes (Sequence[int]): Sides of the images in pixels, the largest first; without
            any, the size is no choice.
        name (str): Name that its architectures carry. Defaults to 'elastic'.

    Raises:
        ValueError: If ``full`` is no network of the skeleton, or a list of numbers is wrong.

    Reference:
        Once-for-all networks (Cai et al., ICLR 2020): elastic kernels, widths and depths of one
        set of weights. Differs: any layer of a stage but the first may be left out.

    >>> space = ElasticSpace('lite0', [[0], [2, 2], [5, 5], [2] * 3, [5] * 3, [5] * 4, [2], [0]],
    ...                      expansions=(6, 3), input_sizes=(128, 96))
    >>> space.choices_at(2), space.choices_at(1), space.sizes[-1]
    (((5, 6), (5, 3), (3, 6), (3, 3)), ((3, 6), (3, 3), 'identity'), 2)
    """

    sized_by: ClassVar[str] = 'the full network, expansions, kernels and input_sizes of the space'

    skeleton: MBConvSpace
    full: Arch
    expansions: tuple[float, ...] = (6, 4, 3, 2)
    kernels: tuple[int, ...] = (7, 5, 3)
    input_sizes: tuple[int, ...] = ()
    name: str = 'elastic'

    def __post_init__(self):
        skeleton = MBConvSpace.build(self.skeleton)
        full = skeleton.parse(self.full)
        object.__setattr__(self, 'full', full)
        object.__setattr__(self, 'skeleton', replace(skeleton, depths=full.depths))
        for field, least, kinds in (
            ('expansions', 1, (int, float)), ('kernels', 1, (int,)), ('input_sizes', 1, (int,)),
        ):  # fmt: skip
            values = tuple(getattr(self, field))
            object.__setattr__(self, field, values)
            if any(type(value) not in kinds or not least <= value < 1e4 for value in values):
                raise ValueError(f'{field} are numbers >= {least}; got {list(values)}')
            if list(values) != sorted(set(values), reverse=True):
                raise ValueError(
                    f'{field} are listed once each, the largest first; got {list(values)}'
                )
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f'kernels are odd; got {list(self.kernels)}')

    # ---- positions ---------------------------------------------------------------------------

    def specs(self) -> list[LayerSpec]:
        """The layers of the full network, one for each position but that of the size."""
        return list(self.skeleton.layers())

    def choices_at(self, position: int) -> tuple[Choice, ...]:
        """(kernel, expansion) of each choice at a layer of the full network, or ``'identity'``."""
        return self._choices[position]

    @cached_property
    def _choices(self) -> list[tuple[Choice, ...]]:
        return [
            self._smaller(spec, self.skeleton.choices[choice])
            for spec, choice in zip(self.skeleton.layers(), self.skeleton.encode(self.full))
        ]

    def _smaller(self, spec: LayerSpec, own: Choice) -> tuple[Choice, ...]:
        if own == IDENTITY:
            return (IDENTITY,)
        kernel, expansion = own
        kernels = [kernel, *(k for k in self.kernels if k < kernel)]
        expansions = [expansion, *(e for e in self.expansions if e < expansion)]
        left_out = (IDENTITY,) if spec.layer > 0 and not spec.reshapes else ()
        return (*((k, e) for k in kernels for e in expansions), *left_out)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of choices at each layer, and of input sizes where there are any."""
        sizes = tuple(map(len, self._choices))
        return (*sizes, len(self.input_sizes)) if self.input_sizes else sizes

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return self.skeleton.in_channels

    def factors(self, position: int) -> list[tuple[int, ...]]:
        """(kernel, expansion) of each choice, (0, 0) of the identity; (pixels,) of a size.

        A fractional expansion counts in thousandths.
        """
        if position == len(self._choices):
            return [(size,) for size in self.input_sizes]
        return [
            (0, 0) if choice == IDENTITY else (choice[0], _whole(choice[1]))
            for choice in self._choices[position]
        ]

    # ---- architectures -----------------------------------------------------------------------

    @property
    def full_path(self) -> Arch:
        """The full network, at the full size."""
        return self.decode([0] * len(self.sizes))

    @property
    def smallest_path(self) -> Arch:
        """The last choice everywhere."""
        return self.decode([size - 1 for size in self.sizes])

    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """The inverse of :meth:`encode`; the size, where it is a choice, is a list of its own."""
        depths = (*self.full.depths, 1) if self.input_sizes else self.full.depths
        stages, start = [], 0
        for depth in depths if like is None else like.depths:
            stages.append(tuple(flat[start : start + depth]))
            start += depth
        return Arch(tuple(stages), self.name, fixed_ends=False)

    def odds(self, position: int) -> list[float]:
        """How often a draw takes each choice: a layer that can be left out is, at ``LEFT_OUT``."""
        size = self.sizes[position]
        if position == len(self._choices) or size == 1 or self._choices[position][-1] != IDENTITY:
            return [1.0] * size
        return [(1 - LEFT_OUT) / (size - 1)] * (size - 1) + [LEFT_OUT]

    def sample(self, rng: np.random.Generator, op_prob: Sequence[float] | None = None) -> Arch:
        """Draw a path, each position on its own, by :meth:`odds`.

        Raises:
            ValueError: If there is an ``op_prob``: positions have different choices.
        """
        if op_prob is not None:
            raise ValueError(f'op_prob needs equal sizes at all positions; got {self.sizes}')
        drawn = zip(self._cumulative_odds, rng.random(len(self.sizes)))
        return self.decode([int(np.searchsorted(odds, x, side='right')) for odds, x in drawn])

    @cached_property
    def _cumulative_odds(self) -> list[np.ndarray]:
        """The inner borders between choices on the line from 0 to 1."""
        odds = [np.array(self.odds(position)) for position in range(len(self.sizes))]
        return [np.cumsum(part / part.sum())[:-1] for part in odds]

    def count_layers(self, arch: Arch) -> int:
        """Layers that are no identity."""
        return sum(
            choices[choice] != IDENTITY for choices, choice in zip(self._choices, self.encode(arch))
        )

    def input_size(self, arch: Arch) -> int | None:
        """Side of the images that a path takes; None where the size is no choice."""
        return self.input_sizes[arch.stages[-1][0]] if self.input_sizes else None

    def at_size(self, choice: int = 0) -> 'ElasticSpace':
        """The space of the paths at one of the sizes, without the last position."""
        if self.input_sizes:
            self.input_sizes[choice]  # there is such a one
        return replace(self, input_sizes=())

    # ---- networks ----------------------------------------------------------------------------

    @cached_property
    def network_choices(self) -> tuple[Choice, ...]:
        """Choices of the spaces of all networks: the skeleton's, then those that it lacks."""
        own = self.skeleton.choices
        found = {choice for choices in self._choices for choice in choices}
        return (*own, *sorted(found - {*own, IDENTITY}, reverse=True))

    def network_indices(self, position: int) -> list[int | None]:
        """Of each choice at a layer, its index in the networks' spaces; None: left out."""
        return self._indices[position]

    @cached_property
    def _indices(self) -> list[list[int | None]]:
        index = {choice: i for i, choice in enumerate(self.network_choices)}
        return [
            [
                None if choice == IDENTITY and len(choices) > 1 else index[choice]
                for choice in choices
            ]
            for choices in self._choices
        ]

    def network(self, arch: Arch) -> tuple[Arch, MBConvSpace]:
        """The fixed network that a path is, without the layers that it leaves out, and its space.

        The choices of that space are the same for all paths, and begin with the skeleton's; its
        depths are those of the network.
        """
        flat, stages, position = self.encode(arch), [], 0
        for depth in self.full.depths:
            picked = (self._indices[i][flat[i]] for i in range(position, position + depth))
            stages.append(tuple(index for index in picked if index is not None))
            position += depth
        network = Arch(tuple(stages), self.skeleton.name)
        return network, replace(self.skeleton, depths=network.depths, choices=self.network_choices)

    def path_of(self, network: Arch, space: MBConvSpace, size: int | None = None) -> Arch | None:
        """A path that is a given network; None if there is none.

        Where several are, having left out different layers of a stage, it is the one that keeps
        the earlier ones.

        Args:
            network (Arch), space (MBConvSpace): The network.
            size (int, optional): Its input size, one of ``input_sizes``. Defaults to the largest.
        """
        same = replace(space, depths=self.full.depths, choices=self.skeleton.choices)
        if same != replace(self.skeleton, name=space.name):
            return None
        if len(network.stages) != len(self.full.stages):
            return None
        flat, position = [], 0
        for choices, depth in zip(network.stages, self.full.depths):
            layers = [space.choices[choice] for choice in choices]
            found = _match(layers, self._choices[position : position + depth])
            if found is None:
                return None
            flat += found
            position += depth
        if self.input_sizes:
            if size is not None and size not in self.input_sizes:
                return None
            flat.append(0 if size is None else self.input_sizes.index(size))
        return self.decode(flat)

    # ---- as data -----------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Plain JSON values from which :func:`build_space` makes this space again."""
        return dict(
            type=type(self).__name__, name=self.name, skeleton=self.skeleton.to_dict(),
            full=self.full.to_list(), expansions=list(self.expansions),
            kernels=list(self.kernels), input_sizes=list(self.input_sizes),
        )  # fmt: skip


def _whole(expansion: float) -> int:
    return int(expansion) if expansion == int(expansion) else round(1000 * expansion)


def _match(layers: Sequence[Choice], positions: Sequence[tuple[Choice, ...]]) -> list[int] | None:
    """The choice at each position, so that those that are not left out are ``layers`` in order."""
    if not positions:
        return None if layers else []
    choices, rest = positions[0], positions[1:]
    if layers and layers[0] in choices and (layers[0] != IDENTITY or len(choices) == 1):
        found = _match(layers[1:], rest)
        if found is not None:
            return [choices.index(layers[0]), *found]
    if len(choices) > 1 and choices[-1] == IDENTITY:
        found = _match(layers, rest)
        if found is not None:
            return [len(choices) - 1, *found]
    return None
