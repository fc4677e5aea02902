"""Steps through a budget's range, and the ends of a space: what a set of answers is made of."""

import itertools
import math
from itertools import islice

import numpy as np

from ..costs import Budget, CostTable
from ..structures import Arch
from ..structures.randomness import named_rng
from .pareto_merge import best_sums, unit_tables
from .path_sampler import PathSampler

NUM_STEPS = 8
MAX_LISTED = 20_000  # architectures that are gone through one by one
NUM_CLIMBS, PATIENCE = 3, 30  # from different paths; changes in vain, for each position
GRID = 2**14  # steps of a space's range, where its ends within bounds are sought


def budget_steps(budget: Budget, num_steps: int = NUM_STEPS) -> list[tuple[float, Budget]]:
    """The budget with its upper bound lowered in equal steps through its range.

    The cost is that of :func:`front_cost`; an open end of its range is that of the space. Where
    the cost model does not know that one, there are no steps.

    Returns:
        list[tuple[float, Budget]]: Upper bound and budget of each step, the tightest first; the
        last is the budget itself. Steps that no path of the space can meet are left out.
    """
    key, known = front_cost(budget), budget.cost_model.extremes()
    low, high = bottom, top = budget.bounds.get(key, (None, None))
    if known is not None:
        smallest, largest = (side[key] for side in known)
        bottom = smallest if low is None else max(low, smallest)
        top = largest if high is None else min(high, largest)
    if bottom is None or top is None:
        return []
    steps = []
    for i in range(1, num_steps + 1):
        bound = bottom + (top - bottom) * i / num_steps
        try:
            steps.append((bound, Budget(budget.cost_model, **{**budget.bounds, key: (low, bound)})))
        except ValueError:
            continue  # nothing of the space is that cheap
    return steps


def front_cost(budget: Budget) -> str:
    """The cost that steps go through: time where it has bounds, else the first that has some, else
    ``macs_m``."""
    if 'latency_ms' in budget.bounds:
        return 'latency_ms'
    return next(iter(budget.bounds), 'macs_m')


def ends(budget: Budget) -> list[Arch]:
    """The cheapest and the costliest path within a budget, by :func:`front_cost`.

    Of those that a search would propose (:meth:`Space.proposes`): what cannot be trained is no
    reference.

    Exact in spaces of up to ``MAX_LISTED`` architectures, and where the bounds do not bind. Else
    to about a thousandth of the space's range: which of 6**20 sums comes closest to a bound is a
    knapsack problem, whose exact solution takes gigabytes. Where costs do not add up, they are what
    climbing leads to, to a few percent of the range.

    Returns:
        list[Arch]: Both; empty where a space's costs have no known extremes, or no path was found.
    """
    costs, key = budget.cost_model, front_cost(budget)
    space = costs.space
    if not costs.tables_by_end():
        found = [] if costs.extremes() is None else [_climb(budget, key, s) for s in (-1, 1)]
        return [] if None in found else found
    if math.prod(space.sizes) <= MAX_LISTED:
        archs = (space.decode(flat) for flat in itertools.product(*map(range, space.sizes)))
        inside = {a: costs.cost(a).in_units()[key] for a in archs if _is_allowed(a, budget)}
        return [pick(inside, key=inside.get) for pick in (min, max)] if inside else []
    found = [_end(budget, key, sign) for sign in (-1, 1)]
    return [] if None in found else found


def _is_allowed(arch: Arch, budget: Budget) -> bool:
    return budget.is_feasible(arch) and budget.cost_model.space.proposes(arch)


def _end(budget: Budget, key: str, sign: int) -> Arch | None:
    """The cheapest path (``sign`` -1) or the costliest (1) of a large space."""
    costs = budget.cost_model
    found = [_end_of_table(budget, key, sign, *part) for part in costs.tables_by_end()]
    found = [arch for arch in found if arch is not None]
    return max(found, key=lambda arch: sign * costs.cost(arch).in_units()[key], default=None)


def _end_of_table(
    budget: Budget, key: str, sign: int, end: tuple[int, ...], table: CostTable
) -> Arch | None:
    """The same of the paths that end with these choices."""
    space = budget.cost_model.space
    tables = unit_tables(table, {key, *budget.bounds})
    scores = [sign * values for values in tables[key]]
    free = space.decode([*(int(score.argmax()) for score in scores), *end])
    if _is_allowed(free, budget):
        return free
    fixed, grids, limits = table.fixed.in_units(), {}, {}
    for name, (low, high) in budget.bounds.items():
        for side, limit in ((-1, low), (1, high)):
            # Of the cost itself only the bound on the far side excludes what is sought.
            if limit is not None and (name != key or side == sign):
                grid, limit = _on_grid(tables[name], side, limit - fixed[name])
                grids[name, side] = grid
                limits[name, side] = (None, limit) if side == 1 else (limit, None)
    try:
        paths = (space.decode([*flat, *end]) for _, flat in best_sums(scores, grids, limits))
        return next((arch for arch in islice(paths, 100) if _is_allowed(arch, budget)), None)
    except ValueError:  # bounds on several costs that hardly anything meets together
        return None


def _climb(budget: Budget, key: str, sign: int) -> Arch | None:
    """The cheapest path (``sign`` -1) or the costliest (1) that changes of few choices lead to."""
    costs, space = budget.cost_model, budget.cost_model.space
    found: dict[Arch, float] = {}
    for start in range(NUM_CLIMBS):
        rng = named_rng('ends', start, sign + 1)
        try:
            arch = PathSampler(space, budget, seed=start).sample(0)
        except ValueError:  # no path within the budget could be found
            return None
        value, idle = sign * costs.cost(arch).in_units()[key], 0
        while idle < PATIENCE * len(space.sizes):
            other = arch
            for _ in range(rng.geometric(0.5)):
                other = space.mutate(other, rng)
            higher = sign * costs.cost(other).in_units()[key]
            idle += 1
            if higher >= value and _is_allowed(other, budget):
                idle = 0 if higher > value else idle
                arch, value = other, higher
        found[arch] = value
    return max(found, key=found.get)


def _on_grid(tables: list[np.ndarray], side: int, limit: float) -> tuple[list[np.ndarray], float]:
    """Costs in whole steps of a grid, and the limit in them; few sums are then different.

    Rounded up where the limit is an upper one (``side`` 1), down where it is a lower one (-1), so
    that what keeps to it there keeps to it.
    """
    step = sum(np.ptp(table) for table in tables) / GRID or 1.0
    rounded = np.ceil if side == 1 else np.floor
    grid = [rounded((table - table.min()) / step - side * 1e-9) for table in tables]
    return grid, (limit - sum(table.min() for table in tables)) / step
