"""Exact joins of tables that add up: which choice in each place, under bounds on the costs."""

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ..costs import Budget, CostTable
from ..spaces import Space
from ..structures import Arch
from .main_effects import MainEffects, places

Bounds = Mapping[str, tuple[float | None, float | None]]


def pareto_merge(
    values: Sequence[np.ndarray], costs: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Best sum of values for every sum of costs, place by place from the last one.

    Of all ways to choose in the places from ``i`` on, those stay that no other beats, in value
    without costing more. A sum that is beaten there is beaten whatever comes before it, so each
    merge goes on from the few that stay: exact, and far from listing all products.

    Args:
        values (Sequence[ndarray]): Of each place, (choices,): higher is better; -inf is never
            chosen.
        costs (Sequence[ndarray]): Of each place, (choices,): lower is better.

    Returns:
        list[tuple[ndarray, ndarray]]: (costs, values) of the places from ``i`` on, both
        ascending, for i = 0 .. number of places; the last is that of no place, ``([0], [0])``.

    Reference:
        DNA (Li et al., CVPR 2020), the traversal of block-wise ratings; here with dominance.
    """
    fronts = [(np.zeros(1), np.zeros(1))]
    for value, cost in zip(reversed(values), reversed(costs)):
        allowed = np.isfinite(value)
        rest_costs, rest_values = fronts[-1]
        all_costs = (cost[allowed, None] + rest_costs).ravel()
        all_values = (value[allowed, None] + rest_values).ravel()
        order = np.lexsort((-all_values, all_costs))
        all_costs, all_values = all_costs[order], all_values[order]
        best_before = np.maximum.accumulate(np.concatenate(([-np.inf], all_values)))[:-1]
        stays = all_values > best_before
        fronts.append((all_costs[stays], all_values[stays]))
    return fronts[::-1]


def best_sums(
    values: Sequence[np.ndarray],
    costs: Mapping[str, Sequence[np.ndarray]],
    bounds: Bounds,
    max_steps: int = 1_000_000,
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """All ways to choose within the bounds, the best sum of values first.

    Exact: places are filled from the first on, always going on from the partial sum that can
    still become the best, by the fronts of :func:`pareto_merge` for what is left of each bound.

    Args:
        values (Sequence[ndarray]): Of each place, (choices,); -inf is never chosen.
        costs (Mapping[str, Sequence[ndarray]]): Tables of each cost that has bounds.
        bounds (Mapping): (low, high) on the sum of each, both included; None leaves one open.
        max_steps (int): Partial sums to go on from, about 20 us each, before it gives up.

    Yields:
        tuple[float, tuple[int, ...]]: The sum of values, and the choice of each place. Equal
        sums come in the order of their choices.

    Raises:
        ValueError: After ``max_steps``, which only bounds on several costs that hardly anything
            meets together take.
    """
    limits = []  # of each bound: limit, tables, fronts; sums may not exceed the limit
    sides = []  # the same, (key, sign, limit, tables)
    for key, (low, high) in bounds.items():
        for sign, limit in ((1, high), (-1, low)):
            if limit is not None:
                table = [sign * np.asarray(cost, dtype=float) for cost in costs[key]]
                # Sums in another order differ in the last digits.
                slack = 1e-9 * max(1.0, abs(limit))
                sides.append((key, sign, sign * limit + slack, table))
    for limit, table in [*(side[2:] for side in sides), *_joint_limits(sides)]:
        limits.append((limit, table, pareto_merge(values, table)))
    no_costs = [np.zeros(len(value)) for value in values]
    unbounded = [float(front[1][-1]) for front in pareto_merge(values, no_costs) if len(front[1])]
    if len(unbounded) <= len(values):
        return  # a place with no choice left

    def ceiling(place: int, used: Sequence[float]) -> float:
        """The most that the places from ``place`` on can add; -inf where a bound cannot be met."""
        most = unbounded[place]
        for spent, (limit, _, fronts) in zip(used, limits):
            front_costs, front_values = fronts[place]
            i = np.searchsorted(front_costs, limit - spent, side='right')
            if i == 0:
                return -math.inf
            most = min(most, float(front_values[i - 1]))
        return most

    start = (0.0,) * len(limits)
    heap, steps = [(-ceiling(0, start), (), 0.0, start)], itertools.count(1)
    while heap:
        if next(steps) > max_steps:
            raise ValueError(
                f'the bounds {dict(bounds)} are so tight together that the best choice within '
                f'them was not found in {max_steps:,} steps; widen one of them'
            )
        _, chosen, total, used = heapq.heappop(heap)
        place = len(chosen)
        if place == len(values):
            yield total, chosen
            continue
        for choice, value in enumerate(values[place].tolist()):
            if value == -math.inf:
                continue
            spent = tuple(u + table[place][choice] for u, (_, table, _) in zip(used, limits))
            most = ceiling(place + 1, spent)
            if most > -math.inf:
                entry = (-(total + value + most), (*chosen, choice), total + value, spent)
                heapq.heappush(heap, entry)


def _joint_limits(sides: list[tuple]) -> Iterator[tuple[float, list[np.ndarray]]]:
    """What an upper and a lower bound of two costs say together: weighted sums of both.

    They exclude nothing more, but tell early that both cannot be met at once, where each alone
    can: few MACs and many parameters. Without them such a search may take hours.
    """
    for (key, sign, a, tables_a), (other, other_sign, b, tables_b) in itertools.combinations(
        sides, 2
    ):
        if key == other or sign == other_sign:
            continue
        spreads = [sum(np.ptp(table) for table in tables) for tables in (tables_a, tables_b)]
        if 0.0 in spreads:
            continue
        for share in (0.25, 0.5, 0.75):
            u, v = share / spreads[0], (1 - share) / spreads[1]
            slack = 1e-9 * max(1.0, abs(u * a), abs(v * b))
            yield u * a + v * b + slack, [u * x + v * y for x, y in zip(tables_a, tables_b)]


def unit_tables(costs: CostTable, names: Iterable[str]) -> dict[str, list[np.ndarray]]:
    """Of each cost, e.g. ``'macs_m'``, what every choice adds: an array for each position."""
    units = [[c.in_units() for c in costs.choice_costs(i)] for i in range(len(costs.space.sizes))]
    return {
        name: [np.array([unit[name] for unit in choices]) for choices in units] for name in names
    }


def best_paths(effects: MainEffects, space: Space, budget: Budget) -> Iterator[tuple[float, Arch]]:
    """Full-depth paths within a budget, the best sum of effects first.

    Exact, and lazy: the first path of a space of 10**15 takes milliseconds. Of equal sums (to
    1e-9 of the spread of effects) the cheaper comes first. A choice that no fitted path had is
    in none. Networks that are the same by ``space.canonical`` may follow each other. Where costs
    do not add up, all paths are gone through in the order of their sums.

    Args:
        effects (MainEffects): What each choice adds.
        space (Space): The space that they belong to.
        budget (Budget): Bounds every path obeys.

    Yields:
        tuple[float, Arch]: The path's score by the effects, in their unit, and the path.

    Raises:
        ValueError: As :func:`best_sums`.
    """
    whole = places(space.decode([0] * len(space.sizes)))
    # Lists of this kind of path hold no other choice, so that its effects are all in `weight`.
    values = [
        np.array([effects.weight((*place, c)) for c in range(size)])
        for place, size in zip(whole, space.sizes)
    ]
    ordered, costs, bounds = values, {}, {}
    if isinstance(budget.cost_model, CostTable):
        tables = [budget.cost_model.choice_costs(i) for i in range(len(values))]
        finite = [v[np.isfinite(v)] for v in values]
        spread = max((np.ptp(v) for v in finite if len(v)), default=0.0)
        macs = [np.array([cost.macs for cost in table], dtype=float) for table in tables]
        largest = sum(m.max() for m in macs) or 1.0
        ordered = [v - 1e-9 * (spread or 1.0) * m / largest for v, m in zip(values, macs)]
        fixed = budget.cost_model.fixed.in_units()
        costs = unit_tables(budget.cost_model, budget.bounds)
        for key, bound in budget.bounds.items():
            bounds[key] = tuple(None if side is None else side - fixed[key] for side in bound)
    for _, flat in best_sums(ordered, costs, bounds):
        arch = space.decode(list(flat))
        if budget.is_feasible(arch):  # to the last digit, and where there is no table
            yield float(effects.predict([arch])[0]), arch
