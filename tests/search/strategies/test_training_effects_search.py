"""Paths in the order of the sums of known effects."""

import itertools

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import MainEffects
from cream_mm.search.strategies.training_effects_search import TrainingEffectsSearch
from cream_mm.testing import tiny_space

SPACE = tiny_space()
COSTS = build_cost_model(SPACE, 8, num_classes=3, head_channels=16)
ARCHS = [SPACE.decode(list(flat)) for flat in itertools.product((0, 1), repeat=4)]
MACS = {arch: COSTS.cost(arch).macs / 1e6 for arch in ARCHS}
GAIN = np.array([1.0, -2.0, 4.0, 0.5])  # of choice 1 over choice 0, position by position


def value(arch):
    return float(GAIN @ np.array(SPACE.encode(arch)))


def known(archs, scores):
    return MainEffects(archs, np.array(scores))


@pytest.mark.parametrize('batch', [1, 3, 16])
def test_the_order_is_that_of_the_sums(batch):
    budget = Budget(COSTS, macs_m=(None, sorted(MACS.values())[11]))
    effects = known(ARCHS, [value(arch) for arch in ARCHS])
    strategy = TrainingEffectsSearch(SPACE, budget, known=effects)
    asked = []
    while archs := strategy.ask(batch):
        strategy.tell(archs, [0.0] * len(archs))  # ratings change nothing
        asked += archs
    inside = [arch for arch in ARCHS if budget.is_feasible(arch)]
    assert len(inside) < len(ARCHS)
    assert asked == sorted(inside, key=value, reverse=True)


def test_effects_that_tell_nothing_are_refused():
    rng = np.random.default_rng(0)
    noise = known(ARCHS * 20, rng.normal(size=320))
    with pytest.raises(ValueError, match='do not tell which choices are better'):
        TrainingEffectsSearch(SPACE, Budget(COSTS), known=noise)
    few = known(ARCHS[:6], [value(arch) for arch in ARCHS[:6]])
    with pytest.raises(ValueError, match='has 6 steps to learn from, too few for .*two for each'):
        TrainingEffectsSearch(SPACE, Budget(COSTS), known=few)
