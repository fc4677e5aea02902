"""Steps through a budget, and the cheapest and costliest path within one."""

import itertools

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import front
from cream_mm.search.front import budget_steps, ends
from cream_mm.spaces import build_space
from cream_mm.testing import ToySpace, tiny_elastic, tiny_space

LARGE = build_cost_model(build_space('cream'), 224, 1000)  # 6**20 paths


def macs(arch, model=LARGE):
    return model.cost(arch).in_units()['macs_m']


def brute_force(budget, key):
    space = budget.cost_model.space
    archs = [space.decode(flat) for flat in itertools.product(*map(range, space.sizes))]
    costs = [budget.cost_model.cost(a).in_units()[key] for a in archs if budget.is_feasible(a)]
    return min(costs), max(costs)


def budgets_of(model):
    """Budgets between quantiles of what the space has, of one and of two costs."""
    space = model.space
    archs = [space.decode(flat) for flat in itertools.product(*map(range, space.sizes))]
    units = [model.cost(arch).in_units() for arch in archs]
    for low, high in ((0, 1), (0.2, 0.7), (0.4, 0.9), (0.5, 0.6)):
        bounds = {
            key: tuple(np.quantile([unit[key] for unit in units], (low, high), method='nearest'))
            for key in ('macs_m', 'params_m')
        }
        yield Budget(model, macs_m=bounds['macs_m'])
        yield Budget(
            model, macs_m=(None, bounds['macs_m'][1]), params_m=(bounds['params_m'][0], None)
        )


@pytest.mark.parametrize(
    'space', [tiny_space(depths=(3, 3)), ToySpace(), tiny_elastic()], ids=['tiny', 'toy', 'elastic']
)
def test_ends_are_those_of_all_paths(space, monkeypatch):
    model = build_cost_model(space, 8)
    for budget in budgets_of(model):
        low, high = brute_force(budget, 'macs_m')
        assert [macs(arch, model) for arch in ends(budget)] == [low, high]
        # As in a large space: what a bound is met by to the last digit may be passed over.
        with monkeypatch.context() as patch:
            patch.setattr(front, 'MAX_LISTED', 0)
            found = ends(budget)
        assert all(budget.is_feasible(arch) for arch in found)
        if not any(bound[0] for bound in budget.bounds.values()):
            assert [macs(arch, model) for arch in found[:1]] == [low]


@pytest.mark.parametrize('bounds', [(0, 600), (300, 400), (None, 300), (390, 400), (545, None)])
def test_ends_of_a_large_space(bounds):
    """Within a second, and megabytes: all sums of 20 layers take more than a machine has."""
    budget = Budget(LARGE, macs_m=bounds)
    cheapest, costliest = ends(budget)
    smallest, largest = (end['macs_m'] for end in LARGE.extremes())
    low = max(smallest, bounds[0] or 0)
    high = min(largest, bounds[1] or np.inf)
    near = (largest - smallest) / 1000
    assert budget.is_feasible(cheapest) and macs(cheapest) == pytest.approx(low, abs=near)
    assert budget.is_feasible(costliest) and macs(costliest) == pytest.approx(high, abs=near)


def test_ends_within_bounds_on_two_costs():
    """No drawn path within both goes beyond them."""
    budget = Budget(LARGE, macs_m=(350, 400), params_m=(None, 6.0))
    cheapest, costliest = ends(budget)
    assert budget.is_feasible(cheapest) and budget.is_feasible(costliest)
    rng = np.random.default_rng(0)
    drawn = [LARGE.space.sample(rng) for _ in range(2000)]
    inside = [macs(arch) for arch in drawn if budget.is_feasible(arch)]
    near = 0.3  # M, a thousandth of the range
    assert len(inside) > 20
    assert macs(cheapest) <= min(inside) + near and macs(costliest) >= max(inside) - near


def test_no_ends_where_costs_do_not_add_up():
    assert ends(Budget(build_cost_model(ToySpace(cuts=True), 4))) == []


def test_steps():
    steps = budget_steps(Budget(LARGE, macs_m=(300, 400)), num_steps=4)
    assert [bound for bound, _ in steps] == [325, 350, 375, 400]
    assert [budget.bounds for _, budget in steps] == [
        dict(macs_m=(300, bound)) for bound in (325, 350, 375, 400)
    ]
    smallest, largest = (end['macs_m'] for end in LARGE.extremes())
    (bound, _), *_, (last, whole) = budget_steps(Budget(LARGE), num_steps=2)
    assert bound == pytest.approx((smallest + largest) / 2) and last == largest
    assert whole.bounds == dict(macs_m=(None, largest))
