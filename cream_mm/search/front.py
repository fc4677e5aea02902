"""Steps through a budget's range, and the ends of a space: what a set of answers is made of."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from ..costs import Budget, CostTable
from ..structures import Arch
from .pareto_merge import best_sums

NUM_STEPS = 8


def budget_steps(budget: Budget, num_steps: int = NUM_STEPS) -> list[tuple[float, Budget]]:
    """The budget with its upper bound lowered in equal steps through its range.

    The cost is the first that has bounds, ``macs_m`` without any; an open end of its range is that
    of the space. Where the cost model does not know that one, there are no steps.

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
    """The cost that steps go through: the first that has bounds, else ``macs_m``."""
    return next(iter(budget.bounds), 'macs_m')


def ends(budget: Budget) -> Iterator[Arch]:
    """The cheapest and the costliest path within a budget, by :func:`front_cost`.

    They are found where costs add up; else there are none.
    """
    if not isinstance(budget.cost_model, CostTable):
        return
    space, costs, key = budget.cost_model.space, budget.cost_model, front_cost(budget)
    tables = [costs.choice_costs(position) for position in range(len(space.sizes))]
    fixed = costs.fixed.in_units()
    values, bounds = {}, {}
    for name in {key, *budget.bounds}:
        values[name] = [np.array([c.in_units()[name] for c in table]) for table in tables]
    for name, bound in budget.bounds.items():
        bounds[name] = tuple(None if side is None else side - fixed[name] for side in bound)
    for sign in (-1, 1):
        scores = [sign * table for table in values[key]]
        limited = {name: values[name] for name in bounds}
        paths = (space.decode(list(flat)) for _, flat in best_sums(scores, limited, bounds))
        # Feasible to the last digit: sums in another order differ there.
        yield from islice((arch for arch in paths if budget.is_feasible(arch)), 1)
