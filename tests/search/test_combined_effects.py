import itertools

import numpy as np
import pytest

from cream_mm.costs import build_cost_model
from cream_mm.search.combined_effects import combined_effects, cost_effects
from cream_mm.search.main_effects import places
from cream_mm.testing import ToySpace, tiny_elastic

SPACE = tiny_elastic()
COSTS = build_cost_model(SPACE, 8, 10)
PLACES = places(SPACE.full_path)


def drawn(number, seed):
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(number)]


def random_effects(seed):
    rng = np.random.default_rng(seed)
    return {
        (*place, choice): float(rng.normal())
        for place, size in zip(PLACES, SPACE.sizes)
        for choice in range(size)
    }


def total(effects, arch):
    flat = SPACE.encode(arch)
    return sum(effects.get((*place, choice), 0.0) for place, choice in zip(PLACES, flat))


def test_costs_of_choices_are_those_of_the_table():
    sizes = cost_effects(SPACE, COSTS)
    fixed = COSTS.tables[0].fixed.macs / 1e6
    for arch in drawn(20, 0):
        large = SPACE.decode([*SPACE.encode(arch)[:-1], 0])
        assert total(sizes, arch) + fixed == pytest.approx(COSTS.cost(large).macs / 1e6)
    space = ToySpace(cuts=True)
    assert cost_effects(space, build_cost_model(space, 4)) == {}


def test_what_helps_is_used():
    archs, rng = drawn(16, 1), np.random.default_rng(2)
    training, sizes = random_effects(3), cost_effects(SPACE, COSTS)
    truth = [0.1 * total(training, a) + 2 * total(sizes, a) for a in archs]
    scores = np.array(truth) + rng.normal(scale=0.1 * np.std(truth), size=16)
    known = dict(training=training, size=sizes, other=random_effects(4))
    effects, used = combined_effects(archs, scores, known)
    assert set(used) >= {'training', 'size'}
    assert effects.factors[used.index('size')] == pytest.approx(2, abs=0.4)
    assert effects.loo_r2 > max(0.97, combined_effects(archs, scores, {}).effects.loo_r2)
    # It is the best of all subsets whose factors are positive.
    for number in range(4):
        for names in itertools.combinations(known, number):
            one = combined_effects(archs, scores, {name: known[name] for name in names})
            assert one.effects.loo_error >= effects.loo_error


def test_what_points_the_other_way_is_not_used():
    archs = drawn(30, 1)
    training = random_effects(3)
    scores = [-total(training, arch) for arch in archs]
    assert combined_effects(archs, scores, dict(training=training)).used == ()


def test_a_choice_that_no_rated_path_has_is_judged_by_what_is_known():
    training = random_effects(3)
    archs = [arch for arch in drawn(80, 1) if SPACE.encode(arch)[0] != 4]
    scores = [total(training, arch) for arch in archs]
    effects, used = combined_effects(archs, scores, dict(training=training))
    assert used == ('training',)
    gain = effects.weight((1, 0, 4)) - effects.weight((1, 0, 0))
    assert gain == pytest.approx(training[1, 0, 4] - training[1, 0, 0], abs=1e-3)
    assert combined_effects(archs, scores, {}).effects.weight((1, 0, 4)) == -np.inf
