"""Networks joined from rated blocks: the best one under a budget, and all that no other beats."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice, product

import numpy as np

from ...costs import BlockCosts, Budget
from ...files.block_ratings import sum_of_ratings
from ...search.block_join import front, join
from ...structures import Arch
from .block_rating import DIVERGED

GRID = 1024  # steps of the range of a cost, where its ends within bounds are sought
Candidate = tuple[int, tuple[int, ...]]  # a cell, from 0, and the choices in it


class JoinedBlocks:
    """All networks that have one rated candidate of each block. A network's score is their sum.

    Args:
        budget (Budget): Of the answer; its cost model counts networks.
        tables (Mapping[tuple[int, int], Sequence[float]]): Of each (block, cell), the ratings of
            its candidates in the order of :meth:`BlockSpace.candidates`; lower is better. What
            diverged is in no best network.

    Raises:
        ValueError: If all candidates of a block diverged.

    Reference:
        DNA (Li et al., CVPR 2020), section 3.4; exact here, see :func:`join`.
    """

    def __init__(self, budget: Budget, tables: Mapping[tuple[int, int], Sequence[float]]):
        self.budget = budget
        self.costs: BlockCosts = budget.cost_model
        self.space = self.costs.space
        cells = [range(len(block)) for block in self.space.cells]
        self.candidates: list[list[Candidate]] = [
            [(cell, choices) for cell in block for choices in self.space.candidates(b, cell)]
            for b, block in enumerate(cells)
        ]
        self.tables = tables
        losses = [
            np.concatenate([np.asarray(tables[b, cell], dtype=float) for cell in block])
            for b, block in enumerate(cells)
        ]
        # Sums are told apart to a share of the largest: one of 1e9 would hide all differences.
        self._joinable = [np.where(loss < DIVERGED, loss, np.inf) for loss in losses]
        for number, loss in enumerate(self._joinable, start=1):
            if not np.isfinite(loss).any():
                raise ValueError(
                    f'all {len(loss)} candidates of block {number} diverged in the training; train '
                    'again with a lower learning rate of this block (optim_wrapper)'
                )
        self._columns: dict[str, list[np.ndarray]] = {}

    # ---- tables of costs ---------------------------------------------------------------------

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """Of each block and candidate, which of the block's widths it puts out."""
        found = []
        for block, candidates in enumerate(self.candidates):
            widths = self.costs.widths(block)
            of_cell = [widths.index(cell.width) for cell in self.space.cells[block]]
            found.append(np.array([of_cell[cell] for cell, _ in candidates]))
        return found

    def column(self, key: str) -> list[np.ndarray]:
        """Of each block, what each candidate costs: (widths of the block before, candidates).

        The last block's hold what networks cost besides their blocks, too: it goes by their width.

        Args:
            key (str): A unit, e.g. ``'macs_m'``.
        """
        if key not in self._columns:
            blocks = range(self.space.num_blocks)
            self._columns[key] = [
                np.array([self._row(block, before, key) for before in self._widths_before(block)])
                for block in blocks
            ]
        return self._columns[key]

    def _widths_before(self, block: int) -> list[int | None]:
        return self.costs.widths(block - 1) if block else [None]

    def _row(self, block: int, before: int | None, key: str) -> np.ndarray:
        parts = []
        for cell, (_, width) in enumerate(self.space.cells[block]):
            part = self.costs.candidate_costs(block, cell, key, before)
            if block == self.space.num_blocks - 1:
                part = part + self.costs.fixed(width).in_units()[key]
            parts.append(part)
        return np.concatenate(parts)

    # ---- networks ----------------------------------------------------------------------------

    def best(self, budget: Budget | None = None) -> Arch | None:
        """The network of least score within a budget; None if there is none.

        Args:
            budget (Budget, optional): Another one than the answer's.
        """
        budget = budget or self.budget
        bounds = self._binding(budget)
        columns = {key: self.column(key) for key in (*bounds, 'macs_m')}
        for _, indices in join(self._joinable, columns, {}, bounds, self.groups):
            arch = self._arch(indices)
            if budget.is_feasible(arch):  # to the last digit
                return arch
        return None

    def end(self, sign: int, key: str = 'macs_m') -> Arch | None:
        """The cheapest network within the budget (``sign`` 1), or the costliest (-1).

        To about a thousandth of the space's range where bounds bind: which of so many sums comes
        closest to a bound is a knapsack problem.
        """
        bounds = self._binding(self.budget)
        columns = {name: self.column(name) for name in dict.fromkeys((key, *bounds))}
        step = sum(np.ptp(table) for table in columns[key]) / GRID or 1.0
        # What is least is the cost, which is known of each candidate once all widths are.
        found: dict[Arch, float] = {}
        for widths in product(*(np.unique(group) for group in self.groups)):
            losses = [
                np.where(group == width, np.round(sign * table[before] / step), np.inf)
                for table, group, width, before in zip(
                    columns[key], self.groups, widths, (0, *widths)
                )
            ]
            for _, indices in islice(join(losses, columns, {}, bounds, self.groups), 10):
                arch = self._arch(indices)
                if self.budget.is_feasible(arch):
                    found[arch] = self.costs.cost(arch).in_units()[key]
                    break
        return min(found, key=lambda arch: sign * found[arch], default=None)

    def _binding(self, budget: Budget) -> dict[str, tuple[float | None, float | None]]:
        """Bounds that exclude some network."""
        found = {}
        for key, (low, high) in budget.bounds.items():
            least, most = (end[key] for end in self.costs.extremes())
            low = None if low is None or low <= least else low
            high = None if high is None or high >= most else high
            if (low, high) != (None, None):
                found[key] = low, high
        return found

    def front(self, key: str = 'macs_m') -> list[tuple[float, float, Arch]]:
        """(cost, score, network) of all that no other beats in score without costing more."""
        points = front(self._joinable, {key: self.column(key)}, {}, key, groups=self.groups)
        return [(cost, loss, self._arch(indices)) for cost, loss, indices in points]

    def score(self, arch: Arch) -> float:
        """The sum of the ratings of a network's blocks."""
        return sum_of_ratings(self.space, self.tables, arch)

    def sample(self, rng: np.random.Generator) -> Arch:
        """A network, drawn: of each block a cell, then a candidate of it."""
        cells = [int(rng.integers(len(block))) for block in self.space.cells]
        choices = [
            rng.integers(len(self.space.skeleton.choices), size=self.space.cells[b][c].layers)
            for b, c in enumerate(cells)
        ]
        return self.space.answer(cells, [row.tolist() for row in choices])

    def _arch(self, indices: Sequence[int]) -> Arch:
        chosen = [block[i] for block, i in zip(self.candidates, indices)]
        return self.space.answer(*zip(*chosen))
