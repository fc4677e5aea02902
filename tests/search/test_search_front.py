"""Steps through a budget and the ends of a space, against every path of it."""

import itertools

import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search.front import budget_steps, ends, front_cost
from cream_mm.testing import ToySpace, tiny_space

SPACE = tiny_space()
COSTS = build_cost_model(SPACE, 8, num_classes=3, head_channels=16)
ARCHS = [SPACE.decode(list(flat)) for flat in itertools.product((0, 1), repeat=4)]


def cost_of(arch, key='macs_m'):
    return COSTS.cost(arch).in_units()[key]


VALUES = sorted(map(cost_of, ARCHS))
PARAMS = sorted(cost_of(arch, 'params_m') for arch in ARCHS)


@pytest.mark.parametrize(
    ('bounds', 'key'),
    [
        ({}, 'macs_m'),
        (dict(macs_m=(VALUES[3], VALUES[9])), 'macs_m'),
        (dict(params_m=(None, PARAMS[11])), 'params_m'),
        (dict(params_m=(PARAMS[2], PARAMS[13]), macs_m=(None, VALUES[12])), 'params_m'),
        (dict(macs_m=(VALUES[5], VALUES[5])), 'macs_m'),
    ],
)
def test_ends_are_those_of_all_paths(bounds, key):
    budget = Budget(COSTS, **bounds)
    assert front_cost(budget) == key
    inside = [cost_of(arch, key) for arch in ARCHS if budget.is_feasible(arch)]
    found = list(ends(budget))
    assert all(budget.is_feasible(arch) for arch in found)
    assert [cost_of(arch, key) for arch in found] == pytest.approx([min(inside), max(inside)])


def test_steps_divide_the_range_of_the_budget():
    low, high = VALUES[2], VALUES[12]
    steps = budget_steps(Budget(COSTS, macs_m=(low, high), params_m=(None, PARAMS[-1])), 4)
    expected = [low + (high - low) * i / 4 for i in (1, 2, 3, 4)]
    assert [bound for bound, _ in steps] == pytest.approx(expected)
    for bound, budget in steps:
        assert budget.bounds == dict(macs_m=(low, bound), params_m=(None, PARAMS[-1]))


def test_open_ends_are_those_of_the_space():
    steps = budget_steps(Budget(COSTS), 2)
    assert [bound for bound, _ in steps] == pytest.approx(
        [(VALUES[0] + VALUES[-1]) / 2, VALUES[-1]]
    )
    # Bounds beyond the space are drawn in.
    wide = budget_steps(Budget(COSTS, macs_m=(VALUES[0] / 2, VALUES[-1] * 2)), 2)
    assert [bound for bound, _ in wide] == pytest.approx([bound for bound, _ in steps])


def test_where_costs_do_not_add_up_there_are_no_ends():
    """Steps are there as far as the budget says where they begin and end."""
    model = build_cost_model(ToySpace(cuts=True), 8)
    assert model.extremes() is None
    assert list(ends(Budget(model))) == [] and budget_steps(Budget(model)) == []
    steps = budget_steps(Budget(model, macs_m=(1.0, 2.0)), 2)
    assert [bound for bound, _ in steps] == [1.5, 2.0]
