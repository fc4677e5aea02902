"""What every strategy promises; a new one joins by a line in ``STRATEGIES``."""

import itertools
import json

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.registry import TASK_UTILS
from cream_mm.search import NSGA2, MainEffects, RandomSearch, RegularizedEvolution
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import ToySpace, tiny_space

SPACE = MBConvSpace(
    depths=(3, 3), choices=((3, 4), (5, 6), (7, 6)), widths=(16, 24), strides=(2, 1),
    stem_channels=8, final_channels=32,
)  # fmt: skip
ARCHS = [SPACE.decode(flat) for flat in itertools.product(range(3), repeat=6)]
COSTS = build_cost_model(SPACE, 32, 10, 16)
MACS = {arch: COSTS.cost(arch).macs / 1e6 for arch in ARCHS}
LOW, HIGH = np.quantile(list(MACS.values()), (0.2, 0.7))

# Layers matter on their own and in pairs, and most where they cost least.
_RNG = np.random.default_rng(11)
SINGLE, PAIR = _RNG.normal(size=(6, 3)), 0.5 * _RNG.normal(size=(5, 3, 3))


def score(arch):
    flat = SPACE.encode(arch)
    pairs = sum(PAIR[i, a, b] for i, (a, b) in enumerate(itertools.pairwise(flat)))
    return sum(SINGLE[i, c] for i, c in enumerate(flat)) + pairs


def same(arch):
    return arch


def sorted_stages(arch):
    """A key under which the layers of a stage commute."""
    return Arch(tuple(tuple(sorted(stage)) for stage in arch.stages), arch.space)


BUDGET = Budget(COSTS, macs_m=(LOW, HIGH))
FEASIBLE = [arch for arch in ARCHS if BUDGET.is_feasible(arch)]
OPTIMUM = max(FEASIBLE, key=score)
BOARD = [FEASIBLE[5], ARCHS[0], FEASIBLE[100], FEASIBLE[5], FEASIBLE[200]]
STRATEGIES = {
    'RandomSearch': {},
    'RegularizedEvolution': dict(population=12, tournament=4),
    'NSGA2': dict(population=10),
    'BoardPick': dict(archs=BOARD),
    'MainEffectsSearch': dict(num_random=20),
    'NAOSearch': dict(num_initial=12, num_new=16, num_seeds=4, epochs=2),
}
names = pytest.mark.parametrize('name', STRATEGIES)


def make(name, budget=BUDGET, **kwargs):
    if name == 'NSGA2':
        pytest.importorskip('pymoo')
    settings = {**STRATEGIES[name], 'key': same, **kwargs}
    return TASK_UTILS.build(dict(type=f'cream_mm.{name}', space=SPACE, budget=budget, **settings))


def run(strategy, num, batch=1):
    """Rate up to ``num`` paths; returns them in the order in which they were asked for."""
    asked = []
    while len(asked) < num:
        archs = strategy.ask(min(batch, num - len(asked)))
        if not archs:
            break
        strategy.tell(archs, [score(arch) for arch in archs])
        asked += archs
    return asked


@names
@pytest.mark.parametrize('batch', [1, 7])
def test_asks_for_new_paths_within_the_budget(name, batch):
    asked = run(make(name), 100, batch)
    assert len(asked) == (100 if name != 'BoardPick' else 3)
    assert all(BUDGET.is_feasible(arch) for arch in asked)
    assert len(set(asked)) == len(asked)


@names
def test_never_the_same_network_twice(name):
    asked = run(make(name, key=sorted_stages), 40)
    assert len({sorted_stages(arch) for arch in asked}) == len(asked) >= 3


@names
def test_the_seed_decides(name):
    first = run(make(name, seed=4), 50)
    assert first == run(make(name, seed=4), 50)
    assert (first == run(make(name, seed=5), 50)) == (name == 'BoardPick')


@names
@pytest.mark.parametrize('stop', [0, 9, 10, 33])
def test_a_resumed_search_goes_on_as_if_nothing_happened(name, stop):
    whole = make(name)
    asked = run(whole, 60, batch=4)
    part = make(name)
    run(part, stop, batch=4)
    pending = part.ask(3)  # asked, and killed before the scores were there
    resumed = make(name)
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert resumed.state_dict() == part.state_dict()
    assert resumed.scored == part.scored
    for strategy in (part, resumed):
        strategy.tell(pending, [score(arch) for arch in pending])
    assert run(resumed, 30) == run(part, 30)
    if stop == 0 or name == 'BoardPick':
        return
    assert asked[: stop - stop % 4] == [i.arch for i in part.scored[: stop - stop % 4]]


@names
def test_ends_when_no_path_is_left(name):
    lone = sorted(FEASIBLE, key=MACS.get)[7]
    few = Budget(COSTS, macs_m=(MACS[lone] - 1e-9, MACS[lone] + 1e-9))
    inside = {arch for arch in ARCHS if few.is_feasible(arch)}
    settings = dict(archs=sorted(inside, key=str)) if name == 'BoardPick' else {}
    strategy = make(name, few, **settings)
    strategy.max_repeats = 200
    assert set(run(strategy, 100)) == inside
    assert strategy.ask(5) == []
    assert strategy.best().arch in inside


@names
def test_paths_rated_elsewhere_count(name):
    strategy = make(name)
    known = FEASIBLE[::3]
    strategy.tell(known, [score(arch) for arch in known])
    asked = run(strategy, 30)
    assert asked or name == 'BoardPick'
    assert not set(asked) & set(known)
    if name != 'MainEffectsSearch':  # whose best is the best of its fit
        assert strategy.best().score == max(score(arch) for arch in [*known, *asked])


def test_evolution_finds_the_optimum_and_beats_random_search():
    found, evolved, drawn = 0, [], []
    for seed in range(10):
        evolution = make('RegularizedEvolution', seed=seed)
        run(evolution, 120)
        found += evolution.best().arch == OPTIMUM
        evolved.append(evolution.best().score)
        random = make('RandomSearch', seed=seed)
        run(random, 120)
        drawn.append(random.best().score)
    assert found >= 8
    assert np.mean(evolved) > np.mean(drawn) + 0.1


def test_main_effects_find_the_optimum_behind_noise():
    """Additive quality, ratings with as much noise as signal: luck must not be picked."""
    truth = {a: sum(SINGLE[i, c] for i, c in enumerate(SPACE.encode(a))) for a in FEASIBLE}
    order = sorted(FEASIBLE, key=truth.get, reverse=True)
    fitted, lucky = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noisy = {a: truth[a] + rng.normal(scale=np.std(list(truth.values()))) for a in FEASIBLE}
        for name, picks in (('MainEffectsSearch', fitted), ('RandomSearch', lucky)):
            strategy = make(name, seed=seed)
            while len(strategy.scored) < 60:
                archs = strategy.ask(1)
                strategy.tell(archs, [noisy[archs[0]]])
            picks.append(order.index(strategy.best().arch))
    assert np.mean(fitted) < 10 and np.mean(lucky) > 3 * np.mean(fitted), (fitted, lucky)
    front = strategy.front()
    assert [i.cost_m for i in front] == sorted(i.cost_m for i in front)


def test_known_effects_need_no_ratings():
    truth = {a: sum(SINGLE[i, c] for i, c in enumerate(SPACE.encode(a))) for a in ARCHS}
    known = MainEffects(ARCHS[::7], [truth[a] for a in ARCHS[::7]])
    strategy = make('MainEffectsSearch', known=known, key=None)
    asked = strategy.ask(5)
    order = sorted(FEASIBLE, key=truth.get, reverse=True)
    assert [order.index(arch) for arch in asked] == pytest.approx([0, 1, 2, 3, 4], abs=3)
    assert asked[0] == order[0]
    strategy.tell(asked, [1.0, 2.0, 3.0, 4.0, 5.0])  # what the ratings say does not count
    assert strategy.best().arch == asked[0]
    assert not set(strategy.ask(5)) & set(asked)

    again = make('MainEffectsSearch', known=known, key=None)
    again.load_state_dict(strategy.state_dict())
    assert again.ask(3) == strategy.ask(3)
    other = MainEffects(ARCHS[::7], [-truth[a] for a in ARCHS[::7]])
    with pytest.raises(ValueError, match='the state is of'):
        make('MainEffectsSearch', known=other).load_state_dict(strategy.state_dict())


def hypervolume(points):
    """Area that (cost, score) points dominate, up to the dearest cost and down to score -10."""
    area, best = 0.0, -10.0
    for cost, value in sorted(points):
        if value > best:
            area += (HIGH - cost) * (value - best)
            best = value
    return area


def test_nsga2_finds_the_front():
    best = hypervolume([(MACS[arch], score(arch)) for arch in FEASIBLE])
    shares, drawn = [], []
    for seed in range(5):
        for name, list_ in (('NSGA2', shares), ('RandomSearch', drawn)):
            strategy = make(name, seed=seed)
            run(strategy, 150)
            list_.append(hypervolume([(i.cost_m, i.score) for i in strategy.front()]) / best)
    assert min(shares) > 0.98
    assert np.mean(shares) > np.mean(drawn)


def test_nsga2_agrees_with_itself_on_the_front():
    strategy = make('NSGA2')
    run(strategy, 60)
    points = [(i.cost_m, i.score) for i in strategy.scored]
    front = {
        (c, s) for c, s in points
        if not any((x <= c and y >= s) and (x, y) != (c, s) for x, y in points)
    }  # fmt: skip
    assert {(i.cost_m, i.score) for i in strategy.front()} == front
    costs = [i.cost_m for i in strategy.front()]
    assert costs == sorted(costs)


def test_nsga2_waits_for_its_generation():
    strategy = make('NSGA2')
    first = strategy.ask(100)
    assert len(first) == 10
    strategy.tell(first[1:], [score(arch) for arch in first[1:]])
    with pytest.raises(ValueError, match='tell the scores of 1 paths first'):
        strategy.ask(1)
    strategy.tell(first[:1], [score(first[0])])
    assert len(strategy.ask(100)) == 10


def test_the_old_die():
    """With P = S = 2 the parent is the better of the last two, the best of all forgotten."""
    strategy = RegularizedEvolution(SPACE, BUDGET, population=2, tournament=2, key=same)
    inside = FEASIBLE
    strategy.tell(inside[:3], [9.0, 1.0, 2.0])
    assert [i.score for i in strategy.members] == [1.0, 2.0]
    child = SPACE.encode(strategy.ask(1)[0])
    assert sum(a != b for a, b in zip(child, SPACE.encode(inside[2]))) == 1
    assert strategy.best().arch == inside[0]


def test_the_cheaper_of_equals_is_best():
    strategy = RandomSearch(SPACE, BUDGET, key=same)
    cheap, dear = sorted(FEASIBLE, key=MACS.get)[::100][:2]
    strategy.tell([dear, cheap], [3, 3])
    assert strategy.best().arch == cheap
    narrow = Budget(COSTS, macs_m=(MACS[dear], MACS[dear]))
    assert strategy.best(narrow) == (dear, 3.0, pytest.approx(MACS[dear]))


def test_errors():
    strategy = RandomSearch(SPACE, BUDGET, key=same)
    a, b = FEASIBLE[:2]
    with pytest.raises(ValueError, match='at least one path; got 0'):
        strategy.ask(0)
    with pytest.raises(ValueError, match='has a score yet'):
        strategy.best()
    with pytest.raises(ValueError, match='2 paths, but 1 scores'):
        strategy.tell([a, b], [1.0])
    with pytest.raises(ValueError, match='not finite: nan'):
        strategy.tell([a], [float('nan')])
    with pytest.raises(ValueError, match='has a score already'):
        strategy.tell([a, a], [1.0, 2.0])
    assert strategy.scored == []
    strategy.tell([a], [1.0])
    with pytest.raises(ValueError, match='has a score already'):
        strategy.tell([a], [1.0])
    with pytest.raises(ValueError, match='used before'):
        strategy.load_state_dict(strategy.state_dict())
    other = RandomSearch(SPACE, BUDGET, seed=1, key=same)
    with pytest.raises(ValueError, match='the state is of'):
        other.load_state_dict(strategy.state_dict())
    strategy.ask(20)
    wide = RandomSearch(SPACE, Budget(COSTS), key=same)
    with pytest.raises(ValueError, match='the budget or a library is another'):
        wide.load_state_dict(strategy.state_dict())
    with pytest.raises(ValueError, match='tournament=5, population=4'):
        RegularizedEvolution(SPACE, BUDGET, population=4, tournament=5, key=same)


def test_without_pymoo(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'pymoo.algorithms.moo.nsga2', None)
    with pytest.raises(ImportError, match='pip install "pymoo'):
        TASK_UTILS.build(dict(type='cream_mm.NSGA2', space=SPACE, budget=BUDGET, key=same))


def test_a_cost_that_is_not_known():
    with pytest.raises(ValueError, match="no cost 'latency_ms' here; there are macs_m, params_m"):
        RandomSearch(SPACE, BUDGET, cost='latency_ms')


def test_a_front_of_time():
    space = tiny_space()
    times = dict(fixed_ms=1, choices_ms=[[[1, 0], [1, 0]], [[1, 0], [1, 0]]])  # dear is fast
    budget = Budget(build_cost_model(space, 8, 3, 16, latency=times), latency_ms=(None, 4))
    strategy = RandomSearch(space, budget, cost='latency_ms')
    archs = strategy.ask(15)  # all but the slowest
    assert len(archs) == 15 and strategy.ask(1) == []
    strategy.tell(archs, [-sum(space.encode(arch)) for arch in archs])
    assert [(item.cost_m, item.score) for item in strategy.front()] == [
        (1, -4), (2, -3), (3, -2), (4, -1),
    ]  # fmt: skip


def test_children_change_to_every_choice_of_their_position():
    pytest.importorskip('pymoo')
    space = ToySpace('uneven', sizes=(3, 1, 2, 5), nodes=(2, 2))
    strategy = NSGA2(space, Budget(build_cost_model(space, 1)))
    strategy._is_new = lambda arch: True
    rows = np.tile([2, 0, 1, 4], (200, 1))
    changed = strategy._change(rows, np.random.default_rng(0))
    assert [set(column) for column in changed.T.tolist()] == [set(range(n)) for n in space.sizes]
