"""The pure parts of benchmarks/ranking/methods.py and first_losses.py; their runs are evidence."""

import argparse
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cream_mm.spaces import MBConvSpace

ROOT = Path(__file__).resolve().parents[2]
BESIDE = (
    'methods', 'methods_report', 'first_losses', 'dna', 'dna_report', 'naswot', 'regret',
    'close_report', 'report', 'run',
)  # fmt: skip


@pytest.fixture(scope='module')
def modules():
    """The files, and nothing of theirs left behind: other tests have a ``run`` of their own."""
    before = {name: sys.modules.pop(name, None) for name in BESIDE}
    sys.path.insert(0, str(ROOT / 'benchmarks/ranking'))
    try:
        import first_losses
        import methods
        import methods_report
        import run

        yield SimpleNamespace(
            methods=methods, report=methods_report, run=run, first_losses=first_losses
        )
    finally:
        sys.path.remove(str(ROOT / 'benchmarks/ranking'))
        for name in BESIDE:
            sys.modules.pop(name, None)
            if before[name] is not None:
                sys.modules[name] = before[name]


def run_of(method, seed, value, **more):
    kendall = dict(kendall=dict(value=value))
    subset = dict(num=9, score=kendall, loss=dict(kendall=dict(value=value / 2)))
    subsets = dict.fromkeys(('all', 'accuracy >= 90'), subset)
    return dict(setting='cpu', method=method, seed=seed, images_seen=1280, subsets=subsets, **more)


def block_run(seed, **more):
    subset = {s: dict(dna=0.3) for s in ('all', 'accuracy >= 90')}
    found = dict(dna=0.2, macs=2.0, layers=0.5, naswot=1.0 + seed, random=4.0, networks=7, best=90)
    return dict(
        seed=seed, images_seen=1280, cpu_s=dict(teacher=30.0, search=40.0),
        tau=dict(rated=subset), regret={'0.2': found, '1.0': found}, **more,
    )  # fmt: skip


@pytest.fixture
def folder(modules, tmp_path):
    """Single paths with three seeds; strict fairness with two; DNA with one."""
    used = dict(train=dict(cpu_s=600.0, peak_mb=1500.0), rank_correlation=dict(cpu_s=9, peak_mb=1))
    runs = [run_of('spos', s, 0.6) for s in (0, 1)] + [run_of('spos', 3, 0.6, usage=used)]
    runs += [run_of('fairnas', s, 0.7 + s / 10) for s in (0, 1)]
    entry = dict(kendall=dict(value=0.5))
    names = ('macs', 'layers', 'naswot', 'one_training', 'fitted_effects')
    subset = dict.fromkeys(names, entry) | dict(num=9, naswot_seeds=[0.4, 0.6])
    sets = dict(rated=dict.fromkeys(('all', 'accuracy >= 90'), subset))
    regret = [
        dict(method=m, seed=s, regret={'0.2': value, '1.0': value / 2})
        for m, s, value in (('spos', 0, 1.0), ('spos', 1, 2.0), ('fairnas', 0, 0.0),
                            ('fairnas', 1, 0.0))
    ]  # fmt: skip
    again = [run_of('fairnas', 1, 0.75, usage=used)]
    for name, content in (
        ('ranking', dict(format=modules.run.FORMAT, runs=runs)),
        ('dna', dict(format='cream_mm.dna_ranking/1', pilot=None, runs=[block_run(0)])),
        ('naswot', dict(sets=sets)),
        ('methods', dict(format=modules.methods.FORMAT, again=again, dna_again=[], regret=regret)),
    ):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


def test_one_page_of_all_records(modules, folder):
    page = folder / 'methods.md'
    page.write_text('# Mine\n\nbefore\n')
    modules.report.write_report(folder)
    modules.report.write_report(folder)  # again: in place of the first
    text = page.read_text()
    assert text.startswith('# Mine\n\nbefore\n') and text.count('tau, all') == 2
    assert (folder / 'methods.png').stat().st_size > 10_000
    means, less, regrets, regrets_less, again = modules.report.tables_of(
        modules.report.Results(folder)
    )
    assert '| single paths (SPOS) | 3 | 1,280 | 600 (1) | 1,500 | 0.600 [0.600, 0.600] |' in means
    assert '| strict fairness (FairNAS) | 2 | 1,280 | 600 (1) | 1,500 | 0.750 [' in means
    assert '| 1,280, teacher as many | 70 (1) | - | 0.300 | 0.300 | - | - |' in means
    assert "Cream's board" not in means  # no run of it
    assert '| NASWOT, untrained | 2 | - | - | - | 0.500 [-0.771, 1.771] |' in means
    # 0.1 and 0.2 above; t of one degree 12.706. By cross entropy half of it.
    assert '| strict fairness (FairNAS) | 0 1 | +0.150 [-0.485, +0.785] |' in less
    assert '| block-wise distillation (DNA) | 0 | -0.300 | -0.300 | - | - |' in less
    assert '| single paths (SPOS) | 0 1 | 1.50 | 0.75 | 1.12 [-3.64, 5.89] |' in regrets
    assert '| random, mean | - | 4.00 | 4.00 | 4.00 |' in regrets
    # Means of the shares 0.75 and 1.5 less.
    assert '| strict fairness (FairNAS) | 0 1 | -1.12 [-5.89, +3.64] |' in regrets_less
    assert '| fairnas 1 | 0.800, 0.750 |' in again


def test_what_is_missing(modules, folder):
    args = modules.methods.parse_args(['--results', str(folder)])
    args.again = folder / 'methods.json'
    records = modules.run.Records(folder / 'ranking.json')
    runs, seeds = modules.methods.missing_runs(args, records)
    keys = [(run['method'], run['seed']) for run in runs]
    assert keys[:3] == [('cream', 0), ('fair_cream', 0), ('nao', 0)] and seeds == [1, 2]
    assert ('spos', 2) in keys and ('spos', 3) not in keys and ('cream', 3) not in keys
    # Rows without a record whose costs are known, and without a run to come.
    assert modules.methods.missing_again(args, records) == ['dna']
    args.rows = ['fairnas']
    content = json.loads(args.again.read_text())
    args.again.write_text(json.dumps(dict(content, again=[])))
    assert modules.methods.missing_again(args, records) == []  # seed 2 is to come
    for seed in range(2, 6):
        records.add(dict(run_of('fairnas', seed, 0.7)))
    assert modules.methods.missing_again(args, records) == ['fairnas']
    modules.methods.take_again(args.again, run_of('fairnas', 0, 0.7, usage={}))
    modules.methods.take_again(args.again, run_of('fairnas', 0, 0.8, usage={}))
    found = json.loads(args.again.read_text())['again']
    assert len(found) == 1 and modules.methods.missing_again(args, records) == []


def test_the_regret_of_effects(modules):
    """Points of the last layer decide; within the small budget the best is out of reach."""
    space = MBConvSpace.build('nas_bench_macro')
    texts = ('00000000', '00000001', '00000002', '22222220')
    rows = [SimpleNamespace(arch=space.parse(text)) for text in texts]
    table = SimpleNamespace(rows=rows, truth=np.array([80.0, 93.0, 90.0, 92.0]),
                            macs=np.array([1.0, 2.0, 3.0, 9.0]), inside={})  # fmt: skip
    shares = dict.fromkeys(modules.methods.SHARES, np.ones(4, bool))
    table.inside = shares | {0.2: np.array([True, True, False, False])}
    weights = {
        f'{stage}.{layer}.{choice}': float((stage, layer) == (3, 2)) * choice
        for stage, depth in enumerate(space.depths, start=1)
        for layer in range(depth)
        for choice in range(3)
    }
    found = modules.methods.regret_of(weights, table)
    assert found == {'0.2': 0.0, '0.4': 3.0, '0.6': 3.0, '0.8': 3.0, '1.0': 3.0}


def test_first_losses_of_two_codes(modules):
    old = [dict(loss=2.0, loss_kd=0.5), dict(loss=1.0, loss_kd=0.25)]
    new = [dict(loss=2.0, loss_kd=0.5), dict(loss=1.0005, loss_kd=0.2525)]
    found = modules.first_losses.compared(old, new)
    assert found['differ'] == pytest.approx([0.0, 0.0025]) and not found['alike']
    assert found['losses'] == [2.0, 1.0005] and modules.first_losses.compared(old, old)['alike']
    with pytest.raises(ValueError, match='not the same losses'):
        modules.first_losses.compared(old, [dict(loss=2.0)] * 2)
    about = dict(method='spos', seed=0, commit='abc', precision='double')
    results = SimpleNamespace(alike=[dict(about, **found)])
    assert '| spos 0 | abc | double | 1 | 2.5e-03 | no |' in modules.report.first_losses(results)


def test_what_older_records_lack_is_taken_from_their_runs(modules, tmp_path):
    folder = tmp_path / 'cpu-spos-1'
    (folder / 'rank_epoch_7').mkdir(parents=True)
    rng, space = np.random.default_rng(0), MBConvSpace.build('nas_bench_macro')
    lines = []
    for step in range(300):
        arch = space.sample(rng)
        loss = 2.0 - 0.5 * (arch.stages[2][0] == 1)
        lines.append(json.dumps(dict(step=step, arch=arch.to_list(), loss=loss)))
    (folder / 'path_log.jsonl').write_text('\n'.join(lines) + '\n')
    names = (*modules.run.SCORES, 'accuracy')
    points = [dict.fromkeys(names, float(i)) | dict(macs_m=float(-i)) for i in range(9)]
    points[0]['loss'] = 1.5  # of the three with the most MACs, 0 1 2
    path = folder / 'rank_epoch_7/rank_correlation.json'
    path.write_text(json.dumps(dict(points=points)))
    records = modules.run.Records(tmp_path / 'r.json')
    records.add(run_of('spos', 1, 0.5))
    records.add(run_of('spos', 0, 0.5))  # its folder is gone
    modules.run.complete(records, argparse.Namespace(work_dir=tmp_path))
    without, record = modules.run.Records(tmp_path / 'r.json').all()
    assert 'effects' not in without
    assert record['largest_third']['num'] == 3 and record['largest_third']['score'] == 1.0
    assert record['largest_third']['loss'] == pytest.approx(1 / 3, abs=1e-6)
    assert record['largest_third']['macs_m'] == -1.0
    gain = record['effects']['3.0.1'] - record['effects']['3.0.2']
    assert gain == pytest.approx(0.5, abs=0.05)
    assert record['subsets'] == without['subsets']


def test_the_committed_records_are_those_of_the_page(modules):
    folder = ROOT / 'docs/results'
    text = (folder / 'methods.md').read_text()
    for table in modules.report.tables_of(modules.report.Results(folder)):
        assert table in text
