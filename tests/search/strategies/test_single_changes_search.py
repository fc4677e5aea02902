from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import SingleChangesSearch
from cream_mm.search.front import budget_steps
from cream_mm.search.strategies.single_changes_search import single_changes
from cream_mm.testing import tiny_elastic, tiny_space

SPACE = tiny_elastic()
COSTS = build_cost_model(SPACE, 8, 10)
BUDGET = Budget(COSTS, macs_m=(None, 0.6 * COSTS.extremes()[1]['macs_m']))
ALL = [SPACE.decode(flat) for flat in np.ndindex(*SPACE.sizes)]
LOST = [np.sort(np.random.default_rng(i).random(n)) for i, n in enumerate(SPACE.sizes)]


def value(arch):
    return -float(sum(lost[c] - lost[0] for lost, c in zip(LOST, SPACE.encode(arch))))


def test_single_changes_are_rated_first_and_then_the_best_sums():
    strategy = SingleChangesSearch(SPACE, BUDGET)
    changes = single_changes(SPACE)
    assert len(changes) == sum(SPACE.sizes) - len(SPACE.sizes)
    first = strategy.ask(100)
    assert not all(map(BUDGET.is_feasible, first))  # whatever they cost
    assert first == [SPACE.full_path, *changes.values()] and strategy.ask(5) == []
    strategy.tell(first, [value(arch) for arch in first])
    effects = strategy.effects()
    assert effects.predict(ALL) == pytest.approx([value(arch) for arch in ALL])
    steps = [step for _, step in reversed(budget_steps(BUDGET))]
    asked, known = strategy.ask(len(steps)), set(first)
    for step, arch in zip(steps, asked):
        best = max((a for a in ALL if step.is_feasible(a) and a not in known), key=value)
        assert value(arch) == pytest.approx(value(best)) and step.is_feasible(arch)
        known.add(arch)
    strategy.tell(asked, [value(arch) for arch in asked])
    assert strategy.best().arch == max(filter(BUDGET.is_feasible, known), key=value)


def test_a_change_without_a_finite_rating_is_in_no_sum():
    strategy = SingleChangesSearch(SPACE, BUDGET)
    full, broken, *others = strategy.ask(100)
    strategy.tell([full, *others], [value(arch) for arch in (full, *others)])
    (place,) = (i for i, c in enumerate(SPACE.encode(broken)) if c)
    sums = strategy.ask(20)
    assert sums and all(SPACE.encode(a)[place] != SPACE.encode(broken)[place] for a in sums)


def test_a_run_has_to_rate_them_all():
    run = SimpleNamespace(supernet=SimpleNamespace(space=SPACE, budget=BUDGET), num=14)
    with pytest.raises(ValueError, match=r'its 15 single changes .* num=14 paths: set .* to 40 or'):
        SingleChangesSearch.for_run(run)
    run.num = 20
    assert SingleChangesSearch.for_run(run, seed=3).settings['seed'] == 3


def test_there_has_to_be_a_full_network():
    space = tiny_space()
    with pytest.raises(ValueError, match="of a full network, which 'cream' does not have"):
        SingleChangesSearch(space, Budget(build_cost_model(space, 8)))
