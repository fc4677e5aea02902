"""The pure parts of benchmarks/ranking/nao.py and nao_regret.py; their runs are evidence."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.config.load import load_config
from cream_mm.costs import Budget, build_cost_model
from cream_mm.spaces import MBConvSpace

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ('nao', 'nao_regret', 'nao_report', 'close_report', 'report', 'run')


@pytest.fixture(scope='module')
def modules():
    """The files, and nothing of theirs left behind: other tests have a ``run`` of their own."""
    before = {name: sys.modules.pop(name, None) for name in BESIDE}
    sys.path.insert(0, str(ROOT / 'benchmarks/ranking'))
    try:
        import nao
        import nao_regret
        import nao_report

        yield SimpleNamespace(nao=nao, regret=nao_regret, report=nao_report)
    finally:
        sys.path.remove(str(ROOT / 'benchmarks/ranking'))
        for name in BESIDE:
            sys.modules.pop(name, None)
            if before[name] is not None:
                sys.modules[name] = before[name]


@pytest.fixture(scope='module')
def space():
    return MBConvSpace.build('nas_bench_macro')


@pytest.fixture(scope='module')
def costs(space):
    return build_cost_model(space, 16, 10, 0)


@pytest.fixture(scope='module')
def problem(space, costs):
    """Networks with as many points as their digits add up to; the best has 16."""
    found = SimpleNamespace(space=space, budget=Budget(costs), best=16.0)
    found.truth = SumOfDigits(space)
    found.score = found.truth
    return found


class SumOfDigits:
    def __init__(self, space):
        self.space = space

    def __getitem__(self, arch):
        return float(sum(self.space.encode(arch)))


@pytest.mark.parametrize('name', ['random', 'evolution', 'nsga2', 'effects'])
def test_a_curve_is_the_best_so_far(modules, problem, name):
    record = modules.regret.search(problem, name, 3, num=60)
    numbers, regrets = zip(*record['curve'])
    assert numbers[0] == 1 and numbers[-1] == 60
    assert list(numbers) == sorted(numbers) and list(regrets) == sorted(regrets, reverse=True)
    assert problem.truth[problem.space.parse(record['best'])] == 16 - regrets[-1]
    again = modules.regret.search(problem, name, 3, num=60)
    assert again['curve'] == record['curve']
    if name == 'effects':  # a sum of effects is what it looks for
        assert regrets[-1] == 0


def test_all_begin_with_the_same_networks(modules, problem):
    curves = {
        name: modules.regret.search(problem, name, 5, num=20)['curve']
        for name in modules.regret.STRATEGIES
    }
    assert len({str(curve) for curve in curves.values()}) == 1


def test_a_pick_by_ratings_is_judged_by_the_truth(modules, problem):
    """A rating that has it the wrong way round: the regret grows."""
    turned = SimpleNamespace(**vars(problem))

    class Turned(SumOfDigits):
        def __getitem__(self, arch):
            return -super().__getitem__(arch)

    turned.score = Turned(problem.space)
    _, regrets = zip(*modules.regret.search(turned, 'random', 0, num=30)['curve'])
    assert list(regrets[:-1]) == sorted(regrets[:-1]) and regrets[-1] > 8


def test_regret_after_some_ratings(modules):
    curve = [[1, 3.0], [4, 1.5], [9, 0.0], [20, 0.0]]
    found = [modules.report.regret_at(curve, n) for n in (1, 3, 4, 8, 9, 200)]
    assert found == [3.0, 3.0, 1.5, 1.5, 0.0, 0.0]


def one(strategy, seed, first, last, benchmark='macro'):
    curve = [[1, first], [60, last], [200, last]]
    return dict(benchmark=benchmark, strategy=strategy, seed=seed, curve=curve, cpu_s=1.5, best='')


def test_table_of_regrets(modules):
    records = [one('random', 0, 2.0, 1.0), one('random', 1, 4.0, 2.0)]
    records += [one('nao', 0, 2.0, 0.0), one('nao', 1, 4.0, 0.5), one('nao', 7, 9.0, 9.0)]
    means, less = modules.report.regret_tables(records)
    # t of one degree 12.706; half the difference of two values is their standard error.
    assert '| random | 2 | 3.000 [-9.706, 15.706] |' in means
    assert '0 of 2 | 1.5 |' in means and '| NAO | 3 |' in means and '1 of 3' in means
    # Pairs of the same seed: 0 at 20 and 50; -1 and -1.5 later.
    assert '| NAO less random | 2 | +0.000 [+0.000, +0.000] |' in less
    assert less.count('-1.250 [-4.427, +1.927]') == 2
    assert 'evolution' not in less


def test_records_of_searches_are_one_a_line(modules, tmp_path):
    path = tmp_path / 'r.json'
    assert modules.regret.read_records(path) == []
    records = [one('random', 0, 2.0, 1.0), one('nao', 1, 4.0, 2.0)]
    modules.regret.write_records(path, records)
    assert modules.regret.read_records(path) == records
    assert len(path.read_text().splitlines()) == 4
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match='is not of format'):
        modules.regret.read_records(path)


def test_means_of_what_both_samplers_draw(modules, space, costs):
    found = modules.nao.pool_means(space, Budget(costs), 3)
    sampler = modules.nao.SizeProportionalSampler(space, Budget(costs), seed=3)
    sizes = np.array([costs.cost(arch).params for arch in sampler.pool], dtype=float)
    macs = np.array([costs.cost(arch).macs for arch in sampler.pool]) / 1e9
    assert found['nao_uniform'][1] == pytest.approx(macs.mean())
    assert found['nao'][1] == pytest.approx((macs * sizes).sum() / sizes.sum())
    assert found['nao'][1] > found['nao_uniform'][1] and found['nao'][0] == pytest.approx(1)


def test_the_uniform_run_has_the_images_that_the_pilot_asks_for():
    nao, uniform = (
        load_config(str(ROOT / f'configs/ranking/{name}.py'), {}, check_data=False)
        for name in ('nao', 'nao_uniform')
    )
    assert nao.train_cfg.sampler.pool_size == uniform.train_cfg.sampler.pool_size == 1000
    assert uniform.train_cfg.sampler.proportional_to is None
    whole, part = uniform.train_dataloader.dataset.datasets
    assert {k: v for k, v in part.items() if k != 'indices'} == whole
    assert whole == nao.train_dataloader.dataset
    pilot = json.loads((ROOT / 'docs/results/nao_pilot.json').read_text())
    steps = (49_000 + len(part.indices)) // uniform.train_dataloader.batch_size
    assert steps / (49_000 // 128) == pytest.approx(np.mean(pilot['ratio']), abs=0.002)
    assert max(part.indices) < 49_000 and len(set(part.indices)) == len(part.indices)


def run_of(method, seed, value):
    entry = dict(kendall=dict(value=value))
    subset = dict(num=9, score=entry, loss=entry)
    return dict(
        setting='cpu', method=method, seed=seed, images_seen=1280, train_loss=[2.0, 1.5],
        subsets={'all': subset, 'accuracy >= 90': subset},
        largest_third=dict(num=3, score=value / 2, loss=value / 4),
        usage=dict(train=dict(cpu_s=100.0 + 10 * (method == 'nao'), peak_mb=9.0)),
    )  # fmt: skip


def test_tables_of_the_samplers(modules):
    drawn = dict(macs_m=14.0, layers=5.0)
    pilot = dict(ratio=[1.05, 1.07], pools=[dict(nao=drawn, nao_uniform=drawn)] * 2)
    records = [run_of('nao', s, 0.6 + s / 10) for s in (0, 1)]
    assert modules.report.sampler_tables(records, pilot) == ['No pair of runs yet.']
    records += [run_of('nao_uniform', s, 0.5) for s in (0, 1)]
    means, less, runs, told = modules.report.sampler_tables(records, pilot)
    assert '| n |  |  | 9 | 3 | 9 |' in means
    # Differences 0.1 and 0.2, halves of them among the largest.
    assert '| training effects | 2 | +0.150 [-0.485, +0.785] | +0.075 [-0.243, +0.393] |' in less
    assert '| 1 | in proportion to weights | 1,280 | 14.00 | 5.00 | 110 | 9 |' in runs
    assert '1.0600 times' in told and '1.100 [1.100, 1.100]' in told


def test_the_committed_records_are_those_of_the_page(modules):
    folder = ROOT / 'docs/results'
    text = (folder / 'nao_v2.md').read_text()
    for table in modules.report.regret_tables(
        modules.regret.read_records(folder / 'nao_regret.json')
    ):
        assert table in text
    pilot = json.loads((folder / 'nao_pilot.json').read_text())
    records = json.loads((folder / 'ranking.json').read_text())['runs']
    for table in modules.report.sampler_tables(records, pilot):
        assert table in text
