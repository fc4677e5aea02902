import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from cream_mm.costs import Budget, build_cost_model
from cream_mm.registry import TASK_UTILS
from cream_mm.search import PathSampler
from cream_mm.spaces import MBConvSpace
from cream_mm.testing import ToySpace, tiny_space

PRIOR = (0.05, 0.2, 0.05, 0.5, 0.05, 0.15)
GOLDEN_DRAWS = [
    '[[0],[1,3,3,3],[3,3,3,4],[5,1,3,1],[3,3,3,3],[3,3,5,1],[0]]',
    '[[0],[4,3,5,3],[5,0,3,3],[1,3,2,3],[3,1,5,3],[3,1,3,3],[0]]',
    '[[0],[3,1,3,3],[5,1,4,5],[3,5,3,3],[5,1,3,3],[1,5,3,3],[0]]',
]


def sampler_of(space, size, *, bounds=None, **kwargs):
    return PathSampler(space, Budget(build_cost_model(space, size), **(bounds or {})), **kwargs)


def costs_of(space, size):
    """MACs in millions of every full-depth architecture."""
    model = build_cost_model(space, size)
    flats = itertools.product(range(len(space.choices)), repeat=space.num_layers)
    archs = [space.decode(flat) for flat in flats]
    return {arch: model.cost(arch).in_units()['macs_m'] for arch in archs}


# --- draws ---


def test_is_a_pure_function_of_seed_and_step():
    space = MBConvSpace()
    sampler = sampler_of(space, 224, seed=3, bounds=dict(macs_m=(300, 400)))
    paths = [sampler.sample(step) for step in range(40)]
    again = sampler_of(space, 224, seed=3, bounds=dict(macs_m=(300, 400)))
    order = np.random.default_rng(0).permutation(40)
    np.random.seed(1)  # the global generator plays no part
    assert {step: again.sample(step) for step in order} == dict(enumerate(paths))
    assert len(set(paths)) == 40  # steps differ
    other = sampler_of(space, 224, seed=4, bounds=dict(macs_m=(300, 400)))
    assert not any(other.sample(step) == path for step, path in enumerate(paths))


def test_golden_draws():
    """Runs are resumed by (seed, step): a change here changes every resumed search."""
    sampler = sampler_of(MBConvSpace(), 224, seed=0, op_prob=PRIOR)
    assert [str(sampler.sample(step)) for step in (0, 1, 2**40)] == GOLDEN_DRAWS


@pytest.mark.parametrize('op_prob', [PRIOR, None], ids=['prior', 'uniform'])
def test_frequencies_match_op_prob(op_prob):
    sampler = sampler_of(MBConvSpace(), 224, op_prob=op_prob)
    flats = np.array([sampler.space.encode(sampler.sample(step)) for step in range(600)])
    expected = np.full(6, 1 / 6) if op_prob is None else np.array(op_prob)
    assert chisquare(np.bincount(flats.ravel(), minlength=6), expected * flats.size).pvalue > 0.01
    per_layer = [
        chisquare(np.bincount(column, minlength=6), expected * 600).pvalue for column in flats.T
    ]
    assert min(per_layer) > 0.01 / 20
    # Neighbouring layers are independent.
    pairs = Counter(zip(flats[:, :-1].ravel().tolist(), flats[:, 1:].ravel().tolist(), strict=True))
    both = np.outer(expected, expected) * flats[:, 1:].size
    observed = [[pairs[a, b] for b in range(6)] for a in range(6)]
    assert chisquare(np.ravel(observed), both.ravel()).pvalue > 0.01


def test_op_prob_need_not_sum_to_one():
    weights = [2, 8, 2, 20, 2, 6]
    scaled = sampler_of(MBConvSpace(), 224, op_prob=weights)
    plain = sampler_of(MBConvSpace(), 224, op_prob=np.array(weights) / 40)
    assert [scaled.sample(i) for i in range(10)] == [plain.sample(i) for i in range(10)]


@pytest.mark.parametrize('op_prob', [(0.5, 0.5), (1,) * 7, (1, 1, 1, 1, 1, -1), (0,) * 6], ids=str)
def test_op_prob_that_does_not_fit(op_prob):
    with pytest.raises(ValueError, match='op_prob needs 6 weights >= 0'):
        sampler_of(MBConvSpace(), 224, op_prob=op_prob)


def test_is_registered():
    space = tiny_space()
    budget = Budget(build_cost_model(space, 8))
    sampler = TASK_UTILS.build(dict(type='cream_mm.PathSampler', space=space, budget=budget))
    assert isinstance(sampler, PathSampler)


# --- budgets ---


@pytest.mark.parametrize('share', [1.0, 0.5, 0.2])
def test_a_wide_budget_is_obeyed_and_covered(share):
    space = tiny_space()
    costs = costs_of(space, 8)
    values = sorted(costs.values())
    margin = int((1 - share) / 2 * len(values))
    low, high = values[margin], values[len(values) - 1 - margin]
    inside = {arch for arch, cost in costs.items() if low <= cost <= high}
    sampler = sampler_of(space, 8, bounds=dict(macs_m=(low, high)))
    drawn = Counter(sampler.sample(step) for step in range(40 * len(inside)))
    assert set(drawn) == inside
    # Rejection keeps the draws uniform on what is left.
    assert chisquare([drawn[arch] for arch in inside]).pvalue > 0.01


def test_a_budget_of_a_single_value_is_met():
    space = tiny_space()
    costs = costs_of(space, 8)
    for value in set(costs.values()):
        inside = {arch for arch, cost in costs.items() if cost == value}
        sampler = sampler_of(space, 8, bounds=dict(macs_m=(value, value)))
        assert {sampler.sample(step) for step in range(10)} <= inside


def test_repair_finds_a_lone_path():
    """Ranges that hold a single cost, met by repair alone, from wherever the draw started."""
    space = tiny_space(depths=(3, 2))
    costs = costs_of(space, 8)
    values = sorted(set(costs.values()))
    for value in values[:: max(1, len(values) // 25)]:
        bounds = dict(macs_m=(value - 1e-9, value + 1e-9))
        sampler = sampler_of(space, 8, bounds=bounds, max_draws=1)
        for step in range(4):
            assert costs[sampler.sample(step)] == value


def test_tight_ranges_of_the_full_space():
    space = MBConvSpace()
    for low, high in [(286, 290), (400, 401), (540, 600), (0, 285)]:
        sampler = sampler_of(space, 224, bounds=dict(macs_m=(low, high)), op_prob=PRIOR)
        macs = {sampler.budget.cost_model.cost(sampler.sample(i)).macs / 1e6 for i in range(10)}
        assert all(low <= value <= high for value in macs)
        assert len(macs) > 1


def test_two_budgets_at_once():
    space = MBConvSpace()
    bounds = dict(macs_m=(380, 381), params_m=(None, 5.9))
    sampler = sampler_of(space, 224, bounds=bounds)
    for step in range(5):
        cost = sampler.budget.cost_model.cost(sampler.sample(step))
        assert 380e6 <= cost.macs <= 381e6 and cost.params <= 5.9e6


def test_a_range_between_attainable_values_is_an_error():
    space = tiny_space()
    values = sorted(set(costs_of(space, 8).values()))
    gap = max(range(len(values) - 1), key=lambda i: values[i + 1] - values[i])
    low, high = values[gap] + 1e-6, values[gap + 1] - 1e-6
    assert low < high
    sampler = sampler_of(space, 8, bounds=dict(macs_m=(low, high)))
    with pytest.raises(ValueError, match='found no path with macs_m in') as error:
        sampler.sample(0)
    message = str(error.value)
    assert 'Widen the budget' in message
    assert any(f"'macs_m': {value}" in message for value in (values[gap], values[gap + 1]))


def test_a_prior_needs_as_many_choices_everywhere():
    space = ToySpace()
    with pytest.raises(ValueError, match='the same choices at every .* has 2 to 4 of them'):
        sampler_of(space, 8, op_prob=[1, 2])


def test_has_no_state_but_seed_and_step():
    sampler = sampler_of(tiny_space(), 8)
    assert sampler.state_dict() == {}
    with pytest.raises(ValueError, match="PathSampler has no state; got .'pool'"):
        sampler.load_state_dict(dict(pool=[]))


def test_paths_outside_of_the_budget_are_drawn_on_request():
    space, bounds = tiny_space(), dict(macs_m=(0, 1.65))
    free = sampler_of(space, 8, bounds=bounds, within_budget=False)
    assert [free.sample(i) for i in range(40)] == [
        sampler_of(space, 8).sample(i) for i in range(40)
    ]
    budget = Budget(build_cost_model(space, 8), **bounds)
    inside = [budget.is_feasible(free.sample(i)) for i in range(40)]
    assert any(inside) and not all(inside)
    held = sampler_of(space, 8, bounds=bounds)
    assert all(budget.is_feasible(held.sample(i)) for i in range(40))
