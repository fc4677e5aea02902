"""Exact joins against brute force."""

import itertools
import time

import numpy as np
import pytest
from made_latency import made_rows

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import MainEffects, best_paths, best_sums, pareto_merge
from cream_mm.spaces import ElasticSpace, MBConvSpace
from cream_mm.testing import ToySpace, tiny_elastic


def all_sums(values, costs):
    """(choices, value, {name: cost}) of every way to choose."""
    for flat in itertools.product(*(range(len(v)) for v in values)):
        total = {k: sum(t[i][c] for i, c in enumerate(flat)) for k, t in costs.items()}
        yield flat, sum(values[i][c] for i, c in enumerate(flat)), total


def random_tables(seed, sizes=(3, 2, 4, 3, 2), integers=False):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=n) for n in sizes]
    if integers:  # many equal sums
        values = [rng.integers(3, size=n).astype(float) for n in sizes]
    costs = {
        name: [rng.integers(1, 10, size=n).astype(float) for n in sizes] for name in ('a', 'b')
    }
    return values, costs


@pytest.mark.parametrize('integers', [False, True])
@pytest.mark.parametrize('seed', range(5))
def test_the_front_is_that_of_all_sums(seed, integers):
    values, costs = random_tables(seed, integers=integers)
    everything = [(total['a'], value) for _, value, total in all_sums(values, costs)]
    kept = sorted(
        {
            (cost, value)
            for cost, value in everything
            if not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in everything)
        }
    )
    found = pareto_merge(values, costs['a'])
    assert len(found) == len(values) + 1
    assert found[0][0] == pytest.approx([cost for cost, _ in kept])
    assert found[0][1] == pytest.approx([value for _, value in kept])
    assert found[-1][0].tolist() == found[-1][1].tolist() == [0.0]


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize(
    'bounds',
    [
        {},
        dict(a=(None, 25)),
        dict(a=(25, None)),
        dict(a=(22, 26)),
        dict(a=(25, 25)),
        dict(a=(None, 28), b=(20, 30)),
        dict(a=(20, 27), b=(None, 24)),
        dict(a=(None, 22), b=(26, None)),
        dict(a=(28, None), b=(None, 22)),
        dict(a=(None, 1)),
    ],
    ids=str,
)
def test_all_sums_within_the_bounds_come_best_first(seed, bounds):
    values, costs = random_tables(seed)
    expected = [
        (value, flat)
        for flat, value, total in all_sums(values, costs)
        if all(
            (low is None or total[k] >= low) and (high is None or total[k] <= high)
            for k, (low, high) in bounds.items()
        )
    ]
    expected.sort(key=lambda pair: -pair[0])
    found = list(best_sums(values, costs, bounds))
    assert [flat for _, flat in found] == [flat for _, flat in expected]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected])


def test_a_choice_of_minus_infinity_is_never_taken():
    values, costs = random_tables(0)
    values[2][1] = -np.inf
    found = list(best_sums(values, costs, {}))
    assert len(found) == 3 * 2 * 3 * 3 * 2 and all(flat[2] != 1 for _, flat in found)
    values[4][:] = -np.inf
    assert list(best_sums(values, costs, dict(a=(0, 100)))) == []


SPACE = MBConvSpace(
    depths=(2, 3), choices=((3, 4), (5, 6), (7, 6)), widths=(16, 24), strides=(2, 1),
    stem_channels=8, final_channels=32,
)  # fmt: skip
COSTS = build_cost_model(SPACE, 32, 10, 16)
ARCHS = [SPACE.decode(flat) for flat in itertools.product(range(3), repeat=5)]


def fitted(archs=ARCHS, seed=0):
    weights = np.random.default_rng(seed).normal(size=(5, 3))
    scores = [sum(weights[i, c] for i, c in enumerate(SPACE.encode(arch))) for arch in archs]
    return MainEffects(archs, scores)


@pytest.mark.parametrize(
    'shares', [{}, dict(macs_m=(0, 0.75)), dict(macs_m=(0.4, 0.9), params_m=(0, 0.8))], ids=str
)
def test_best_paths_are_those_of_the_whole_space(shares):
    effects = fitted()
    ends = [(COSTS.extremes()[0][key], COSTS.extremes()[1][key]) for key in shares]
    budget = Budget(COSTS, **{
        key: [low + share * (high - low) for share in shares[key]]
        for key, (low, high) in zip(shares, ends)
    })  # fmt: skip
    inside = [arch for arch in ARCHS if budget.is_feasible(arch)]
    assert 5 < len(inside) <= len(ARCHS)
    expected = sorted(inside, key=lambda arch: -effects.predict([arch])[0])
    found = list(best_paths(effects, SPACE, budget))
    assert [arch for _, arch in found] == expected
    assert [score for score, _ in found] == pytest.approx(effects.predict(expected))


def test_of_equal_effects_the_cheaper_path_comes_first():
    weights = np.zeros((5, 3))
    weights[0] = 0, 1, 1  # choices 1 and 2 of the first layer are as good, 2 is dearer
    scores = [weights[0, SPACE.encode(arch)[0]] for arch in ARCHS]
    found = [arch for _, arch in best_paths(MainEffects(ARCHS, scores), SPACE, Budget(COSTS))]
    best = min(
        (arch for arch in ARCHS if SPACE.encode(arch)[0] > 0), key=lambda arch: COSTS.cost(arch)
    )
    assert found[0] == best


def test_a_choice_that_was_never_fitted_is_in_no_path():
    seen = [arch for arch in ARCHS if SPACE.encode(arch)[3] != 2]
    found = [arch for _, arch in best_paths(fitted(seen), SPACE, Budget(COSTS))]
    assert set(found) == set(seen)


def test_the_best_of_the_whole_cream_space_takes_no_time():
    space, rng = MBConvSpace(), np.random.default_rng(0)  # 6**20 paths
    weights = rng.normal(size=(20, 6))
    archs = [space.sample(rng) for _ in range(1000)]
    scores = [sum(weights[i, c] for i, c in enumerate(space.encode(arch))) for arch in archs]
    budget = Budget(build_cost_model(space, 224), macs_m=(399.9, 400.1), params_m=(0, 6.5))
    start = time.process_time()
    found = list(itertools.islice(best_paths(MainEffects(archs, scores), space, budget), 11))
    assert time.process_time() - start < 10  # 0.2 s here
    assert len(set(found)) == 11 and all(budget.is_feasible(arch) for _, arch in found)
    # No change of two layers within the budget is better.
    values = [score for score, _ in found]
    assert values == sorted(values, reverse=True)
    flat = space.encode(found[0][1])
    gains = [weights[i] - weights[i, c] for i, c in enumerate(flat)]
    for i, j in itertools.combinations(range(20), 2):
        for a, b in itertools.product(range(6), repeat=2):
            if gains[i][a] + gains[j][b] > 1e-2:
                other = list(flat)
                other[i], other[j] = a, b
                assert not budget.is_feasible(space.decode(other))


def test_bounds_that_cannot_be_met_together_end_at_once():
    space, rng = MBConvSpace(), np.random.default_rng(0)  # 6**20 paths
    archs = [space.sample(rng) for _ in range(500)]
    effects = MainEffects(archs, rng.normal(size=500))
    budget = Budget(build_cost_model(space, 224, 10), macs_m=(450, None), params_m=(None, 3.8))
    start = time.process_time()
    assert list(best_paths(effects, space, budget)) == []
    assert time.process_time() - start < 5  # 0.02 s here


def test_it_gives_up_with_what_to_change():
    values, costs = random_tables(0)
    found = best_sums(values, costs, dict(a=(25, 25)), max_steps=3)
    with pytest.raises(ValueError, match='so tight together .* in 3 steps; widen one of them'):
        list(found)


@pytest.mark.parametrize('cuts', [False, True], ids=['additive', 'not additive'])
def test_positions_that_differ(cuts):
    space = ToySpace(cuts=cuts)
    archs = [space.decode(flat) for flat in itertools.product(*map(range, space.sizes))]
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=size) for size in space.sizes]
    scores = [sum(w[c] for w, c in zip(weights, space.encode(arch))) for arch in archs]
    effects, model = MainEffects(archs, scores), build_cost_model(space, 1, 0)
    budget = Budget(model, params_m=(200e-6, 510e-6))
    inside = [arch for arch in archs if budget.is_feasible(arch)]
    assert 5 < len(inside) < len(archs)
    expected = sorted(inside, key=lambda arch: -effects.predict([arch])[0])
    assert [arch for _, arch in best_paths(effects, space, budget)] == expected


@pytest.mark.parametrize('key', ['macs_m', 'params_m', 'latency_ms'])
def test_input_sizes_are_joined_exactly(key):
    """What a layer costs depends on the size: all paths are one sequence all the same."""
    space = tiny_elastic()
    latency = dict(rows=[row for size in (8, 6) for row in made_rows(_whole(space), size)])
    model = build_cost_model(space, 8, 10, latency=latency)
    archs = [space.decode(flat) for flat in itertools.product(*map(range, space.sizes))]
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=size) for size in space.sizes]
    scores = [sum(w[c] for w, c in zip(weights, space.encode(arch))) for arch in archs]
    effects, values = MainEffects(archs, scores), [model.cost(a).in_units()[key] for a in archs]
    budget = Budget(model, **{key: np.quantile(values, (0.2, 0.7)).tolist()})
    inside = [arch for arch in archs if budget.is_feasible(arch)]
    assert len({arch.stages[-1] for arch in inside}) == 2 and 200 < len(inside) < len(archs)
    expected = sorted(inside, key=lambda arch: -effects.predict([arch])[0])
    assert [arch for _, arch in best_paths(effects, space, budget)] == expected
    # A size that no fitted path had is in none.
    one = [arch for arch in archs if arch.stages[-1] == (1,)]
    found = [arch for _, arch in best_paths(fit_zeros(one), space, budget)]
    assert {arch.stages[-1] for arch in found} == {(1,)}
    assert model.cost(found[0]).macs == min(model.cost(arch).macs for arch in found)


def _whole(space):
    return space.network(space.full_path)[1]


def fit_zeros(archs):
    return MainEffects(archs, np.zeros(len(archs)))


def test_input_sizes_of_lite0_take_no_time():
    full = [[0], [2, 2], [5, 5], [2] * 3, [5] * 3, [5] * 4, [2], [0]]
    space, rng = ElasticSpace('lite0', full, input_sizes=(128, 112, 96)), np.random.default_rng(0)
    weights = [np.sort(rng.normal(size=size))[::-1] for size in space.sizes]  # larger is better
    archs = [space.sample(rng) for _ in range(500)]
    scores = [sum(w[c] for w, c in zip(weights, space.encode(arch))) for arch in archs]
    budget = Budget(build_cost_model(space, 128, 10), macs_m=(None, 62.7))
    start = time.process_time()
    found = list(itertools.islice(best_paths(MainEffects(archs, scores), space, budget), 100))
    assert time.process_time() - start < 10  # 0.3 s here
    values = [score for score, _ in found]
    assert values == sorted(values, reverse=True) and len({arch for _, arch in found}) == 100
