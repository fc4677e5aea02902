import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import CostPathSampler, PathSampler
from cream_mm.spaces import ElasticSpace
from cream_mm.testing import ToySpace, tiny_space

FULL = [[0], [2, 2], [5, 5], [2] * 3, [5] * 3, [5] * 4, [2], [0]]


def places(sampler, number=400):
    """Where the costs of paths lie between the least (0) and the most (1) of the space."""
    costs = sampler.budget.cost_model
    low, high = (end['macs_m'] for end in costs.extremes())
    archs = [sampler.sample(step) for step in range(number)]
    return archs, np.array([(costs.cost(a).macs / 1e6 - low) / (high - low) for a in archs])


@pytest.mark.parametrize('sizes', [(), (128, 96)])
def test_paths_of_all_costs_are_drawn(sizes):
    """Nine tenths of the paths: three quarters of the range, less than half where uniform."""
    space = ElasticSpace('lite0', FULL, input_sizes=sizes)
    budget = Budget(build_cost_model(space, 128, 10))
    archs, spread = places(CostPathSampler(space, budget))
    _, uniform = places(PathSampler(space, budget))
    low, high = np.quantile(spread, (0.05, 0.95))
    assert low < 0.12 and high > 0.8 and np.ptp(spread) > 0.9
    assert np.ptp(np.quantile(uniform, (0.05, 0.95))) < 0.5
    if sizes:
        assert 150 < sum(arch.stages[-1] == (0,) for arch in archs) < 250
    assert min(map(space.count_layers, archs)) < 8  # few layers, too


def test_costs_are_even_where_choices_are_fine():
    space = tiny_space(choices=[(3, e) for e in range(1, 13)], depths=(6, 6))
    _, found = places(CostPathSampler(space, Budget(build_cost_model(space, 8, 10))), 1000)
    share, _ = np.histogram(found, bins=5, range=(0, 1))
    assert share.min() > 150  # 200 were it exact


def test_the_range_is_that_of_the_budget():
    space = ElasticSpace('lite0', FULL, input_sizes=(128, 96))
    budget = Budget(build_cost_model(space, 128, 10), macs_m=(80, 110))
    sampler = CostPathSampler(space, budget)
    archs, _ = places(sampler, 100)
    costs = [budget.cost_model.cost(arch).macs / 1e6 for arch in archs]
    assert 80 <= min(costs) < 85 and 105 < max(costs) <= 110
    assert {arch.stages[-1] for arch in archs} == {(0,)}  # 96 px cost less than 80 M
    _, found = places(CostPathSampler(space, budget, within_budget=False), 100)
    assert np.ptp(found) > 0.7


def test_costs_have_to_add_up():
    space = ToySpace(cuts=True)
    with pytest.raises(ValueError, match='do not add up.*take PathSampler'):
        CostPathSampler(space, Budget(build_cost_model(space, 4)))
