"""Blocks that were rated one by one, joined exactly: the best network under bounds, the front."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .pareto_merge import Bounds, best_sums, front_choices

# Sums of integers below 2**53 are exact in float64, whatever their order.
_DIGITS = 4e15


class FrontPoint(NamedTuple):
    """A network that no other beats: its cost and loss, and the candidate of each block."""

    cost: float
    loss: float
    indices: tuple[int, ...]


def join(
    losses: Sequence[np.ndarray],
    costs: Mapping[str, Sequence[np.ndarray]],
    fixed: Mapping[str, float],
    bounds: Bounds,
    groups: Sequence[np.ndarray] | None = None,
    max_steps: int = 1_000_000,
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """All networks of one candidate per block within the bounds, the least sum of losses first.

    Exact and lazy: of 288 x 1548 x 1548 x 2808 x 16848 networks the best takes a tenth of a
    second. Sums that are equal (to 3e-9 of the largest) come the cheaper first, in the first
    column of ``costs``, then by their indices. For the product of losses give their logarithms.

    Args:
        losses (Sequence[ndarray]): Of each block, (candidates,): lower is better. A candidate
            whose loss is nan or infinite is never chosen.
        costs (Mapping[str, Sequence[ndarray]]): Of each column, e.g. ``'macs_m'``, and block,
            (candidates,), or (groups of the block before, candidates).
        fixed (Mapping[str, float]): What every network costs besides, by column; 0 if missing.
        bounds (Mapping): (low, high) on the whole cost of any of the columns, both included; None
            leaves one open.
        groups (Sequence[ndarray], optional): Of each block, (candidates,): the number, from 0 on,
            of the width that a candidate puts out. The first layer of the next block then costs
            by it. Defaults to one width per block.
        max_steps (int): See :func:`best_sums`.

    Yields:
        tuple[float, tuple[int, ...]]: The sum of losses, and the candidate of each block.

    Raises:
        ValueError: If the tables do not fit each other, a bound has no column, or as
            :func:`best_sums`.

    Reference:
        DNA (Li et al., CVPR 2020), Alg. 2; there nested loops that miss most optima.
    """
    problem = _Problem(losses, costs, groups)
    limits = {}
    for column, bound in bounds.items():
        if column not in costs:
            raise ValueError(
                f'a bound on {column!r}, but the columns of costs are {", ".join(costs) or "none"}'
            )
        limits[column] = tuple(
            None if side is None else problem.round(column, side - fixed.get(column, 0.0))
            for side in bound
        )
    values = problem.values
    if costs:  # far below a difference of losses that means anything, if there is one
        table = [np.asarray(cost) for cost in next(iter(costs.values()))]
        differ = any(len(np.unique(value[np.isfinite(value)])) > 1 for value in values)
        share = _scale(table, 1e6 if differ else _DIGITS)
        values = [value - np.round(cost * share) for value, cost in zip(values, table)]
    for _, indices in best_sums(values, problem.ticks, limits, max_steps, problem.groups):
        if all(
            (low is None or low <= problem.ticks_of(column, indices))
            and (high is None or problem.ticks_of(column, indices) <= high)
            for column, (low, high) in limits.items()
        ):  # to the last digit
            yield problem.loss(indices), indices


def front(
    losses: Sequence[np.ndarray],
    costs: Mapping[str, Sequence[np.ndarray]],
    fixed: Mapping[str, float],
    column: str,
    bounds: Bounds | None = None,
    groups: Sequence[np.ndarray] | None = None,
) -> list[FrontPoint]:
    """Every network that no other beats in loss without costing more in one column.

    Exact; without bounds at full size within a second. Bounds make another front, of networks
    that may all be beaten by one outside: each point is then a search of its own by
    :func:`join`, hundreds of them.

    Args:
        losses, costs, fixed, groups: As for :func:`join`.
        column (str): The column whose cost and loss are traded.
        bounds (Mapping, optional): Bounds that all networks obey, as for :func:`join`.

    Returns:
        list[FrontPoint]: (cost, loss, indices); costs ascend and losses descend. Of equals the
        one with lower indices.

    Raises:
        ValueError: As :func:`join`.
    """
    if column not in costs:
        raise ValueError(f'no column {column!r} among {", ".join(costs) or "no costs"}')
    if any(side is not None for bound in (bounds or {}).values() for side in bound):
        return _front_by_searches(losses, costs, fixed, column, dict(bounds), groups)
    problem = _Problem(losses, {column: costs[column]}, groups)
    found = []
    for indices in front_choices(problem.values, problem.ticks[column], problem.groups):
        cost = math.fsum([fixed.get(column, 0.0), *problem.picked(costs[column], indices)])
        found.append(FrontPoint(cost, problem.loss(indices), indices))
    return found


def _front_by_searches(
    losses: Sequence[np.ndarray],
    costs: Mapping[str, Sequence[np.ndarray]],
    fixed: Mapping[str, float],
    column: str,
    bounds: dict[str, tuple[float | None, float | None]],
    groups: Sequence[np.ndarray] | None,
) -> list[FrontPoint]:
    """From the best network on, each time the best of those that cost less."""
    costs = {column: costs[column], **costs}  # of equal losses the cheaper in this column
    problem = _Problem(losses, costs, groups)
    found = []
    while True:
        best = next(join(losses, costs, fixed, bounds, groups), None)
        if best is None:
            return found[::-1]
        loss, indices = best
        cost = math.fsum([fixed.get(column, 0.0), *problem.picked(costs[column], indices)])
        found.append(FrontPoint(cost, loss, indices))
        low, _ = bounds.get(column, (None, None))
        bounds[column] = low, cost - 1e-12 * max(1.0, abs(cost))


class _Problem:
    """Tables as integers, so that sums are equal or not, whatever the order of their terms.

    A loss or cost is counted in ticks of the power of ten of which the largest sum has 4e14 to
    4e15: what was written with up to 14 digits is exact.

    Attributes:
        values (list[ndarray]): Minus the losses in ticks; -inf for what is never chosen.
        ticks (dict[str, list[ndarray]]): The costs in ticks.
        groups (list[ndarray]): One group each where none were given.
    """

    def __init__(
        self,
        losses: Sequence[np.ndarray],
        costs: Mapping[str, Sequence[np.ndarray]],
        groups: Sequence[np.ndarray] | None,
    ):
        self.losses = [np.asarray(loss, dtype=float) for loss in losses]
        if groups is None:
            groups = [np.zeros(len(loss), dtype=int) for loss in self.losses]
        self.groups = [np.asarray(group) for group in groups]
        self._check('groups', self.groups, (1,))
        for column, tables in costs.items():
            self._check(column, tables, (1, 2))
        finite = [np.isfinite(loss) for loss in self.losses]
        scale = _scale([loss[use] for loss, use in zip(self.losses, finite)])
        self.values = [
            np.where(use, -np.round(np.where(use, loss, 0) * scale), -np.inf)
            for loss, use in zip(self.losses, finite)
        ]
        self._scales = {column: _scale(tables) for column, tables in costs.items()}
        self.ticks = {
            column: [np.round(np.asarray(table) * self._scales[column]) for table in tables]
            for column, tables in costs.items()
        }

    def _check(self, name: str, tables: Sequence[np.ndarray], dims: tuple[int, ...]) -> None:
        if len(tables) != len(self.losses):
            raise ValueError(f'{name}: {len(tables)} tables for {len(self.losses)} blocks')
        for i, (table, loss) in enumerate(zip(tables, self.losses)):
            before = int(self.groups[i - 1].max(initial=0)) + 1 if i else 1
            shapes = [(before, len(loss))[2 - dim :] for dim in dims]
            if np.shape(table) not in shapes:
                raise ValueError(
                    f'{name}: the table of block {i} is {np.shape(table)}, but its losses need '
                    f'{" or ".join(map(str, shapes))}'
                )
            if not np.isfinite(table).all():
                raise ValueError(f'{name}: the table of block {i} holds nan or infinity')

    def round(self, column: str, cost: float) -> float:
        return float(np.round(cost * self._scales[column]))

    def picked(self, tables: Sequence[np.ndarray], indices: Sequence[int]) -> list[float]:
        """Of one column, what each block's candidate costs."""
        found, before = [], 0
        for table, group, index in zip(map(np.atleast_2d, tables), self.groups, indices):
            found.append(float(table[min(before, len(table) - 1), index]))
            before = int(group[index])
        return found

    def ticks_of(self, column: str, indices: Sequence[int]) -> float:
        return sum(self.picked(self.ticks[column], indices))

    def loss(self, indices: Sequence[int]) -> float:
        return math.fsum(loss[index] for loss, index in zip(self.losses, indices))


def _scale(tables: Sequence[np.ndarray], most: float = _DIGITS) -> float:
    """Ticks per unit: the largest power of ten with which no sum exceeds so many."""
    largest = math.fsum(float(np.abs(table).max(initial=0)) for table in tables) or 1.0
    return 10.0 ** math.floor(math.log10(most / largest))
