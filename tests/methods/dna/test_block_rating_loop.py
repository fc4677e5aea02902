"""A whole block-wise search: its files, its numbers, and blocks that other machines trained."""

import itertools
import json

import numpy as np
import pytest
from made_blocks import CELLS, run_search, write_config
from mmengine.registry import init_default_scope

from cream_mm.config.load import load_config
from cream_mm.engine import Runner
from cream_mm.files.block_ratings import read_block_ratings


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return run_search(tmp_path_factory.mktemp('whole'))


def test_the_answer_is_the_best_of_all_networks(run):
    answer, front, blocks = (
        read(run / f'{n}.json') for n in ('best_arch', 'front', 'block_ratings')
    )
    space = load_config(str(run.parent / 'search.py')).model.backbone.space
    assert blocks['space']['cells'] == [[list(cell) for cell in block] for block in space.cells]
    assert len(blocks['blocks']) == 5 and blocks['metric'] == 'relative_l1'
    # By brute force, costs of each network from a table of its own.
    from cream_mm.costs import build_cost_model
    from cream_mm.spaces import build_space

    made = build_space(dict(blocks['space'], type='BlockSpace'))
    tables, _ = read_block_ratings(run, made)
    costs = build_cost_model(made, 32)
    rows = []
    for cells in itertools.product(*(range(len(block)) for block in CELLS)):
        lists = [list(enumerate(made.candidates(b, c))) for b, c in enumerate(cells)]
        for chosen in itertools.product(*lists):
            arch = made.answer(cells, [choices for _, choices in chosen])
            macs = costs.cost(arch).in_units()['macs_m']
            score = sum(tables[b, c][i] for (b, c), (i, _) in zip(enumerate(cells), chosen))
            rows.append((macs, score, arch))
    low, high = answer['budget']['macs_m']
    least = min(score for macs, score, _ in rows if (low or 0) <= macs <= high)
    assert answer['rating']['value'] == pytest.approx(least, abs=1e-12)
    assert answer['rating']['metric'] == 'relative_l1' and answer['choice']['rule'] == 'blocks'
    assert answer['weights_travel'] is False and answer['costs']['macs_m'] <= high
    firsts = [row for row in answer['layers'] if row['stage'] in range(1, 6)]
    firsts = [row['out_channels'] for row in firsts if row['name'].endswith('.0')]
    assert answer['space']['widths'] == firsts
    for step in front['steps']:
        best = min(score for macs, score, _ in rows if macs <= step['bound'])
        assert step['rating']['score'] == pytest.approx(best, abs=1e-12)
        assert step['costs']['macs_m'] <= step['bound']
    assert front['higher_is_better'] is False and front['score'] == 'relative_l1'
    assert front['answer']['arch'] == answer['arch']
    named = {row['name']: row['costs']['macs_m'] for row in front['references'] if row['arch']}
    inside = [macs for macs, *_ in rows if macs <= high]
    assert (named['cheapest'], named['costliest']) == pytest.approx(
        (min(inside), max(inside)), rel=0.02
    )


def test_a_loss_per_block_is_logged(run):
    steps = [json.loads(line) for line in (run / 'path_log.jsonl').read_text().splitlines()]
    names = [f'loss_block{i}' for i in range(1, 6)]
    assert all(list(step['losses']) == names for step in steps) and len(steps) == 4
    assert steps[0]['loss'] == pytest.approx(sum(steps[0]['losses'].values()))


def test_the_same_command_gives_the_same_numbers(run, tmp_path):
    again = run_search(tmp_path)
    for name in ('block_ratings.json', 'path_log.jsonl'):
        assert (again / name).read_text() == (run / name).read_text()


@pytest.mark.slow
def test_blocks_of_several_machines_are_joined(run, tmp_path):
    """Each trained and rated elsewhere: bit for bit the search that has them all."""
    parts = []
    for number, blocks in enumerate(([1, 2], [3], [4, 5])):
        home = tmp_path / str(number)
        home.mkdir()
        parts.append(run_search(home, {'model.blocks': blocks}))
        assert not (parts[-1] / 'best_arch.json').exists()  # nothing is answered by halves
    cfg = load_config(
        str(write_config(tmp_path)),
        {'model.blocks': [4, 5], 'test_cfg.tables': [str(part) for part in parts[:2]]},
    )
    cfg.work_dir, cfg.load_from = str(tmp_path / 'join'), str(parts[2] / 'epoch_2.pth')
    init_default_scope('mmpretrain')
    Runner.from_cfg(cfg).test()
    ours, whole = (read(folder / 'block_ratings.json') for folder in (tmp_path / 'join', run))
    for a, b in zip(ours['blocks'], whole['blocks']):
        for x, y in zip(a['cells'], b['cells']):
            np.testing.assert_allclose(x['ratings'], y['ratings'], rtol=1e-6)
    ours, whole = (read(folder / 'best_arch.json') for folder in (tmp_path / 'join', run))
    assert ours['arch'] == whole['arch'] and ours['space'] == whole['space']


def test_ratings_of_another_space_are_refused_before_any_training(run, tmp_path):
    options = {'test_cfg.tables': [str(run)], 'model.backbone.space.width_mult': 2.0,
               'budget.macs_m': [0, 9]}  # fmt: skip
    cfg = load_config(str(write_config(tmp_path)), options)
    cfg.work_dir = str(tmp_path / 'run')
    init_default_scope('mmpretrain')
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match='another space'):
        runner.train()
    assert runner.iter == 0


def test_a_dry_run_tells_the_ratings(tmp_path):
    """All candidates, by the time of a few; nothing is recorded."""
    cfg = load_config(str(write_config(tmp_path)))
    cfg.work_dir = str(tmp_path / 'dry')
    init_default_scope('mmpretrain')
    runner = Runner.from_cfg(cfg)
    loop = runner.test_loop
    choices = len(loop.supernet.space.skeleton.choices)
    (stage,) = loop.stages(runner)
    expected = sum(choices**layers for block in CELLS for layers, _ in block)
    assert (stage.name, stage.unit, stage.number) == ('rating', 'candidates', expected)
    assert 0 < stage.seconds_each < 5 and not stage.grows
    assert not list((tmp_path / 'dry').glob('*.jsonl'))
