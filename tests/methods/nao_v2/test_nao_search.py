"""When it fits, what it proposes, what it passes over, and a state that fits nothing again."""

import io
import itertools
import json

import numpy as np
import pytest
import torch

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.costs import Budget, build_cost_model
from cream_mm.methods.nao_v2 import Controller, NAOSearch
from cream_mm.methods.nao_v2.nao_search import pack, unpack
from cream_mm.spaces import NAOSpace
from cream_mm.testing import tiny_space

SPACE = tiny_space(depths=(3, 4))
BUDGET = Budget(build_cost_model(SPACE, 8, 10))
QUICK = dict(num_initial=6, num_new=5, num_seeds=4, epochs=2)
_RNG = np.random.default_rng(5)
EFFECTS = _RNG.normal(size=(7, SPACE.sizes[0]))


def make(space=SPACE, budget=BUDGET, **kwargs):
    return NAOSearch(space, budget, **{**QUICK, **kwargs})


def score(arch):
    return float(EFFECTS[range(7), SPACE.encode(arch)].sum())


def run(strategy, num, batch=1):
    asked = []
    while len(asked) < num and (archs := strategy.ask(min(batch, num - len(asked)))):
        strategy.tell(archs, list(map(score, archs)))
        asked += archs
    return asked


@pytest.fixture
def fits(monkeypatch):
    """How many architectures each fit had."""
    numbers, fit = [], Controller.fit

    def counted(self, archs, *args, **kwargs):
        numbers.append(len(archs))
        return fit(self, archs, *args, **kwargs)

    monkeypatch.setattr(Controller, 'fit', counted)
    return numbers


def test_one_fit_for_each_generation(fits):
    strategy = make()
    run(strategy, 6)
    assert fits == []  # random ones
    run(strategy, 5)
    assert fits == [6]
    run(strategy, 1)
    assert fits == [6, 11]
    assert len(strategy.ask(50)) == 4  # what is left of a generation
    assert fits == [6, 11]
    assert strategy.num_fits == 2


def test_asking_on_without_a_score_fits_nothing(fits):
    strategy = make()
    run(strategy, 6)
    first = strategy.ask(5)
    again = strategy.ask(5)
    assert len(first) == len(again) == 5 and not set(first) & set(again)
    assert fits == [6]


def test_renewed_scores_and_one_request_are_one_generation(fits):
    """As between two phases of a training."""
    strategy = make(num_initial=2)
    pool = [SPACE.sample(np.random.default_rng(i)) for i in range(12)]
    pool = list(dict.fromkeys(pool))
    strategy.tell(pool, list(map(score, pool)), renew=True)
    new = strategy.ask(20)
    assert len(set(new)) == 20 and not set(new) & set(pool)  # more than num_new
    assert fits == [len(pool)]
    archive = pool + new
    strategy.tell(archive, [-score(arch) for arch in archive], renew=True)
    more = strategy.ask(8)
    assert len(more) == 8 and not set(more) & set(archive)
    assert fits == [len(pool), len(archive)]
    strategy.tell(archive + more, list(map(score, archive + more)), renew=True)
    assert len(fits) == 2  # the last phase only tells


def test_renewed_scores_drop_what_is_left(fits, monkeypatch):
    strategy = make()
    told = run(strategy, 6)
    (first,) = strategy.ask(1)
    left = list(strategy._queue)
    assert len(left) == 4
    strategy.tell([first], [score(first)])
    assert strategy.ask(1) == left[:1]  # new scores do not
    strategy.tell(told[:1], [9.0], renew=True)
    monkeypatch.setattr(strategy, 'climbs', lambda seeds: ((1, arch) for arch in left[1:] * 2))
    assert strategy.ask(3) == left[1:]  # and may be proposed anew
    assert fits == [6, 7]


def test_told_from_elsewhere_while_it_waits():
    strategy = make()
    run(strategy, 6)
    first = strategy.ask(1)
    strategy.tell(first, [0.0])
    waiting = list(strategy._queue)
    strategy.tell(waiting[:2], [1.0, 2.0])
    assert strategy.ask(9) == waiting[2:]


def test_proposals_are_better_than_chance():
    """Where most of a space is known: with few scores the predictor does not know the others."""
    archs = [SPACE.decode(flat) for flat in itertools.product(*map(range, SPACE.sizes))]
    order = [archs[i] for i in np.random.default_rng(0).permutation(len(archs))]
    told, rest = order[:80], order[80:]
    strategy = make(num_initial=2, num_new=8, num_seeds=20, epochs=150)
    strategy.tell(told, list(map(score, told)))
    new = strategy.ask(8)
    assert set(new) <= set(rest)
    # Their scores have a standard deviation of 1.7; the best 8 of them a mean of 2.6.
    assert np.mean(list(map(score, new))) > np.mean(list(map(score, rest))) + 0.5


# ---- what it passes over -------------------------------------------------------------------------


NAO = NAOSpace(num_cells=1, channels=4)


def climbs_to(strategy, monkeypatch, archs):
    monkeypatch.setattr(strategy, 'climbs', lambda seeds: ((1, arch) for arch in archs))


@pytest.mark.parametrize('official', [False, True])
def test_what_is_known(monkeypatch, official):
    """The same network in another way of writing: only the released code proposes it."""
    rng = np.random.default_rng(0)
    old = NAO.parse(
        '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
    )
    swapped = NAO.exchange(old, 1, 2)
    new, other = NAO.sample(rng), NAO.sample(rng)
    budget = Budget(build_cost_model(NAO, 8, 10))
    strategy = make(NAO, budget, official=official, num_initial=2, num_new=4, epochs=1)
    strategy.tell([old, NAO.sample(rng)], [1.0, 0.0])
    climbs_to(strategy, monkeypatch, [old, swapped, new, new, NAO.exchange(new, 0, 0), other])
    if official:
        assert strategy.ask(4) == [swapped, new, NAO.exchange(new, 0, 0), other]
        return
    found = strategy.ask(4)
    assert found[:2] == [new, other]
    assert len(set(map(NAO.canonical, [*found, old]))) == 5  # filled up by two others


def test_official_gives_fewer_and_others_fill_up(monkeypatch):
    lines = []
    for official in (True, False):
        strategy = make(official=official, log=lines.append)
        told = run(strategy, 6)
        best = max(told, key=score)
        climbs_to(strategy, monkeypatch, told)  # nothing new
        found = strategy.ask(5)
        if official:
            assert found == [] and 'Generation 1: 0 new paths from 4 seeds' in lines[-1]
            continue
        assert len(set(found)) == 5 and not set(found) & set(told)
        changed = sum(a != b for a, b in zip(SPACE.encode(found[0]), SPACE.encode(best)))
        assert changed == 1  # of the best, a mutant
        assert lines[-1].endswith('5 mutants of these fill it up')


def test_the_budget_bounds_seeds_and_proposals(monkeypatch):
    costs = build_cost_model(SPACE, 8, 10)
    rng = np.random.default_rng(2)
    archs = list(dict.fromkeys(SPACE.sample(rng) for _ in range(40)))
    middle = float(np.median([costs.cost(arch).macs / 1e6 for arch in archs]))
    budget = Budget(costs, macs_m=(None, middle))
    strategy = make(budget=budget, num_initial=2)
    costly = [arch for arch in archs if not budget.is_feasible(arch)]
    cheap = [arch for arch in archs if budget.is_feasible(arch)]
    strategy.tell(costly[:6] + cheap[:3], list(range(9, 0, -1)))  # told ones may be outside
    seen = []

    def climbs(seeds):
        seen.extend(seeds)
        return ((1, arch) for arch in costly[6:] + cheap[3:])

    monkeypatch.setattr(strategy, 'climbs', climbs)
    assert strategy.ask(3) == cheap[3:6]
    assert seen == cheap[:3]  # best first


def test_steps_of_the_ascent(monkeypatch):
    """1 to 51, each with all seeds in their order, however many are written at once."""
    strategy = make()
    seeds = [SPACE.sample(np.random.default_rng(i)) for i in range(3)]
    steps = [step for step, _ in strategy.climbs(seeds)]
    assert steps == [step for step in range(1, 52) for _ in seeds]
    together = list(strategy.climbs(seeds))
    monkeypatch.setattr('cream_mm.methods.nao_v2.nao_search.MIN_BATCH', 1)
    assert list(strategy.climbs(seeds)) == together
    alone = [arch for _, arch in strategy.climbs(seeds[1:2])]
    assert alone == [arch for _, arch in together[1::3]]
    assert list(strategy.climbs([])) == []


# ---- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('num', [0, 4, 6, 7, 11, 13])
def test_a_snapshot_fits_nothing_again(fits, tmp_path, num):
    strategy = make(seed=3)
    run(strategy, num)
    pending = strategy.ask(2)  # asked for, and killed before their scores are there
    done = len(fits)
    torch.save(dict(state=strategy.state_dict()), tmp_path / 'state.pth')
    again = make(seed=3)
    again.load_state_dict(load_checkpoint_file(tmp_path / 'state.pth')['state'])
    assert len(fits) == done
    assert json.dumps(again.state_dict()) == json.dumps(strategy.state_dict())
    assert again.scored == strategy.scored and again.num_fits == strategy.num_fits == done
    for mine, its in zip(again.controller.parameters(), strategy.controller.parameters()):
        assert torch.equal(mine, its)
    after = []
    for one in (again, strategy):
        one.tell(pending, list(map(score, pending)))
        after.append(run(one, 7, batch=3))
    assert after[0] == after[1] and not set(after[0]) & set(pending)


def test_a_state_that_is_none():
    strategy = make()
    run(strategy, 7)
    state = strategy.state_dict()
    with pytest.raises(ValueError, match='the state is of'):
        make(num_new=4).load_state_dict(state)
    with pytest.raises(ValueError, match='the state is of'):
        make().load_state_dict({**state, 'format': 'cream_mm.strategy/1'})
    with pytest.raises(ValueError, match='is a dictionary, not list'):
        make().load_state_dict([])
    for name in ('queue', 'controller'):
        part = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match=f"has '{name}'; this has not"):
            make().load_state_dict(part)
    with pytest.raises(ValueError, match='30 weights; the controller of this space has'):
        make().load_state_dict({**state, 'controller': pack(torch.nn.Linear(5, 5))})
    for damaged in ('xx!!', 7, 'AAA', ['A']):
        with pytest.raises(ValueError, match='"controller" of a saved search is not its weights'):
            make().load_state_dict({**state, 'controller': damaged})
    broken = torch.nn.Linear(5, 5)
    broken.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match='has weights that are not finite'):
        make().load_state_dict({**state, 'controller': pack(broken)})


def test_weights_as_text():
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    text = pack(first)
    assert len(text) == 44  # 8 numbers of 4 bytes, 4 letters for 3 bytes
    unpack(second, text)
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


# ---- edges ---------------------------------------------------------------------------------------


def test_lines_of_a_fit():
    out = io.StringIO()
    strategy = make(log=lambda line: print(line, file=out), epochs=4, until_known=False)
    run(strategy, 7)
    lines = out.getvalue().splitlines()
    assert lines[0] == 'Fit 1 of the controller to 6 paths'
    assert [line.split(']')[0] for line in lines[1:5]] == [f'Fit 1 [{i}/4' for i in range(1, 5)]
    assert 'pairwise accuracy' in lines[1] and 'of 14 tokens wrong (fitted)' in lines[1]
    assert 'eta: 0:0' in lines[4] and lines[5].startswith('Generation 1: ')


def test_scores_that_are_all_the_same():
    strategy = make()
    for _ in range(9):
        archs = strategy.ask(1)
        strategy.tell(archs, [1.0])
    assert len(strategy.scored) == 9


def test_nothing_was_told():
    """Ratings that are not finite are told to nobody."""
    strategy = make()
    assert len(strategy.ask(6)) == 6
    more = [strategy.ask(1) for _ in range(3)]
    assert all(len(archs) == 1 for archs in more) and strategy.num_fits == 0


def test_official_settings():
    strategy = make(official=True)
    assert strategy.settings['held_share'] == 0.1 and not strategy.settings['until_known']
    assert make().settings['held_share'] == 0 and make().settings['until_known']


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(num_initial=1), 'num_initial is a whole number of at least 2; got 1'),
        (dict(num_new=0), 'num_new is a whole number of at least 1; got 0'),
        (dict(num_seeds=2.5), 'num_seeds is a whole number of at least 1; got 2.5'),
        (dict(epochs=0), 'epochs is a whole number of at least 1'),
        (dict(expand=0), 'expand is a whole number of at least 1'),
        (dict(held_share=1.0), 'held_share is at least 0 and below 1'),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)
