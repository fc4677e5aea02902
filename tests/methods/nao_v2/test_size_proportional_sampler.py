"""The pool and its probabilities, in any space with costs."""

import json
from pathlib import Path

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.methods.nao_v2 import SizeProportionalSampler
from cream_mm.spaces import MBConvSpace, NAOSpace, NASBench201Space
from cream_mm.testing.contracts import SamplerContract


def make(space=None, bounds=None, **kwargs):
    space = space or MBConvSpace.build('nas_bench_macro')
    budget = Budget(build_cost_model(space, 32, 10), **(bounds or {}))
    return SizeProportionalSampler(space, budget, **kwargs)


class TestSizeProportionalSampler(SamplerContract):
    @pytest.fixture
    def make(self):
        space = MBConvSpace.build('nas_bench_macro')

        def make(seed=0):
            budget = Budget(build_cost_model(space, 32, 10), macs_m=(20, 60))
            return SizeProportionalSampler(space, budget, pool_size=50, seed=seed)

        return make


@pytest.mark.parametrize('cost', ['params_m', 'macs_m'])
def test_probabilities_are_shares_of_the_cost(cost):
    sampler = make(pool_size=40, proportional_to=cost)
    model = sampler.budget.cost_model
    sizes = np.array([model.cost(arch).in_units()[cost] for arch in sampler.pool])
    assert len(sizes) == 40
    np.testing.assert_allclose(sampler.probabilities, sizes / sizes.sum(), rtol=1e-14)
    drawn = [sampler.sample(step) for step in range(20_000)]
    counts = np.array([drawn.count(arch) for arch in sampler.pool])
    expected = sampler.probabilities * len(drawn)
    # Pearson's statistic of 39 degrees of freedom: above 72.1 once in a thousand times.
    assert ((counts - expected) ** 2 / expected).sum() < 72.1


def test_without_a_cost_all_are_alike():
    sampler = make(pool_size=8, proportional_to=None)
    np.testing.assert_array_equal(sampler.probabilities, np.full(8, 1 / 8))
    assert {sampler.sample(step) for step in range(200)} == set(sampler.pool)
    # The same pool, so that the two ways to draw can be compared.
    assert sampler.pool == make(pool_size=8).pool


def test_official_probabilities_are_float32():
    sampler, exact = make(pool_size=30, official=True), make(pool_size=30)
    sampler.set_pool(exact.pool)
    sizes = np.array(
        [exact.budget.cost_model.cost(arch).params / 1e6 for arch in exact.pool], np.float32
    )
    assert sampler.probabilities.dtype == np.float32
    np.testing.assert_array_equal(sampler.probabilities, sizes / sizes.sum())


def test_golden_probabilities():
    """Of ten networks of the released search's pool."""
    path = Path(__file__).parents[2] / 'data/nao/training.json'
    golden = json.loads(path.read_text())['sampling']
    for official in (False, True):
        sampler = make(NAOSpace(), pool_size=1, official=official)
        sampler.set_pool([sampler.space.parse(arch) for arch in golden['pool']])
        costs = sampler.budget.cost_model
        assert [costs.cost(arch).params for arch in sampler.pool] == golden['params']
        name = 'prob_float32_official' if official else 'prob_float64'
        found = sampler.probabilities.astype(float)
        np.testing.assert_allclose(found, golden[name], rtol=1e-7 if official else 1e-14)


def test_a_pool_has_no_network_twice_but_officially():
    space = NASBench201Space()
    small = dict(macs_m=(0, 12))  # few networks are so cheap
    sampler = make(space, small, pool_size=400)
    inside = [arch for arch in space.classes(trainable=True) if sampler.budget.is_feasible(arch)]
    assert set(sampler.pool) == set(inside) and len(sampler.pool) == len(inside) == 340
    official = make(space, small, pool_size=400, official=True)
    assert len(official.pool) == 400 and set(official.pool) <= set(inside)


def test_another_pool_travels_with_the_state():
    sampler = make(pool_size=20)
    sampler.set_pool(sampler.pool[:5])
    state = json.loads(json.dumps(sampler.state_dict()))
    other = make(pool_size=20)
    assert other.pool != sampler.pool
    other.load_state_dict(state)
    assert other.pool == sampler.pool
    assert [other.sample(i) for i in range(50)] == [sampler.sample(i) for i in range(50)]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(pool_size=0), 'pool_size is a whole number of at least 1; got 0'),
        (dict(pool_size=2.5), 'pool_size is a whole number of at least 1; got 2.5'),
        (dict(proportional_to='flops'), 'proportional_to is None or one of macs_m'),
        (dict(proportional_to='latency_ms', pool_size=2), 'there is no latency_ms here'),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_wrong_pools():
    sampler = make(pool_size=2)
    with pytest.raises(ValueError, match='a pool of no paths'):
        sampler.set_pool([])
    for state in ({}, None, dict(pool='0')):
        with pytest.raises(ValueError, match='has a "pool"'):
            sampler.load_state_dict(state)
    with pytest.raises(ValueError, match='not an architecture|layers'):
        sampler.load_state_dict(dict(pool=['x']))
