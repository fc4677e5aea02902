from collections import Counter

import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import FairPathSampler
from cream_mm.spaces import MBConvSpace
from cream_mm.testing import ToySpace


def make(seed=0, **bounds):
    space = MBConvSpace.build('nas_bench_macro')
    return FairPathSampler(space, Budget(build_cost_model(space, 32), **bounds), seed=seed)


def test_every_round_trains_every_choice_once():
    sampler = make()
    for round_ in range(50):
        rows = [sampler.space.encode(sampler.sample(3 * round_ + turn)) for turn in range(3)]
        assert all(sorted(column) == [0, 1, 2] for column in zip(*rows, strict=True))


def test_layers_are_shuffled_on_their_own():
    sampler = make()
    pairs = Counter(tuple(sampler.space.encode(sampler.sample(i))[:2]) for i in range(9000))
    assert len(pairs) == 9 and all(800 < n < 1200 for n in pairs.values())  # 1000 expected
    firsts = [sampler.space.encode(sampler.sample(3 * i))[0] for i in range(3000)]
    assert all(850 < n < 1150 for n in Counter(firsts).values())


def test_is_a_function_of_seed_and_step():
    draws = [make(seed=1).sample(i) for i in (7, 3, 7)]
    assert draws[0] == draws[2] != draws[1]
    assert [make(seed=2).sample(i) for i in range(30)] != [
        make(seed=1).sample(i) for i in range(30)
    ]


def test_every_choice_is_trained_whatever_the_budget():
    """It is the answer's: the rounds leave no room for one."""
    tight = make(macs_m=(10, 30))
    assert [tight.sample(i) for i in range(30)] == [make().sample(i) for i in range(30)]
    space, budget = tight.space, Budget(build_cost_model(tight.space, 32), macs_m=(10, 30))
    assert not all(budget.is_feasible(tight.sample(i)) for i in range(30))
    for wrong in (dict(within_budget=True), dict(op_prob=(1, 1, 1))):
        with pytest.raises(ValueError, match='neither a budget nor op_prob'):
            FairPathSampler(space, budget, **wrong)


def test_where_positions_differ_a_round_is_their_least_common_multiple():
    space = ToySpace()  # 2, 3 and 4 choices
    sampler = FairPathSampler(space, Budget(build_cost_model(space, 1)))
    assert sampler.round_length == 12
    firsts = set()
    for round_ in range(10):
        rows = [space.encode(sampler.sample(12 * round_ + turn)) for turn in range(12)]
        for size, column in zip(space.sizes, zip(*rows), strict=True):
            assert Counter(column) == dict.fromkeys(range(size), 12 // size)
        firsts.add(tuple(rows[0]))
    assert len(firsts) > 3
