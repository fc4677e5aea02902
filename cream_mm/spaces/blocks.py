"""Blocks with several candidate cells each: what block-wise methods train, rate and join."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product
from math import prod
from typing import ClassVar, NamedTuple

from ..registry import TASK_UTILS
from ..structures import Arch
from .mbconv import LayerSpec, MBConvSpace
from .space import Space


class Cell(NamedTuple):
    """One of the candidates of a block."""

    layers: int
    width: int  # output channels in a network


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class BlockSpace(Space):
    """An MBConv space whose stages, here called blocks, are each one of several cells.

    Two kinds of architectures are told apart by their lists, one list per cell, block after block:

    * a *path* has a choice at every layer of every cell. All cells are trained at once, each on its
      own, so this is what a training step draws. ``sizes``, ``decode`` and ``sample`` are of paths.
    * an *answer* is a network: one cell of each block has its list, those of the others are empty.
      :meth:`network` gives it as an architecture of the MBConv space with these depths and widths.

    With one cell per block the two are the same.

    Args:
        skeleton (MBConvSpace): Everything but depths and widths.
        cells (Sequence[Sequence[tuple[int, int]]]): Of each block, (layers, width) of its cells.

    Raises:
        ValueError: If a block has no cell, a cell twice, or a cell no layer.

    Reference:
        DNA (Li et al., CVPR 2020), sections 3.3 and 4.1: cells of different depth and width.

    >>> space = BlockSpace.build(dict(preset='dna', cells=[[(1, 24), (2, 32)]], strides=(2,)))
    >>> [str(arch) for arch in (space.decode([5, 1, 0]), space.answer([1], [[1, 0]]))]
    ['[[5],[1,0]]', '[[],[1,0]]']
    """

    fixed_ends: ClassVar[bool] = False

    skeleton: MBConvSpace
    cells: tuple[tuple[Cell, ...], ...]

    def __post_init__(self):
        cells = tuple(tuple(Cell(*map(int, cell)) for cell in block) for block in self.cells)
        object.__setattr__(self, 'cells', cells)
        if len(cells) != self.skeleton.num_stages:
            raise ValueError(f'cells of {len(cells)} of {self.skeleton.num_stages} blocks')
        for number, block in enumerate(cells, start=1):
            if not block or len(set(block)) < len(block):
                raise ValueError(f'block {number} needs one cell or several different ones')
            if any(min(cell) < 1 for cell in block):
                raise ValueError(f'a cell is (layers, width), both >= 1; got {list(block)}')

    @classmethod
    def build(cls, cfg: 'Mapping | str | BlockSpace | None' = None) -> 'BlockSpace':
        """Make one from a config.

        Args:
            cfg (dict | str): Fields of :class:`MBConvSpace`, or its ``preset``, and ``cells``.
                Without ``cells`` each block has one, of the depths and widths of the fields.

        Raises:
            ValueError: If a field is unknown or wrong.
        """
        if isinstance(cfg, cls):
            return cfg
        cfg = dict(preset=cfg) if isinstance(cfg, str) else dict(cfg or {})
        cfg.pop('type', None)
        cells = cfg.pop('cells', None)
        if cells is None:
            skeleton = MBConvSpace.build(cfg)
            cells = [[cell] for cell in zip(skeleton.depths, skeleton.widths)]
        elif {'depths', 'widths'} & set(cfg):
            raise ValueError('cells say depths and widths: leave these out of the space')
        else:
            strides = MBConvSpace.settings(cfg).get('strides', MBConvSpace.strides)
            if len(cells) != len(strides):
                raise ValueError(
                    f'cells of {len(cells)} blocks, but strides={list(strides)} are of '
                    f'{len(strides)}'
                )
            firsts = [[tuple(cell) for cell in block][:1] or [(1, 8)] for block in cells]
            depths, widths = zip(*(first[0] for first in firsts))
            skeleton = MBConvSpace.build(dict(cfg, depths=depths, widths=widths))
        return cls(skeleton, cells)

    def to_dict(self) -> dict:
        """Plain JSON values from which :func:`build_space` makes this space again."""
        fields = self.skeleton.to_dict()
        del fields['depths'], fields['widths']
        cells = [[list(cell) for cell in block] for block in self.cells]
        return dict(fields, type=type(self).__name__, cells=cells)

    # ---- places ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """That of the skeleton, marked: its architectures are no networks of that space."""
        return f'{self.skeleton.name}_blocks'

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return len(self.cells)

    @property
    def all_cells(self) -> list[tuple[int, int]]:
        """(block, cell), both from 0, in the order of an architecture's lists."""
        return [(b, c) for b, block in enumerate(self.cells) for c in range(len(block))]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of choices at each layer of every cell."""
        layers = sum(self.cells[b][c].layers for b, c in self.all_cells)
        return (len(self.skeleton.choices),) * layers

    @property
    def num_networks(self) -> int:
        """Answers: one candidate of each block."""
        number = len(self.skeleton.choices)
        return prod(sum(number**cell.layers for cell in block) for block in self.cells)

    def place(self, block: int, cell: int) -> int:
        """Which of an architecture's lists is a cell's."""
        starts = list(accumulate(map(len, self.cells), initial=0))
        return starts[block] + cell

    def layers(self, block: int, cell: int, borders: tuple[int, int]) -> Iterator[LayerSpec]:
        """The layers of one cell between borders of given width.

        Args:
            block, cell (int): Which cell, from 0.
            borders (tuple[int, int]): Channels that enter the first layer, and channels that
                the last one gives out: a teacher's. The layers between have the cell's width.
        """
        depth, width = self.cells[block][cell]
        channels = [borders[0], *[self.skeleton.width(width)] * (depth - 1), borders[1]]
        for layer, (inputs, outputs) in enumerate(zip(channels, channels[1:])):
            stride = self.skeleton.strides[block] if layer == 0 else 1
            yield LayerSpec(block + 1, layer, inputs, outputs, stride)

    def candidates(self, block: int, cell: int) -> Iterator[tuple[int, ...]]:
        """All ways to choose in a cell; the first layer changes last."""
        choices = range(len(self.skeleton.choices))
        return product(choices, repeat=self.cells[block][cell].layers)

    def index_of(self, choices: Sequence[int]) -> int:
        """Place of a cell's choices among its :meth:`candidates`."""
        index = 0
        for choice in choices:
            index = index * len(self.skeleton.choices) + choice
        return index

    # ---- architectures -----------------------------------------------------------------------

    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """The inverse of :meth:`encode`: a path, or what has the lists of ``like``."""
        depths = [self.cells[b][c].layers for b, c in self.all_cells]
        stages, start = [], 0
        for depth in depths if like is None else like.depths:
            stages.append(tuple(flat[start : start + depth]))
            start += depth
        return Arch(tuple(stages), self.name, fixed_ends=False)

    def answer(self, cells: Sequence[int], choices: Sequence[Sequence[int]]) -> Arch:
        """A network: the cell of each block, from 0, and the choices in it."""
        stages: list[tuple[int, ...]] = [()] * len(self.all_cells)
        for block, (cell, chosen) in enumerate(zip(cells, choices)):
            stages[self.place(block, cell)] = tuple(chosen)
        return Arch(tuple(stages), self.name, fixed_ends=False)

    def candidate(self, block: int, cell: int, choices: Sequence[int]) -> Arch:
        """One cell alone, as it is rated: all other lists are empty."""
        stages: list[tuple[int, ...]] = [()] * len(self.all_cells)
        stages[self.place(block, cell)] = tuple(choices)
        return Arch(tuple(stages), self.name, fixed_ends=False)

    def cells_of(self, arch: Arch) -> tuple[int, ...]:
        """Which cell of each block an answer has.

        Raises:
            ValueError: If it is none: a block has several of its cells, or none.
        """
        filled = [[] for _ in self.cells]
        for (block, cell), choices in zip(self.all_cells, arch.stages):
            if choices:
                filled[block].append(cell)
        if any(len(cells) != 1 for cells in filled):
            raise ValueError(f'{arch} is no network: that has one cell of each block')
        return tuple(cells[0] for cells in filled)

    def network_space(self, cells: Sequence[int]) -> MBConvSpace:
        """The MBConv space of the networks that have these cells."""
        depths, widths = zip(*(block[cell] for block, cell in zip(self.cells, cells)))
        return replace(self.skeleton, depths=depths, widths=widths)

    def network(self, arch: Arch) -> tuple[Arch, MBConvSpace]:
        """An answer as what it is exported as.

        Raises:
            ValueError: If it is none.
        """
        space = self.network_space(self.cells_of(arch))
        return Arch(tuple(filter(None, arch.stages)), space.name), space

    def validate(self, arch: Arch) -> Arch:
        """Return ``arch`` if it is a path or an answer.

        Raises:
            ValueError: With the first thing that is wrong and what is accepted.
        """
        self._check_name(arch)
        depths = tuple(self.cells[b][c].layers for b, c in self.all_cells)
        fits = len(arch.depths) == len(depths)
        if not fits or any(d not in (0, full) for d, full in zip(arch.depths, depths)):
            raise ValueError(
                f'{arch} is not nested as in {self.name!r}, whose cells have {list(depths)} '
                'layers; in a network the lists of all cells but one of each block are empty'
            )
        for choice in self.encode(arch):
            if not 0 <= choice < len(self.skeleton.choices):
                raise ValueError(
                    f'choice {choice} of {arch} is not one of 0..{len(self.skeleton.choices) - 1}'
                )
        if arch.depths != depths:
            self.cells_of(arch)
        return arch

    def sizes_of(self, arch: Arch) -> tuple[int, ...]:
        """Number of choices at each layer that ``arch`` has."""
        return (len(self.skeleton.choices),) * sum(arch.depths)

    def factors(self, position: int) -> list[tuple[int, int]]:
        """(kernel, expansion) of each choice; (0, 0) is the identity."""
        return self.skeleton.factors(0)

    @property
    def named_choices(self) -> dict[str, int]:
        """The identity's index, if there is one."""
        return self.skeleton.named_choices
