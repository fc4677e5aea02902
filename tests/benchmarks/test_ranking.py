"""The records and the report of benchmarks/ranking; its runs are slow evidence of their own."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cream_mm.config.load import load_config

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
    assert len(runs) == 12 and [r['seed'] for r in runs] == [0] * 6 + [1] * 3 + [2] * 3
    assert len(run.list_runs(run.parse_args(['--methods', 'spos', '--seeds', '7', '8']))) == 2
    for method in run.SEEDS:
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
    assert {r['method'] for r in published.all()} == set(run.SEEDS)


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
    for table in report.tables_of(run.Records(path).all()):
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


@pytest.fixture
def regret(monkeypatch, run):
    yield SimpleNamespace(**runpy.run_path(str(FOLDER / 'regret.py')))
    sys.modules.pop('run', None)


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
