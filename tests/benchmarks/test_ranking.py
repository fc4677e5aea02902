"""The records and the report of benchmarks/ranking; its runs are slow evidence of their own."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cream_mm.config.load import load_config
from cream_mm.evaluation import TableRow, naswot_scores
from cream_mm.search import MainEffects
from cream_mm.spaces import MBConvSpace

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'benchmarks/ranking'


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield SimpleNamespace(**runpy.run_path(str(FOLDER / 'run.py')))
    sys.modules.pop('report', None)


def record(run, method, seed, value):
    """Every number is made from ``value``."""
    names = (*run.SCORES, 'macs', 'params')
    subsets = ('all', 'accuracy >= 90', 'accuracy >= 92', 'without identity')
    entry = dict(kendall=dict(value=value, interval=[value - 0.1, value + 0.1]))
    pick = dict(picked=92.5, picked_macs_m=80.0)
    point = {name: dict.fromkeys(subsets, value) for name in names[:-1]}
    return dict(
        setting='cpu', method=method, seed=seed, images_seen=1280, train_s=90.0, rated=500,
        train_loss=[2.0, value], path_spread=0.05, step_error=0.1,
        subsets={subset: dict.fromkeys(names, entry) for subset in subsets},
        regret={'84.5': dict.fromkeys(names, pick)},
        by_depth=[dict(layers=8, num=9, loss=value, accuracy=92.5)],
        curve=[dict(point, images_seen=n) for n in (640, 1280)],
    )  # fmt: skip


def test_every_method_has_its_seeds_and_a_config(run):
    args = run.parse_args([])
    runs = run.list_runs(args)
    assert [r['seed'] for r in runs] == [0] * 9 + [1] * 6 + [2] * 6 + [3] * 5 + [4] * 5 + [5] * 5
    assert 'cream' not in {r['method'] for r in runs if r['seed'] > 2}
    on_gpu = run.list_runs(run.parse_args(['--setting', 'gpu']))
    assert {r['method'] for r in runs} - {r['method'] for r in on_gpu} == {'nao_uniform'}
    assert len(run.list_runs(run.parse_args(['--methods', 'spos', '--seeds', '7', '8']))) == 2
    for method in {r['method'] for r in on_gpu}:
        config = str(ROOT / f'configs/ranking/{method}.py')
        options = dict(o.split('=') for o in run.SETTINGS['gpu']['options'])
        cfg = load_config(config, {k: int(v) if v.isdigit() else v for k, v in options.items()},
                          check_data=False)  # fmt: skip
        assert cfg.input_size == cfg.train_dataloader.dataset.pipeline[1].crop_size == 32
        assert cfg.train_dataloader.dataset.pipeline[1].padding == 4
        assert cfg.default_hooks.path_log.type == 'cream_mm.PathLogHook'


def test_records_of_version_0_1_keep_their_runs(run, tmp_path):
    """Its cream_fixed is what cream_best is now, and is not run again."""
    path = tmp_path / 'r.json'
    path.write_text(json.dumps(dict(format=run.FORMAT, runs=[record(run, 'cream_fixed', 0, 0.4)])))
    records = run.Records(path)
    assert records.all() == [record(run, 'cream_best', 0, 0.4)]
    assert records.has(dict(setting='cpu', method='cream_best', seed=0))
    published = run.Records(ROOT / 'docs/results/ranking.json')
    assert {'spos', 'cream_best'} <= {r['method'] for r in published.all()} <= set(run.SEEDS)


def test_records_are_kept_and_replaced(run, tmp_path):
    path = tmp_path / 'r.json'
    records = run.Records(path)
    for method, seed, value in (('cream', 0, 0.5), ('spos', 1, 0.3), ('spos', 0, 0.2)):
        records.add(record(run, method, seed, value))
    records.add(record(run, 'spos', 1, 0.4))
    again = run.Records(path)
    assert again.has(dict(setting='cpu', method='spos', seed=1))
    assert not again.has(dict(setting='gpu', method='spos', seed=1))
    assert [(r['method'], r['seed']) for r in again.all()] == [
        ('spos', 0), ('spos', 1), ('cream', 0),
    ]  # fmt: skip
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match='is not of format'):
        run.Records(path)


def test_report_replaces_what_is_between_the_marks(run, tmp_path):
    path = tmp_path / 'ranking.json'
    runs = [('spos', 0, 0.5), ('spos', 1, 0.7), ('cream', 0, 0.8)]
    records = [record(run, *r) for r in runs]
    run.write_report(records, path)
    page = path.with_suffix('.md')
    page.write_text('# My words\n' + page.read_text() + 'after\n')
    run.write_report(records, path)
    text = page.read_text()
    assert text.startswith('# My words') and text.endswith('after\n')
    assert text.count('| spos | 2 | both effects | 0.600 (0.500 to 0.700) |') == 1
    assert '| cream | both effects | +0.300 |' in text  # of the seed that both have
    assert '| cream 0 | 500 | 0.800 [0.700, 0.900] |' in text and '1.5 min' in text
    assert '| spos 1 | 2.000 | 0.700 |' in text
    assert '| 8 | 9 | 92.50 | 0.500 | 0.800 |' in text
    assert path.with_suffix('.png').stat().st_size > 10_000


def test_the_committed_records_are_those_of_the_page(run):
    path = ROOT / 'docs/results/ranking.json'
    content = json.loads(path.read_text())
    page = path.with_suffix('.md').read_text()
    report = sys.modules['report']
    records, baselines = run.Records(path).all(), report.read_baselines(path)
    for table in report.tables_of(records, baselines):
        assert table in page
    assert content['format'] == run.FORMAT


def test_means_by_depth(run):
    points = [
        dict(arch=[[0], [1, 0], [2, 1, 1], [0, 0, 0], [0]], loss=-1.0, accuracy=90.0),
        dict(arch=[[0], [0, 0], [2, 1, 1], [0, 0, 2], [0]], loss=-2.0, accuracy=80.0),
        dict(arch=[[0], [1, 1], [2, 1, 1], [2, 0, 0], [0]], loss=-0.5, accuracy=92.0),
    ]
    assert run.by_depth(points) == [
        dict(layers=4, num=2, loss=1.5, accuracy=85.0),
        dict(layers=6, num=1, loss=0.5, accuracy=92.0),
    ]


def test_mean_loss_of_each_epoch(run, tmp_path):
    losses = [3.0, 2.0, 1.0, 0.5, 0.5, 0.5]
    path = tmp_path / 'log.jsonl'
    lines = [json.dumps(dict(step=i, loss=loss)) for i, loss in enumerate(losses)]
    path.write_text('\n'.join(lines) + '\n')
    assert run.epoch_losses(path, 2) == [2.0, 0.5]
    assert run.epoch_losses(path, 3) == [2.5, 0.75, 0.5]


def test_time_of_training_steps(run, tmp_path):
    (tmp_path / 'spos.py').write_text('train_dataloader = dict(batch_size=10)\nmax_epochs = 2\n')
    log = tmp_path / '20260101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    rows = [dict(step=s, time=t, loss_cls=1.0) for s, t in ((100, 0.5), (200, 0.25), (250, 1.0))]
    log.write_text('\n'.join(json.dumps(r) for r in [*rows, dict(step=2, top1=3.0)]) + '\n')
    (tmp_path / 'path_log.jsonl').write_text('{}\n' * 260)
    assert run.step_times(tmp_path) == dict(seconds=100 * 0.5 + 100 * 0.25 + 60, images=2600)


def sets_of_baselines(num_seeds):
    """NASWOT of seed s has tau 0.4 + s / 10."""
    entry = dict(kendall=dict(value=0.4, interval=[0.3, 0.5]))
    constant = dict(kendall=dict(value=None, interval=None))
    names = ('macs', 'params', 'layers', 'naswot', 'fitted_effects', 'one_training')
    subset = dict.fromkeys(names, entry) | dict(
        num=33, layers=constant, naswot_seeds=[0.4 + s / 10 for s in range(num_seeds)]
    )
    subsets = ('all', 'accuracy >= 90', 'accuracy >= 92', 'without identity')
    return dict.fromkeys(('all', 'rated'), dict.fromkeys(subsets, subset))


def test_report_with_baselines(run, tmp_path):
    path = tmp_path / 'ranking.json'
    records = [record(run, 'spos', seed, 0.6 + seed / 5) for seed in (0, 1)]
    path.with_name('naswot.json').write_text(json.dumps(dict(sets=sets_of_baselines(2))))
    run.write_report(records, path)
    text = path.with_suffix('.md').read_text()
    assert '| - | 2 | NASWOT, untrained | 0.450 (0.400 to 0.500) |' in text
    assert '| - | - | layers that are no identity | - | - | - | - |' in text
    # 0.6 - 0.4 and 0.8 - 0.5: mean 0.25, deviation 0.1 / sqrt(2), t of one degree 12.706.
    assert '| spos | 2 | cross entropy | +0.250 [-0.385, +0.885] |' in text
    assert '| those that are rated | | n = 33 |' in text
    assert '| | ceiling: one training of each network | 0.400 [0.300, 0.500] |' in text
    # Runs of seeds that NASWOT has not are compared with nothing.
    path.with_name('naswot.json').write_text(json.dumps(dict(sets=sets_of_baselines(1))))
    run.write_report(records, path)
    assert 'less NASWOT' not in path.with_suffix('.md').read_text()


@pytest.fixture
def naswot(monkeypatch, run):
    yield SimpleNamespace(**runpy.run_path(str(FOLDER / 'naswot.py')))
    for name in ('run', 'report'):
        sys.modules.pop(name, None)


@pytest.fixture
def space():
    return MBConvSpace.build(
        dict(preset='nas_bench_macro', widths=(8, 8, 8), stem_channels=8, final_channels=8)
    )


class Images:
    """50 random images in two folders."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        rng = torch.Generator().manual_seed(i)
        return dict(inputs=torch.randn(3, 8, 8, generator=rng))

    def get_data_info(self, i):
        return dict(img_path=f'data/train/class{i % 2}/{i:04d}.jpg')


def test_naswot_goes_on_after_a_kill(naswot, space, tmp_path):
    def stack(batch):
        return dict(inputs=torch.stack(batch['inputs']))

    model = SimpleNamespace(backbone=SimpleNamespace(space=space), data_preprocessor=stack)
    archs = [space.parse(text) for text in ('01200210', '22222222', '10012012')]
    log = tmp_path / 'naswot/0.jsonl'
    whole = naswot.rate(archs, model, Images(), 0, log)
    assert list(whole['scores']) == ['01200210', '22222222', '10012012']
    assert len(set(whole['images'])) == 32 and whole['images'][0].startswith('class')
    chosen = [int(name[7:11]) for name in whole['images']]
    images = torch.stack([Images()[i]['inputs'] for i in chosen])
    expected = naswot_scores(archs, space, images)
    assert list(whole['scores'].values()) == pytest.approx(expected, abs=1e-4)

    lines = log.read_text().splitlines(keepends=True)
    changed = lines[0].replace(f'{whole["scores"]["01200210"]}', '1.5')
    log.write_text(changed + lines[1][:20])  # the second line was being written
    again = naswot.rate(archs, model, Images(), 0, log)
    assert again['scores'] == whole['scores'] | {'01200210': 1.5}  # not rated again
    assert len(log.read_text().splitlines()) == 3


def test_correlations_of_baselines_and_ceilings(naswot, space):
    texts = ('00000000', '20000000', '11111111', '12121212', '22222222')
    archs = [space.parse(text) for text in texts]
    truth, macs = [70.0, 90.0, 91.0, 92.0, 93.0], [1.0, 5.0, 2.0, 3.0, 4.0]
    rows = [TableRow(*values, 1.0) for values in zip(archs, truth, macs)]
    records = [
        dict(scores=dict(zip([space.format(space.canonical(a)) for a in archs], scores)))
        for scores in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    ]
    trainings = {
        space.format(space.canonical(arch)): [first, value + 1, value - 1]
        for arch, value, first in zip(archs, truth, [5.0, 1, 2, 3, 4])
    }
    effects = MainEffects(archs, truth)
    found = naswot.correlations(rows, space, records, trainings, effects, num_resamples=5)
    assert [found[key]['num'] for key in found] == [5, 4, 2, 3]
    overall = found['all']
    assert overall['naswot_seeds'] == pytest.approx([1, -1])
    # Of ten pairs, those of the second network with the three after it are the wrong way round.
    assert overall['macs']['kendall']['value'] == pytest.approx(0.4)
    # The first training puts the worst network on top: four pairs.
    assert overall['one_training']['kendall']['value'] == pytest.approx(0.2)
    assert overall['naswot']['kendall_minus_macs']['value'] == pytest.approx(0.6)
    # Three networks of eight layers tie: 7 of 10 pairs differ.
    assert overall['layers']['kendall']['value'] == pytest.approx(np.sqrt(0.7))
    assert found['without identity']['layers']['kendall']['value'] is None


def test_the_committed_baselines_are_of_the_networks_of_the_records(run):
    report = sys.modules['report']
    path = ROOT / 'docs/results/ranking.json'
    rated, record = report.read_baselines(path)['rated'], run.Records(path).all()[0]
    for subset in report.SUBSETS:
        assert rated[subset]['num'] == record['subsets'][subset]['num']
        for cost in ('macs', 'params'):
            ours, theirs = (x[cost]['kendall'] for x in (rated[subset], record['subsets'][subset]))
            assert ours['value'] == pytest.approx(theirs['value'], abs=1e-12)


@pytest.fixture
def regret(monkeypatch, run):
    yield SimpleNamespace(**runpy.run_path(str(FOLDER / 'regret.py')))
    for name in ('run', 'naswot'):
        sys.modules.pop(name, None)


def test_what_naswot_adds_to_effects(regret, space):
    archs = [space.parse(text) for text in ('00000000', '10000000', '12222222', '22222222')]
    rows = [TableRow(*values, 1.0) for values in zip(archs, [60.0, 92.0, 91.0, 95.0], [1, 2, 3, 4])]
    weights = {
        f'{stage}.{layer}.{choice}': float(choice == 1)
        for stage, depth in enumerate(space.depths, start=1)
        for layer in range(depth)
        for choice in range(3)
    }
    scores = dict(zip(['00000000', '10000000', '12222222', '22222222'], [1.0, 2.0, 4.0, 5.0]))
    ranks, missed = regret.with_naswot(rows, space, weights, scores)
    # Effects 0 1 1 0: of the pairs that do not tie, 0-1 and 0-2 right, 3-1 and 3-2 wrong.
    assert ranks['all'] == dict(num=4, effects=0.0, naswot=0.6667, effects_naswot=0.0)
    # In deviations: 0 + 0.63, 2 + 1.26, 2 + 2.53, 0 + 3.16.
    assert missed == dict(effects=3.0, naswot=0.0, effects_naswot=4.0)
    assert ranks['accuracy >= 92']['num'] == 2 and ranks['without identity']['num'] == 2
    assert ranks['accuracy >= 92']['effects'] == -1.0


def test_table_of_what_naswot_adds(regret):
    def one(share, effects, both, num=30):
        ranks = dict(num=num, effects=effects, naswot=0.5, effects_naswot=both)
        few = dict(num=19, effects=None, naswot=None, effects_naswot=None)
        return dict(share=share, ranks=dict.fromkeys(regret.SUBSETS, few) | dict(all=ranks))

    records = [one(0.2, 0.6, 0.7), one(0.2, 0.8, 0.8), one(1.0, 0.7, 0.9, 90)]
    assert regret.ranks_of(records)[2:] == [
        # Differences 0.1 and 0: t of one degree 12.706 times 0.05.
        '| 0.2 | all | 30 | 0.700 | 0.500 | 0.750 | +0.050 [-0.585, +0.685] | 2 |',
        '| 1.0 | all | 90 | 0.700 | 0.500 | 0.900 | +0.200 | 1 |',
        '| all | all |  | 0.700 | 0.500 | 0.800 | +0.100 [-0.148, +0.348] | 3 |',
    ]
    assert regret.ranks_of([dict(share=0.2)]) == []


def test_regret_table(regret, tmp_path, capsys):
    def one(share, seed, old, new):
        values = dict.fromkeys(regret.RULES, 1.0) | dict(board_top1=old, effects_veto=new)
        return dict(
            share=share, seed=seed, macs_m=6.8, networks=99, best=91.5, regret=values, archs={}
        )

    records = [one(0.2, 0, 3.0, 0.5), one(0.2, 1, 2.0, 0.5), one(1.0, 0, 1.5, 1.0)]
    page = tmp_path / 'ranking.md'
    page.write_text('# Title\n')
    regret.write_table(records, page)
    regret.write_table(records, page)  # again: in place of the first
    text = page.read_text()
    assert text.count('| random, mean |') == 1
    assert '| board, best top-1 (old) | 2.50 (3.00 2.00) | 1.50 | 2.00 |' in text
    assert '| training effects, vetoed by ratings (new) | 0.50 | 1.00 | 0.75 |' in text
    # Differences 2.5, 1.5, 0.5: mean 1.5, standard error 1 / sqrt(3), t of two degrees 4.303.
    assert 'ratings (new): +1.50 [-0.98, +3.98] points over 3 runs' in text


def test_budgets_of_the_regret(regret):
    costs = SimpleNamespace(extremes=lambda: (dict(macs_m=2.0), dict(macs_m=12.0)))
    assert [regret.highest(costs, s) for s in regret.SHARES] == [4.0, 6.0, 8.0, 10.0, 12.0]


def test_the_page_has_the_table_of_the_regret_records(regret):
    records = regret.read_records(ROOT / 'docs/results/regret.json')
    if not records:
        pytest.skip('no records yet')
    text = (ROOT / 'docs/results/ranking.md').read_text()
    assert '\n'.join(regret.table_of(records)) in text
    assert '\n'.join(regret.ranks_of(records)) in text
