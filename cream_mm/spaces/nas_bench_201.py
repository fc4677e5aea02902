"""The cell space of NAS-Bench-201: one operation on each of the six edges between four nodes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import ClassVar, NamedTuple

import numpy as np

from ..registry import TASK_UTILS
from ..structures import Arch
from .cell_graph import CellEdge, CellGraph
from .cell_space import CellSpace
from .space import MAX_TEXT

OPERATIONS = ('none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3')
NONE, SKIP, CONV_1X1, CONV_3X3, AVG_POOL = range(5)
KERNELS = {CONV_1X1: 1, CONV_3X3: 3}
"""Operations with convolutions, and the side of their kernels."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Of each position, (node that it leaves, node that it enters); 0 is the input, 3 the output."""
NUM_NODES = 4
_WORDS = (
    ('none', 'none', None), ('skip', 'skip', None), ('1×1 conv', 'conv', 1),
    ('3×3 conv', 'conv', 3), ('3×3 avg', 'pool', 3),
)  # fmt: skip
"""Of each operation what a drawing says of it: its name, its kind and its kernel."""


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class NASBench201Space(CellSpace):
    """One cell, ``num_cells`` times in each of three stages of 1, 2 and 4 times the width.

    Stem conv3x3, then the stages, with a fixed residual block of stride 2 before the second and
    the third. Node ``j`` of a cell is the sum of its edges' operations on earlier nodes. An
    architecture is nested by the node that the edges enter: ``[[0->1],[0->2,1->2],[0->3,1->3,
    2->3]]``, each an index of ``OPERATIONS``; :meth:`format` writes it as the benchmark does.

    Args:
        name (str): Name that its architectures carry.
        channels (int): Of the stem and the first stage. Defaults to 16.
        num_cells (int): Cells in each stage. Defaults to 5.
        stem_stride (int): 1 (default) as published, for images of 32 pixels; 4 for detectors,
            whose stages then have strides 4, 8 and 16. Beyond 2 by max pools behind the stem.

    Raises:
        ValueError: If a value is out of range.

    Reference:
        NAS-Bench-201 (Dong and Yang, ICLR 2020), section 2.1.

    >>> space = NASBench201Space()
    >>> arch = space.parse('|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|')
    >>> str(arch), space.live_edges(arch)
    ('[[3],[0,0],[0,1,0]]', (True, False, False, True, True, False))
    """

    name: str = 'nas_bench_201'
    channels: int = 16
    num_cells: int = 5
    stem_stride: int = 1

    sizes = (len(OPERATIONS),) * len(EDGES)
    published_flops = 'nas_bench_201'  # whose counter that is, see docs/conventions.md
    file_words: ClassVar[Mapping[str, tuple]] = {}
    choice_words = ('none', 'skip', '1×1', '3×3', 'avg')
    written_as = 'of each node, the operation on each edge that enters'

    # ---- what a space says -------------------------------------------------------------------

    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """One list per node that edges enter."""
        a, b, c, d, e, f = flat
        return Arch(((a,), (b, c), (d, e, f)), self.name, self.fixed_ends)

    def to_dict(self) -> dict:
        """Keyword arguments and the type."""
        return dict(type='cream_mm.NASBench201Space', **asdict(self))

    def sample(self, rng: np.random.Generator, op_prob: Sequence[float] | None = None) -> Arch:
        """Draw one of the 6,321 networks that can be trained, all alike likely.

        With ``op_prob`` each edge is drawn on its own, whatever comes of it.
        """
        if op_prob is not None:
            return super().sample(rng, op_prob)
        cells = _cells().trainable
        return self.decode(cells[rng.integers(len(cells))])

    def mutate(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """Another network that can be trained: one edge changed, then its canonical cell.

        All changes of one edge that lead to one are alike likely; there always are some.
        """
        ops, cells = self._ops(arch), _cells()
        changed = (
            cells.class_of[ops[:edge] + (choice,) + ops[edge + 1 :]]
            for edge, choice in product(range(len(EDGES)), range(len(OPERATIONS)))
        )
        found = [c for c in changed if c != cells.class_of[ops] and cells.trains[c]]
        return self.decode(cells.first[found[rng.integers(len(found))]])

    def factors(self, position: int) -> list[tuple[int, int]]:
        """Of each operation (the edge, the operation)."""
        return [(position, choice) for choice in range(len(OPERATIONS))]

    @property
    def named_choices(self) -> dict[str, int]:
        """Index of each operation."""
        return {name: choice for choice, name in enumerate(OPERATIONS)}

    @property
    def num_networks(self) -> int:
        """Classes of isomorphic cells."""
        return len(_cells().first)

    # ---- which cells are the same network ----------------------------------------------------

    def classes(self, trainable: bool = False) -> list[Arch]:
        """The canonical cell of each class of isomorphic cells, in order of the operations.

        Args:
            trainable (bool): Only the 6,321 of 6,466 with a convolution on a live path.
        """
        return list(map(self.decode, _cells().trainable if trainable else _cells().first))

    def canonical(self, arch: Arch) -> Arch:
        """The first of all cells that are isomorphic to it, by the order of the operations.

        Isomorphic cells need not cost the same: canonical ones hold few operations through which
        nothing passes, where others may hold any. (What one convolution does for two edges, two
        may do in a cell that the benchmark calls isomorphic to it; in 187 classes another cell
        costs less than the canonical one for this reason.)

        Reference:
            The benchmark's own ``to_unique_str`` with zeroes: a node that nothing enters counts
            as empty, and so does an edge that leaves an empty node.
        """
        cells = _cells()
        return self.decode(cells.first[cells.class_of[self._ops(arch)]])

    def reduced(self, arch: Arch) -> Arch:
        """The canonical cell: what a search rates and answers with."""
        return self.canonical(arch)

    def live_edges(self, arch: Arch) -> tuple[bool, ...]:
        """Whether each edge lies between what the input reaches and what reaches the output.

        Nothing needs to be computed for the others. An edge that is none itself is live if its
        ends are: it adds zeros.
        """
        return _live_edges(self._ops(arch))

    def is_trainable(self, arch: Arch) -> bool:
        """Whether a convolution lies on a way from the input to the output."""
        cells = _cells()
        return cells.trains[cells.class_of[self._ops(arch)]]

    def count_layers(self, arch: Arch) -> int:
        """Convolutions on live edges."""
        return _live_convolutions(self._ops(arch))

    def _ops(self, arch: Arch) -> tuple[int, ...]:
        return tuple(self.encode(self.validate(arch)))

    def cell_graphs(self, arch: Arch) -> tuple[CellGraph, ...]:
        """The one cell."""
        edges = (CellEdge(*ends, *_WORDS[op]) for ends, op in zip(EDGES, self._ops(arch)))
        return (CellGraph('The cell', ('in', '1', '2', 'out'), 1, tuple(edges)),)

    # ---- as text -----------------------------------------------------------------------------

    @classmethod
    def claims(cls, text: str) -> bool:
        """Whether it is written as the benchmark does."""
        return '|' in text and '~' in text

    def write(self, arch: Arch) -> str:
        """As the benchmark writes it."""
        return self.format(arch)

    def parse(self, value: str | Sequence | Arch) -> Arch:
        """Read an architecture: as the benchmark writes it, or as :meth:`Space.parse` does.

        ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``; operations of a node in any order.
        """
        if isinstance(value, str) and '|' in value and len(value) <= MAX_TEXT:
            return self._from_cell(value)
        return super().parse(value)

    def _from_cell(self, text: str) -> Arch:
        found: dict[tuple[int, int], int] = {}
        nodes = text.strip().split('+')
        for node, part in enumerate(nodes, start=1):
            part = part.strip()
            edges = re.findall(r'([^|~]+)~([0-9])\|', part)
            whole = part == '|' + ''.join(f'{op}~{source}|' for op, source in edges)
            if not whole or len(edges) != node:
                raise ValueError(self._not_one(text))
            for op, source in edges:
                if op not in OPERATIONS:
                    raise ValueError(
                        f'{op!r} in {text[:200]!r} is no operation of {self.name!r}; there are '
                        f'{", ".join(OPERATIONS)}'
                    )
                found[int(source), node] = OPERATIONS.index(op)
        if set(found) != set(EDGES):
            raise ValueError(self._not_one(text))
        return self.decode([found[edge] for edge in EDGES])

    def format(self, arch: Arch) -> str:
        """As the benchmark writes it."""
        parts = [
            ''.join(f'{OPERATIONS[op]}~{source}|' for source, op in enumerate(ops))
            for ops in arch.stages
        ]
        return '+'.join(f'|{part}' for part in parts)


def _live_edges(ops: tuple[int, ...]) -> tuple[bool, ...]:
    reached = {0}
    for (source, target), op in zip(EDGES, ops):  # in an order in which sources come first
        if op != NONE and source in reached:
            reached.add(target)
    leads = {NUM_NODES - 1}
    for (source, target), op in reversed(list(zip(EDGES, ops))):
        if op != NONE and target in leads:
            leads.add(source)
    return tuple(source in reached and target in leads for source, target in EDGES)


def _live_convolutions(ops: tuple[int, ...]) -> int:
    return sum(live and op in (CONV_1X1, CONV_3X3) for live, op in zip(_live_edges(ops), ops))


def _unique_text(ops: tuple[int, ...]) -> str:
    """What all isomorphic cells have in common: the output, spelled out down to the input."""
    nodes = ['0']
    for node in range(1, NUM_NODES):
        terms = []
        for (source, target), op in zip(EDGES, ops):
            if target == node:
                before = nodes[source]
                if op == NONE or before == '#':
                    terms.append('#')
                else:
                    terms.append(before if op == SKIP else f'({before})@{op}')
        nodes.append('+'.join(sorted(terms)))
    return nodes[-1]


class _Cells(NamedTuple):
    """All cells as flat choices, and the classes of isomorphic ones."""

    first: list[tuple[int, ...]]  # cell of each class
    class_of: dict[tuple[int, ...], int]
    trains: list[bool]  # whether the cells of a class do: it is the same for all
    trainable: list[tuple[int, ...]]  # the first cells of those that do


@cache
def _cells() -> _Cells:
    numbers: dict[str, int] = {}
    first: list[tuple[int, ...]] = []
    class_of: dict[tuple[int, ...], int] = {}
    for ops in product(range(len(OPERATIONS)), repeat=len(EDGES)):
        text = _unique_text(ops)
        if text not in numbers:
            numbers[text] = len(first)
            first.append(ops)
        class_of[ops] = numbers[text]
    trains = [_live_convolutions(ops) > 0 for ops in first]
    return _Cells(first, class_of, trains, [ops for ops, yes in zip(first, trains) if yes])
