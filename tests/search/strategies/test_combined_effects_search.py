import json
from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import CombinedEffectsSearch
from cream_mm.search.front import budget_steps
from cream_mm.testing import tiny_elastic

SPACE = tiny_elastic()
COSTS = build_cost_model(SPACE, 8, 10)
BUDGET = Budget(COSTS, macs_m=(None, 0.8 * COSTS.extremes()[1]['macs_m']))
ALL = [SPACE.decode(flat) for flat in np.ndindex(*SPACE.sizes)]
WEIGHTS = [np.sort(np.random.default_rng(i).random(n))[::-1] for i, n in enumerate(SPACE.sizes)]


def value(arch):
    """Larger is better, by another amount for each choice."""
    return float(sum(w[c] for w, c in zip(WEIGHTS, SPACE.encode(arch))))


def rate(strategy, num):
    asked = []
    while len(asked) < num and (archs := strategy.ask(1)):
        strategy.tell(archs, [value(arch) for arch in archs])
        asked += archs
    return asked


def test_the_best_of_each_step_of_the_budget_is_rated():
    strategy = CombinedEffectsSearch(SPACE, BUDGET, num_random=40)
    asked = rate(strategy, 48)
    known = set(asked[:40])
    for (_, step), arch in zip(reversed(budget_steps(BUDGET)), asked[40:]):
        best = max((a for a in ALL if step.is_feasible(a) and a not in known), key=value)
        assert step.is_feasible(arch) and value(arch) > value(best) - 0.05
        known.add(arch)
    assert strategy.best().arch == max(asked, key=value)
    assert value(strategy.best().arch) == max(value(a) for a in ALL if BUDGET.is_feasible(a))
    # Random paths are of all costs.
    costs = sorted(COSTS.cost(arch).macs for arch in asked[:40])
    inside = [COSTS.cost(arch).macs for arch in ALL if BUDGET.is_feasible(arch)]
    assert costs[-1] - costs[0] > 0.8 * (max(inside) - min(inside))


def write_log(path, steps, first=0):
    rng = np.random.default_rng(0)
    archs = [SPACE.full_path] * first + [SPACE.sample(rng) for _ in range(steps)]
    losses = [9 - value(arch) + rng.normal(scale=0.1) for arch in archs]
    lines = [
        json.dumps(dict(step=i, arch=a.to_list(), loss=x))
        for i, (a, x) in enumerate(zip(archs, losses))
    ]
    path.write_text('\n'.join(lines) + '\n')
    return SimpleNamespace(
        supernet=SimpleNamespace(space=SPACE, budget=BUDGET), path_log=path, num=30,
        num_steps=None, on_main_process=lambda function, *args, **kwargs: function(*args, **kwargs),
    )  # fmt: skip


def test_a_run_gives_it_the_losses_of_the_training(tmp_path):
    run = write_log(tmp_path / 'path_log.jsonl', 300, first=500)
    strategy = CombinedEffectsSearch.for_run(run)
    assert strategy.settings['num_random'] == 20 and set(strategy.known) == {'training', 'size'}
    assert CombinedEffectsSearch.for_run(run, num_random=9).settings['num_random'] == 9
    assert CombinedEffectsSearch.for_run(run, num_random=40).settings['num_random'] == 20
    rate(strategy, 22)
    assert 'training' in strategy.combined().used
    assert strategy.notes()[0].startswith("Effects of ratings and the training's losses")
    known = strategy.combined().effects.loo_r2
    # Without them as many ratings tell less.
    run.path_log = tmp_path / 'none.jsonl'
    alone = CombinedEffectsSearch.for_run(run)
    rate(alone, 22)
    assert alone.combined().effects.loo_r2 < known
    assert 'No effects of the training: no ' in alone.notes()[1] and set(alone.known) == {'size'}
    with pytest.raises(ValueError, match='the state is of'):  # what it knows is another
        alone.__class__.for_run(run).load_state_dict(strategy.state_dict())


def test_losses_of_the_full_network_alone_are_no_effects(tmp_path):
    run = write_log(tmp_path / 'path_log.jsonl', 0, first=500)
    strategy = CombinedEffectsSearch.for_run(run)
    assert set(strategy.known) == {'size'} and strategy.notes() == []
    with pytest.raises(ValueError, match='at least 2 random paths'):
        CombinedEffectsSearch(SPACE, BUDGET, num_random=1)
