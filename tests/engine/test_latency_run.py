"""Whole searches under a budget of milliseconds: the answer, its files, the export, the report."""

import itertools
import json
from pathlib import Path

import pytest
from made_blocks import CELLS, SKELETON, run_search
from made_latency import by_hand, made_rows, made_table
from made_runs import small_images
from mmengine.config import Config

from cream_mm.apis.export_arch import export_arch, export_front
from cream_mm.config.latency_budget import fit_latency
from cream_mm.costs import build_cost_model
from cream_mm.engine import Runner
from cream_mm.files.block_ratings import read_block_ratings
from cream_mm.reports.search_report import SearchReport
from cream_mm.spaces import MBConvSpace, build_space
from cream_mm.testing import tiny_space

ROOT = str(Path(__file__).parents[2])
TABLE = made_table(tiny_space())
LOW, HIGH = 2.0, 3.0  # of 1.3 to 4.3 ms
MACHINE = dict(processor='Pixel 9', threads=1, device='cpu', backend='onnxruntime', dtype='float32')


def hand_ms(nested):
    """The sum of the table's entries, of an architecture as files have it."""
    choices = zip(TABLE['choices_ms'], nested[1:-1])
    return TABLE['fixed_ms'] + sum(
        times[choice] for stage, chosen in choices for times, choice in zip(stage, chosen)
    )


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return small_images(tmp_path_factory)


def write_table(folder):
    table = dict(input_size=[8, 8], batch=1, head='classifier', num_classes=3, head_channels=16,
                 check=dict(mean_error_pct=2.0, tau=0.95), **TABLE)  # fmt: skip
    content = dict(format='cream_mm.latency/1', unit='ms', space=tiny_space().to_dict(),
                   machine=MACHINE, tables=[table])  # fmt: skip
    (folder / 'latency.json').write_text(json.dumps(content))
    return str(folder / 'latency.json')


def search(data, folder, *, method='cream', sampler='PathSampler', test_cfg=None):
    """A search in which time alone is bounded; returns its work_dir."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    images = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(images, part='train'), dict(images, part='holdout')
    budget = dict(latency_ms=(LOW, HIGH))
    backbone = dict(type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), out_indices=(3,))
    head = dict(type='cream_mm.CreamClsHead', num_classes=3, in_channels=32, hidden_channels=16)
    model = dict(head=head, data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True))
    if method == 'cream':
        model.update(type='cream_mm.Cream', input_size=8, budget=budget, backbone=backbone,
                     board=dict(capacity=3, num_images=2))  # fmt: skip
        loop, hooks = 'BoardRatingLoop', [dict(type='cream_mm.BoardHook', warmup=0.3)]
    else:
        costs = dict(input_size=8, num_classes=3, head_channels=16)
        model.update(type='ImageClassifier', backbone=dict(backbone, costs=costs, budget=budget))
        loop, hooks = 'SearchLoop', []
    cfg = Config(dict(
        default_scope='mmpretrain', runner_type='cream_mm.Runner', model=model,
        latency=write_table(folder), work_dir=str(folder / 'run'),
        train_dataloader=dict(batch_size=4, num_workers=0, dataset=train,
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        test_dataloader=dict(batch_size=8, num_workers=0, dataset=held_out,
                             sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=2,
                       sampler=dict(type=f'cream_mm.{sampler}')),
        test_cfg=dict(type=f'cream_mm.{loop}', bn_dataset=train, num_random=4, num_bn_images=16,
                      **(test_cfg or {})),
        test_evaluator=[], custom_hooks=hooks, randomness=dict(seed=3), log_level='WARNING',
        default_hooks=dict(path_log=dict(type='cream_mm.PathLogHook')),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        experiment_name=f'{folder.name}-{method}',
    ))  # fmt: skip
    fit_latency(cfg, lambda line: None)
    Runner.from_cfg(cfg).train()
    return folder / 'run'


def read(run, name):
    return json.loads((run / name).read_text())


def check_files(run):
    answer, front = read(run, 'best_arch.json'), read(run, 'front.json')
    time = answer['costs']['latency_ms']
    assert LOW <= time <= HIGH and time == pytest.approx(hand_ms(answer['arch']), abs=1e-12)
    assert answer['budget'] == dict(latency_ms=[LOW, HIGH])
    assert answer['latency']['machine'] == MACHINE and answer['latency']['batch'] == 1
    assert front['cost'] == 'latency_ms' and LOW < front['steps'][-1]['bound'] <= HIGH
    for row in (*front['steps'], *(r for r in front['references'] if r['arch'])):
        assert row['costs']['latency_ms'] == pytest.approx(hand_ms(row['arch']), abs=1e-12)
        assert LOW <= row['costs']['latency_ms'] <= row.get('bound', HIGH)
    inside = [
        hand_ms([[0], list(flat[:2]), list(flat[2:]), [0]])
        for flat in itertools.product((0, 1), repeat=4)
    ]
    inside = [time for time in inside if LOW <= time <= HIGH]
    named = {row['name']: row['costs']['latency_ms'] for row in front['references']}
    assert named['cheapest'] == pytest.approx(min(inside))
    assert named['costliest'] == pytest.approx(max(inside))
    return answer, front


slow = pytest.mark.slow


@pytest.mark.parametrize(
    'method', ['cream', pytest.param('spos', marks=slow), pytest.param('fair', marks=slow)]
)
def test_an_answer_takes_the_time_that_its_table_says(data, tmp_path, method):
    sampler = 'FairPathSampler' if method == 'fair' else 'PathSampler'
    run = search(data, tmp_path, method=method, sampler=sampler)
    answer, front = check_files(run)
    trained = [json.loads(line)['arch'] for line in (run / 'path_log.jsonl').read_text().split('\n')
               if line]  # fmt: skip
    if method != 'fair':  # which trains every choice, whatever a path costs
        assert all(LOW <= hand_ms(arch) <= HIGH for arch in trained)
    rated = read(run, 'search.json' if method != 'cream' else 'board.json')
    paths = rated['rated'] + rated.get('entries', [])
    assert paths and all(p['latency_ms'] == pytest.approx(hand_ms(p['arch'])) for p in paths)

    files = export_arch(str(run / 'best_arch.json'), None, str(tmp_path / 'export'), root=ROOT)
    exported = json.loads(files['arch'].read_text())
    assert exported['costs'] == answer['costs'] and exported['latency'] == answer['latency']
    every = export_front(str(run), None, str(tmp_path / 'all'), root=ROOT)
    assert list(every) == [f'{step["costs"]["latency_ms"]:.5g}ms' for step in front['steps']]
    times = [json.loads(f['arch'].read_text())['costs']['latency_ms'] for f in every.values()]
    assert times == [step['costs']['latency_ms'] for step in front['steps']]

    report = SearchReport(run)
    rows = {label: (value, note) for label, value, note in report.results()}
    value, note = rows['Latency']
    assert value == f'{answer["costs"]["latency_ms"]:.2f} ms'
    assert note == (
        'batch 1, by a table of Pixel 9 with onnxruntime, 1 thread, inside the budget of 2 to 3 ms'
    )
    assert rows['MACs (FLOPs)'][1] == 'multiply-adds per image'
    page = report.to_html()
    assert 'Rating against latency of all rated paths' in page and 'latency (ms)' in page
    assert f'and\xa0{value}' in page or value.replace(' ', '\xa0') in page


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['evolution', 'random', 'main_effects'])
def test_every_strategy_keeps_to_the_time(data, tmp_path, strategy):
    test_cfg = dict(strategy=dict(type=strategy), num=6)
    run = search(data, tmp_path, method='spos', test_cfg=test_cfg)
    check_files(run)
    content = read(run, 'search.json')
    assert content['settings']['cost'] == 'latency_ms'
    assert all(LOW <= path['latency_ms'] <= HIGH for path in content['rated'])


@pytest.fixture(scope='module')
def blocks(tmp_path_factory):
    """A search by blocks, by a table of layers."""
    home = tmp_path_factory.mktemp('blocks')
    space = build_space(dict(SKELETON, type='BlockSpace', cells=CELLS))
    content = dict(format='cream_mm.latency_rows/1', unit='ms', batch=1, machine=MACHINE,
                   rows=made_rows(space, 32, 1000))  # fmt: skip
    (home / 'rows.json').write_text(json.dumps(content))
    options = {'latency': str(home / 'rows.json'), 'budget.macs_m': None,
               'budget.latency_ms': [1.7, 2.0]}  # fmt: skip
    return run_search(home, options)


def test_blocks_are_joined_within_the_time(blocks, tmp_path):
    """Against all networks, one by one, their times summed by hand."""
    answer, front = read(blocks, 'best_arch.json'), read(blocks, 'front.json')
    space = build_space(dict(SKELETON, type='BlockSpace', cells=CELLS))
    tables, _ = read_block_ratings(blocks, space)
    rows = []
    for cells in itertools.product(*(range(len(block)) for block in CELLS)):
        lists = [list(enumerate(space.candidates(b, c))) for b, c in enumerate(cells)]
        for chosen in itertools.product(*lists):
            network, plain = space.network(space.answer(cells, [c for _, c in chosen]))
            score = sum(tables[b, c][i] for (b, c), (i, _) in zip(enumerate(cells), chosen))
            rows.append((by_hand(plain, network, 32, 1000), score))
    inside = [row for row in rows if 1.7 <= row[0] <= 2.0]
    assert 0 < len(inside) < len(rows)
    own = MBConvSpace.build(answer['space'])
    time = by_hand(own, own.parse(answer['arch']), 32, 1000)
    assert answer['costs']['latency_ms'] == pytest.approx(time, rel=1e-12)
    assert 1.7 <= time <= 2.0
    assert answer['rating']['value'] == pytest.approx(min(s for _, s in inside), abs=1e-12)
    assert answer['latency']['machine']['processor'] == 'Pixel 9'
    assert front['cost'] == 'latency_ms' and len(front['steps']) > 2
    for step in front['steps']:
        within = [score for time, score in inside if time <= step['bound']]
        assert step['rating']['score'] == pytest.approx(min(within), abs=1e-12)
        assert 1.7 <= step['costs']['latency_ms'] <= step['bound']
    named = {row['name']: row['costs'] for row in front['references'] if row['arch']}
    ends = min(time for time, _ in inside), max(time for time, _ in inside)
    found = named['cheapest']['latency_ms'], named['costliest']['latency_ms']
    assert found == pytest.approx(ends, rel=0.01)

    files = export_arch(str(blocks / 'best_arch.json'), None, str(tmp_path), root=ROOT)
    assert json.loads(files['arch'].read_text())['costs'] == answer['costs']
    assert 'Latency' in SearchReport(blocks).summary()


def test_a_dumped_config_has_the_times(blocks):
    (dumped,) = blocks.glob('*.py')
    cfg = Config.fromfile(str(dumped))
    times = cfg.model.backbone.costs.latency.to_dict()
    space = build_space(dict(SKELETON, type='BlockSpace', cells=CELLS))
    low, _ = build_cost_model(space, 32, 1000, latency=times).extremes()
    rows = made_rows(space, 32, 1000)
    same, _ = build_cost_model(space, 32, 1000, latency=dict(rows=rows)).extremes()
    assert low == same
