"""The cell space of NAO: two cells of five nodes, each of which adds up two operations."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import chain
from typing import ClassVar

import numpy as np

from ..registry import TASK_UTILS
from ..structures import Arch
from .cell_graph import CellEdge, CellGraph
from .cell_space import CellSpace
from .space import MAX_TEXT

OPERATIONS = ('sep_conv_3x3', 'sep_conv_5x5', 'avg_pool_3x3', 'max_pool_3x3', 'identity')
SEP_3X3, SEP_5X5, AVG_POOL, MAX_POOL, IDENTITY = range(5)
KERNELS = {SEP_3X3: 3, SEP_5X5: 5}
"""Operations with convolutions, and the side of their kernels."""
NUM_INPUTS = 2
"""States of a cell that are its inputs: 0 is the output before the previous one, 1 the previous."""
NUM_NODES = 5
STEM_WIDTH = 3
"""Channels of the stem's map, in widths of the first stage."""
_WORDS = (
    ('sep 3×3', 'conv', 3), ('sep 5×5', 'conv', 5), ('avg 3×3', 'pool', 3), ('max 3×3', 'pool', 3),
    ('identity', 'skip', None),
)  # fmt: skip
"""Of each operation what a drawing says of it: its name, its kind and its kernel."""

Cell = tuple[int, ...]
"""Of each node, in order: first input, its operation, second input, its operation."""


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class NAOSpace(CellSpace):
    """A normal and a reduction cell, in three stages of 1, 2 and 4 times the width.

    A stage is ``num_cells`` normal cells; a reduction cell, which doubles the width and halves the
    map, stands before the second and the third. A node adds up two operations, each on one of the
    states before it: 0 is the output of the cell before the previous one, 1 that of the previous,
    2 ... 5 the nodes. Whatever no node takes is concatenated: :meth:`concat`. A cell is 20
    integers, ``[input, operation, input, operation]`` of each node, and an architecture both of
    them: ``[[normal cell], [reduction cell]]``; :meth:`format` writes it as it is published.

    Args:
        name (str): Name that its architectures carry.
        channels (int): Of the nodes in the first stage, F. Defaults to 20, as in the published
            search; what it found is trained at 36.
        num_cells (int): Normal cells in each stage, N. Defaults to 3; 6 in training.
        stem_stride (int): 1 (default) as published, for images of 32 pixels; 4 for detectors,
            whose stages then have strides 4, 8 and 16. Beyond 2 by max pools behind the stem.

    Raises:
        ValueError: If a value is out of range.

    Reference:
        Balanced one-shot neural architecture optimization (Luo et al., arXiv 1909.10815); the
        space of NAO (NeurIPS 2018), section 4.

    >>> space = NAOSpace()
    >>> arch = space.parse('1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | '
    ...                    '0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1')
    >>> space.concat(arch)
    ((3, 4, 5, 6), (3, 4, 5, 6))
    """

    name: str = 'nao'
    channels: int = 20
    num_cells: int = 3
    stem_stride: int = 1

    sizes = 2 * tuple(
        chain.from_iterable(
            (NUM_INPUTS + node, len(OPERATIONS)) * 2 for node in range(NUM_NODES)
        )
    )  # fmt: skip
    positions_per_step = 2
    published_flops = 'macs'  # no other count was ever published for this space
    file_words: ClassVar[Mapping[str, tuple]] = {}
    written_as = (
        'normal | reduction cell: of each node input, operation, input, operation. Operations: '
        '0 sep 3×3, 1 sep 5×5, 2 avg 3×3, 3 max 3×3, 4 identity'
    )

    # ---- what a space says -------------------------------------------------------------------

    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """The normal cell, then the reduction cell."""
        half = 4 * NUM_NODES
        return Arch((tuple(flat[:half]), tuple(flat[half:])), self.name, self.fixed_ends)

    def to_dict(self) -> dict:
        """Keyword arguments and the type."""
        return dict(type='cream_mm.NAOSpace', **asdict(self))

    def mutate(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """Another network: one input or one operation changed."""
        form = self.canonical(arch)
        while True:  # another operation always is another network; another input mostly
            mutant = super().mutate(arch, rng)
            if self.canonical(mutant) != form:
                return mutant

    @property
    def named_choices(self) -> dict[str, int]:
        """Index of each operation."""
        return {name: choice for choice, name in enumerate(OPERATIONS)}

    @property
    def named_positions(self) -> Sequence[int]:
        """Those of operations, every other one; the rest are inputs."""
        return range(1, len(self.sizes), 2)

    def count_layers(self, arch: Arch) -> int:
        """Separable convolutions of both cells."""
        return sum(op in (SEP_3X3, SEP_5X5) for cell in arch.stages for op in cell[1::2])

    # ---- which cells are the same network ----------------------------------------------------

    def concat(self, arch: Arch) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """States that are concatenated, of the normal and of the reduction cell."""
        normal, reduction = arch.stages
        return unused_states(normal), unused_states(reduction)

    def canonical(self, arch: Arch) -> Arch:
        """The first of all ways to write the network, by the order of the integers.

        The pairs of a node may be exchanged, and nodes may stand in any order in which each comes
        after those that it takes: what is concatenated then stands in another order, no more.
        """
        normal, reduction = self.validate(arch).stages
        stages = first_way(normal), first_way(reduction)
        return arch if stages == arch.stages else Arch(stages, self.name, self.fixed_ends)

    def exchange(self, arch: Arch, normal_node: int, reduction_node: int) -> Arch:
        """The same network with the pairs of one node, 0 to 4, of each cell exchanged."""
        cells = []
        for cell, node in zip(arch.stages, (normal_node, reduction_node)):
            if not 0 <= node < NUM_NODES:
                raise ValueError(f'a node is 0 to {NUM_NODES - 1}; got {node}')
            at = 4 * node
            cells.append(cell[:at] + cell[at + 2 : at + 4] + cell[at : at + 2] + cell[at + 4 :])
        return Arch(tuple(cells), self.name, self.fixed_ends)

    def rewrite(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """The same network with the pairs of a random node of each cell exchanged.

        Reference:
            The released code's augmentation of what its encoder learns from.
        """
        return self.exchange(arch, *rng.integers(NUM_NODES, size=2).tolist())

    def cell_graphs(self, arch: Arch) -> tuple[CellGraph, CellGraph]:
        """The normal and the reduction cell."""
        states = tuple(map(str, range(NUM_INPUTS, NUM_INPUTS + NUM_NODES)))
        names = ('0: cell before previous', '1: previous cell', *states)
        graphs = []
        for i, cell in enumerate(arch.stages):
            ends = [NUM_INPUTS + place // 2 for place in range(2 * NUM_NODES)]
            edges = tuple(
                CellEdge(state, end, *_WORDS[op], stride=1 + (i == 1 and state < NUM_INPUTS))
                for state, op, end in zip(cell[::2], cell[1::2], ends)
            )
            title = ('Normal cell', 'Reduction cell')[i]
            graphs.append(CellGraph(title, names, NUM_INPUTS, edges, unused_states(cell)))
        return tuple(graphs)

    # ---- as text -----------------------------------------------------------------------------

    @classmethod
    def claims(cls, text: str) -> bool:
        """Whether it is 40 integers, or two rows of such with a bar between."""
        if len(text) > MAX_TEXT or not text.isascii():
            return False
        numbers = text.replace('|', ' ').split()
        if not numbers or not all(map(str.isdigit, numbers)):
            return False
        whole = len(cls.sizes) in (len(numbers), len(text.strip()))  # in words, or in digits
        return text.count('|') == 1 or '|' not in text and whole

    def write(self, arch: Arch) -> str:
        """As it is published."""
        return self.format(arch)

    def parse(self, value: str | Sequence | Arch) -> Arch:
        """Read an architecture: as it is published, or as :meth:`Space.parse` does.

        40 integers, of the normal and then the reduction cell; a bar may stand between the cells,
        and spaces between the integers.
        """
        if isinstance(value, str) and len(value) <= MAX_TEXT and value.isascii():
            cells = [part.split() for part in value.split('|')]
            if len(cells) == 2 and list(map(len, cells)) == [1, 1]:  # a word of digits each
                cells = [list(word) for (word,) in cells]
            numbers = list(chain.from_iterable(cells))
            # One or two words of digits are digits, see there.
            if all(map(str.isdigit, numbers)) and (len(cells) > 1 or len(numbers) > 2):
                lengths = list(map(len, cells))
                if lengths not in ([len(self.sizes)], [4 * NUM_NODES] * 2):
                    raise ValueError(f'{self._not_one(value)}; got {" | ".join(map(str, lengths))}')
                return self._accept(self.decode(list(map(_integer, numbers))))
        return super().parse(value)

    def format(self, arch: Arch) -> str:
        """As it is published: ``'1 1 0 1 ... 0 0 | 0 2 0 2 ... 0 1'``."""
        return ' | '.join(' '.join(map(str, cell)) for cell in arch.stages)

    def _not_one(self, value) -> str:
        text = repr(value)
        text = text if len(text) <= 80 else f'{text[:80]}...'
        return (
            f'not an architecture: {text}; in {self.name!r} it is 20 integers of the normal and '
            "20 of the reduction cell, '1 1 0 1 ... | 0 2 0 2 ...': input, operation, input, "
            f'operation of each of {NUM_NODES} nodes'
        )


def unused_states(cell: Cell) -> tuple[int, ...]:
    """States that no node takes, in order: those that a cell concatenates."""
    used = set(cell[::2])
    return tuple(state for state in range(NUM_INPUTS + NUM_NODES) if state not in used)


@lru_cache(maxsize=32_768)
def first_way(cell: Cell) -> Cell:
    """The first of all ways to write a cell, by the order of its integers.

    Node by node, the one with the smallest row among those whose inputs are numbered already.
    Where several rows are equal, each is followed.
    """
    pairs = [tuple(cell[at : at + 2]) for at in range(0, 4 * NUM_NODES, 2)]
    nodes = [(pairs[2 * node], pairs[2 * node + 1]) for node in range(NUM_NODES)]
    leads = set(cell[::2])
    written: list[tuple[int, ...]] = []
    ways = [{state: state for state in range(NUM_INPUTS)}]  # numbers of the states so far
    for number in range(NUM_INPUTS, NUM_INPUTS + NUM_NODES):
        best, following = None, []
        for numbers in ways:
            idle = False  # of equal nodes that go nowhere any one will do
            for node, ((a, p), (b, q)) in enumerate(nodes):
                state = NUM_INPUTS + node
                if state in numbers or a not in numbers or b not in numbers:
                    continue
                one, other = (numbers[a], p), (numbers[b], q)
                row = one + other if one <= other else other + one
                if best is None or row < best:
                    best, following, idle = row, [], False
                if row == best:
                    if state not in leads:
                        if idle:
                            continue
                        idle = True
                    following.append({**numbers, state: number})
        written.append(best)
        ways = following
    return tuple(chain.from_iterable(written))


def _integer(digits: str) -> int:
    """A choice; what is far too long for one is simply too large."""
    return int(digits) if len(digits) <= 3 else 1000
