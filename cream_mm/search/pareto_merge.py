"""Exact joins of tables that add up: which choice in each place, under bounds on the costs."""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ..costs import Budget, CostTable
from ..spaces import Space
from ..structures import Arch
from ..structures.dominance import undominated
from .main_effects import places

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
    fronts = _chain_fronts(values, costs, _one_group(values))
    return [(front.costs, front.values) for front, *_ in fronts]


def front_choices(
    values: Sequence[np.ndarray],
    costs: Sequence[np.ndarray],
    groups: Sequence[np.ndarray] | None = None,
) -> Iterator[tuple[int, ...]]:
    """The choices behind the front of all places, by ascending cost and value.

    Args:
        values, costs, groups: As for :func:`best_sums`, with the tables of one cost.

    Yields:
        tuple[int, ...]: The choice of each place; of equals the one with lower numbers.
    """
    groups = _one_group(values) if groups is None else groups
    fronts = _chain_fronts(values, costs, groups)
    for at in range(len(fronts[0][0].costs)):
        found, group = [], 0
        for place in range(len(values)):
            front = fronts[place][group]
            found.append(int(front.choices[at]))
            at, group = int(front.behind[at]), int(groups[place][found[-1]])
        yield tuple(found)


def _one_group(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros(np.shape(value)[-1], dtype=int) for value in values]


def _group_counts(groups: Sequence[np.ndarray]) -> list[int]:
    """How many groups there are before each place, and behind the last."""
    return [1, *(int(group.max(initial=0)) + 1 for group in groups)]


class _Front(NamedTuple):
    """What no other beats: costs and values, both ascending, and where each comes from."""

    costs: np.ndarray
    values: np.ndarray
    choices: np.ndarray  # at the front's first place
    behind: np.ndarray  # which one of the front behind that choice


def _chain_fronts(
    values: Sequence[np.ndarray], costs: Sequence[np.ndarray], groups: Sequence[np.ndarray]
) -> list[list[_Front]]:
    """:func:`pareto_merge` where costs depend on the group of the choice before.

    Returns:
        list[list[_Front]]: Of the places from ``i`` on, a front for each group that the choice at
        place ``i - 1`` may have; one where nothing is before.
    """
    counts = _group_counts(groups)
    nothing = np.zeros(1, dtype=int)
    fronts = [[_Front(np.zeros(1), np.zeros(1), nothing, nothing)] * counts[-1]]
    for i in reversed(range(len(values))):
        value, cost = np.broadcast_arrays(*map(np.atleast_2d, (values[i], costs[i])))
        merged = [_merge(*rows, groups[i], fronts[-1]) for rows in zip(value, cost)]
        fronts.append(merged * counts[i] if len(merged) == 1 else merged)
    return fronts[::-1]


def _merge(
    value: np.ndarray, cost: np.ndarray, group: np.ndarray, rest: Sequence[_Front]
) -> _Front:
    found = []
    for g, front in enumerate(rest):
        allowed = np.flatnonzero(np.isfinite(value) & (group == g))
        # What is beaten within its place and group is beaten with anything behind it.
        allowed = np.sort(allowed[undominated(cost[allowed], value[allowed])])
        all_costs = (cost[allowed, None] + front.costs).ravel()
        all_values = (value[allowed, None] + front.values).ravel()
        stays = undominated(all_costs, all_values)
        which, behind = np.divmod(stays, max(1, len(front.costs)))
        found.append(_Front(all_costs[stays], all_values[stays], allowed[which], behind))
    if len(found) == 1:
        return found[0]
    both = [np.concatenate(parts) for parts in zip(*found)]
    order = np.argsort(both[2], kind='stable')  # of equals the lower choice comes first
    order = order[undominated(both[0][order], both[1][order])]
    return _Front(*(part[order] for part in both))


def best_sums(
    values: Sequence[np.ndarray],
    costs: Mapping[str, Sequence[np.ndarray]],
    bounds: Bounds,
    max_steps: int = 1_000_000,
    groups: Sequence[np.ndarray] | None = None,
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """All ways to choose within the bounds, the best sum of values first.

    Exact: places are filled from the first on, always going on from the partial sum that can
    still become the best, by the fronts of :func:`pareto_merge` for what is left of each bound.

    Args:
        values (Sequence[ndarray]): Of each place, (choices,); -inf is never chosen.
        costs (Mapping[str, Sequence[ndarray]]): Tables of each cost that has bounds, as values.
        bounds (Mapping): (low, high) on the sum of each, both included; None leaves one open.
        max_steps (int): Partial sums to go on from, 50 us each, 1 ms where a place has 10,000
            choices, before it gives up.
        groups (Sequence[ndarray], optional): Of each place, (choices,): an integer from 0 on for
            each choice, such as the width that it puts out. Any table of a place may then be
            (groups of the place before, choices): what comes in changes what a choice costs.

    Yields:
        tuple[float, tuple[int, ...]]: The sum of values, and the choice of each place. Equal
        sums come in the order of their choices.

    Raises:
        ValueError: After ``max_steps``, which only bounds on several costs that hardly anything
            meets together take.
    """
    groups = _one_group(values) if groups is None else groups
    limits = []  # of each bound: limit, tables, fronts; sums may not exceed the limit
    sides = []  # the same, without the fronts
    for key, (low, high) in bounds.items():
        for sign, limit in ((1, high), (-1, low)):
            if limit is not None:
                table = [sign * np.atleast_2d(np.asarray(c, dtype=float)) for c in costs[key]]
                # Sums in another order differ in the last digits.
                slack = 1e-9 * max(1.0, abs(limit))
                sides.append((sign * limit + slack, table))
    values = [np.atleast_2d(value) for value in values]
    for limit, table in [*sides, *_joint_limit(values, sides, groups)]:
        limits.append((limit, table, _chain_fronts(values, table, groups)))
    no_costs = [np.zeros(len(group)) for group in groups]
    unbounded = [
        np.array([front.values.max(initial=-np.inf) for front in fronts])
        for fronts in _chain_fronts(values, no_costs, groups)
    ]

    def next_choices(
        chosen: tuple[int, ...], total: float, used: Sequence[float], skip: int = 0
    ) -> _Choices:
        """At the next place, by the most that each can still become."""
        place, before = len(chosen), int(groups[len(chosen) - 1][chosen[-1]]) if chosen else 0
        value = values[place][min(before, len(values[place]) - 1)]
        most = np.where(np.isfinite(value), unbounded[place + 1][groups[place]], -np.inf)
        for spent, (limit, tables, fronts) in zip(used, limits):
            left = limit - spent - tables[place][min(before, len(tables[place]) - 1)]
            ceiling = np.empty(len(left))
            for g, front in enumerate(fronts[place + 1]):
                behind = groups[place] == g
                reached = np.searchsorted(front.costs, left[behind], side='right')
                ceiling[behind] = np.concatenate(([-np.inf], front.values))[reached]
            np.minimum(most, ceiling, out=most)
        possible = np.flatnonzero(most > -np.inf)
        most = total + value[possible] + most[possible]
        order = np.argsort(-most, kind='stable')[skip : skip + _AT_ONCE]
        return _Choices(chosen, total, used, possible[order], most[order], skip)

    heap, steps = [], itertools.count(1)
    next_choices((), 0.0, (0.0,) * len(limits)).push(heap, 0)
    while heap:
        if next(steps) > max_steps:
            raise ValueError(
                f'the bounds {dict(bounds)} are so tight together that the best choice within '
                f'them was not found in {max_steps:,} steps; widen one of them'
            )
        _, chosen, choices, rank = heapq.heappop(heap)
        before, total, used = choices.chosen, choices.total, choices.used
        if rank + 1 == _AT_ONCE:
            next_choices(before, total, used, choices.skip + _AT_ONCE).push(heap, 0)
        else:
            choices.push(heap, rank + 1)
        place, choice = len(before), chosen[-1]
        group = int(groups[place - 1][before[-1]]) if before else 0
        total += float(values[place][min(group, len(values[place]) - 1), choice])
        if len(chosen) == len(values):
            yield total, chosen
            continue
        used = tuple(
            spent + float(tables[place][min(group, len(tables[place]) - 1), choice])
            for spent, (_, tables, _) in zip(used, limits)
        )
        next_choices(chosen, total, used).push(heap, 0)


_AT_ONCE = 64  # what is kept of many thousands of choices; few of them are ever asked for


class _Choices(NamedTuple):
    """Choices behind those ``chosen``, the best first; only the next one of them is in the heap."""

    chosen: tuple[int, ...]
    total: float
    used: Sequence[float]
    order: np.ndarray
    most: np.ndarray
    skip: int

    def push(self, heap: list[tuple], rank: int) -> None:
        if rank < len(self.order):
            entry = (*self.chosen, int(self.order[rank]))
            heapq.heappush(heap, (-float(self.most[rank]), entry, self, rank))


def _joint_limit(
    values: Sequence[np.ndarray],
    sides: Sequence[tuple[float, list[np.ndarray]]],
    groups: Sequence[np.ndarray],
    steps: int = 200,
) -> Iterator[tuple[float, list[np.ndarray]]]:
    """What several bounds say together: the weighted sum of all that is the hardest to meet.

    It excludes nothing more, but tells early what they cannot reach at once, where each alone
    can: few MACs and many parameters. Without it such a search may take hours. The weights are
    the bounds' prices, those of the Lagrangian's least maximum, by subgradient steps; whatever
    they are, the sum is a bound.
    """
    spreads = [sum(np.ptp(table) for table in tables) for _, tables in sides]
    sides = [
        (limit / spread, [table / spread for table in tables])
        for (limit, tables), spread in zip(sides, spreads)
        if spread
    ]
    values = [np.where(np.isfinite(value), value, -np.inf) for value in values]
    if len(sides) < 2 or any(value.max(initial=-np.inf) == -np.inf for value in values):
        return
    counts = _group_counts(groups)
    height = sum(np.ptp(value[np.isfinite(value)]) for value in values) or 1.0
    prices, least, best = np.zeros(len(sides)), np.inf, np.zeros(len(sides))
    for step in range(1, steps + 1):
        # The best way to choose where what exceeds a bound has its price.
        ahead, picks = np.zeros(counts[-1]), []
        for i in reversed(range(len(values))):
            spent = sum(price * tables[i] for price, (_, tables) in zip(prices, sides))
            worth = np.broadcast_to(
                values[i] + ahead[groups[i]] - spent, (counts[i], len(groups[i]))
            )
            picks.append(worth.argmax(axis=1))
            ahead = worth.max(axis=1)
        if ahead[0] == -np.inf:
            return
        over, group = np.array([-limit for limit, _ in sides]), 0
        for i, pick in enumerate(reversed(picks)):
            choice = pick[group]
            over += [tables[i][min(group, len(tables[i]) - 1), choice] for _, tables in sides]
            group = int(groups[i][choice])
        most = ahead[0] + sum(price * limit for price, (limit, _) in zip(prices, sides))
        if most < least:
            least, best = most, prices
        if not over.any():
            break
        prices = np.maximum(0, prices + height / step**0.5 * over / np.abs(over).max())
    if np.count_nonzero(best) < 2:
        return
    shares = best / best.sum()
    limit = sum(share * limit for share, (limit, _) in zip(shares, sides))
    slack = 1e-9 * max(1.0, *(abs(limit) for limit, _ in sides))
    tables = [sum(s * t[i] for s, (_, t) in zip(shares, sides)) for i in range(len(values))]
    yield limit + slack, tables


def unit_tables(costs: CostTable, names: Iterable[str]) -> dict[str, list[np.ndarray]]:
    """Of each cost, e.g. ``'macs_m'``, what every choice adds: an array for each position."""
    units = [[c.in_units() for c in costs.choice_costs(i)] for i in range(len(costs.space.sizes))]
    return {
        name: [np.array([unit[name] for unit in choices]) for choices in units] for name in names
    }


class PathEffects(Protocol):
    """What each choice adds to the score of a path, as :class:`MainEffects` knows it."""

    def weight(self, key: tuple[int, int, int]) -> float:
        """What (stage, layer, choice) adds; -inf excludes it."""

    def predict(self, archs: Sequence[Arch]) -> np.ndarray:
        """Sum of each path, (n,)."""


def best_paths(effects: PathEffects, space: Space, budget: Budget) -> Iterator[tuple[float, Arch]]:
    """Full-depth paths within a budget, the best sum of effects first.

    Exact, and lazy: the first path of a space of 10**15 takes milliseconds. Of equal sums (to
    1e-9 of the spread of effects) the cheaper comes first. A choice that no fitted path had is
    in none. Networks that are the same by ``space.canonical`` may follow each other; what no search
    proposes (:meth:`Space.proposes`) is left out. Where costs add up once the last choices are
    known (:meth:`CostModel.tables_by_end`), as those at several input sizes do, there is a join for
    each of these, and their paths are merged. Where they do not add up at all, all paths are gone
    through in the order of their sums.

    Args:
        effects (PathEffects): What each choice adds.
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
    tables = budget.cost_model.tables_by_end()
    joins = [_join(values, budget, end, table, tables) for end, table in tables]
    sums = heapq.merge(*joins, key=lambda item: -item[0]) if tables else best_sums(values, {}, {})
    for _, flat in sums:
        arch = space.decode(list(flat))
        # The budget to the last digit, and where there is no table.
        if space.proposes(arch) and budget.is_feasible(arch):
            yield float(effects.predict([arch])[0]), arch


def _join(
    values: Sequence[np.ndarray],
    budget: Budget,
    end: tuple[int, ...],
    table: CostTable,
    tables: Sequence[tuple[tuple[int, ...], CostTable]],
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """All choices with this end within a budget, the best sum of values first."""
    finite = [v[np.isfinite(v)] for v in values]
    price = 1e-9 * (max((np.ptp(v) for v in finite if len(v)), default=0.0) or 1.0)
    price /= max(one.extremes()[1]['macs_m'] for _, one in tables) or 1.0
    places_left, fixed = len(values) - len(end), table.fixed.in_units()
    last = sum(v[c] for v, c in zip(values[places_left:], end)) - price * fixed['macs_m']
    if not np.isfinite(last):
        return
    costs = unit_tables(table, {'macs_m', *budget.bounds})
    ordered = [v - price * macs for v, macs in zip(values, costs['macs_m'])]
    bounds = {
        key: tuple(None if side is None else side - fixed[key] for side in bound)
        for key, bound in budget.bounds.items()
    }
    for total, flat in best_sums(ordered, costs, bounds):
        yield total + last, (*flat, *end)
