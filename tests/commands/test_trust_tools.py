"""tools/search.py, rank_correlation.py and train_paths.py on an untrained supernet of the demo."""

import copy
import csv
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.config.load import load_config
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.search import MainEffects
from cream_mm.spaces import MBConvSpace, NASBench201Space
from cream_mm.structures import Arch
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/demo/search_digits.py'
FAST = ['--num-images', 9, '--bn-policy', 'batch_stats']


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A folder with ``data/`` and ``supernet.pth``."""
    home = tmp_path_factory.mktemp('trust')
    data = write_image_folder(
        home / 'data', classes=('a', 'b', 'c'), train=30, val=6, size=(28, 28)
    )
    cfg = load_config(str(CONFIG), dict(data_root=str(data)))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), home / 'supernet.pth')
    return home


@pytest.fixture
def call(monkeypatch, capsys, home):
    """Run a tool in this process; gives what it printed, or its error."""

    def run_here(tool, *args, options=()):
        options = ['--cfg-options', f'data_root={home / "data"}', *options]
        argv = [str(ROOT / 'tools' / tool), *map(str, (*args, *options))]
        monkeypatch.setattr(sys, 'argv', argv)
        try:
            runpy.run_path(argv[0], run_name='__main__')
        except SystemExit as end:
            return str(end.code)
        return capsys.readouterr().out

    return run_here


def write_path_log(path):
    """A training in which choice 1 of every layer was the best."""
    space = MBConvSpace.build(load_config(str(CONFIG), check_data=False).model.backbone.space)
    rng, lines = np.random.default_rng(0), []
    for step in range(200):
        flat = rng.integers(len(space.choices), size=space.num_layers)
        loss = 2 - 0.1 * (flat == 1).sum()
        arch = space.decode(flat.tolist()).to_list()
        lines.append(json.dumps(dict(step=step, arch=arch, loss=loss)))
    path.write_text('\n'.join(lines) + '\n')


FITTED = ['main_effects', 'training_effects']  # pick by the fit


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ('evolution', 'nao', 'random')]


@pytest.mark.parametrize('strategy', [*SLOW, 'nsga2', *FITTED])
def test_search(call, home, tmp_path, strategy):
    if strategy == 'nsga2':
        pytest.importorskip('pymoo')
    args = ['search.py', CONFIG, home / 'supernet.pth', '--strategy', strategy, '--num', 6]
    args += ['--work-dir', tmp_path, *FAST]
    if strategy == 'nao':  # a fit after three random paths, and one after each two of its own
        options = ['num_initial=3', 'num_new=2', 'epochs=3']
        args[-len(FAST) : -len(FAST)] = ['--strategy-options', *options]
    if strategy == 'training_effects':
        log = tmp_path / 'log.jsonl'
        write_path_log(log)
        args[-len(FAST) : -len(FAST)] = ['--path-log', log]
    call(*args)
    content = json.loads((tmp_path / 'search.json').read_text())
    whole = copy.deepcopy(content)
    for row in (*content['rated'], *content['front']):
        row.pop('vs_answer', None)
    asked = [r for r in content['rated'] if r['source'] in ('given', 'effects')]
    assert len({str(r['arch']) for r in asked}) == 6
    (told,) = tmp_path.glob('*/*.log')  # the screen shows some of these lines
    assert 'Rated [6/' in told.read_text()
    assert told.read_text().count('of the controller to') == 2 * (strategy == 'nao')
    assert all(2.3 <= r['macs_m'] <= 3.2 for r in content['rated'])
    best = min(asked, key=lambda r: r['loss'])
    if strategy in FITTED:
        best = content['best']
    assert content['best'] == best and best in content['rated']
    assert strategy in FITTED or best in content['front']
    if strategy == 'training_effects':  # choice 1 of each layer was made to be the best
        firsts = [sum(c == 1 for stage in r['arch'] for c in stage) for r in asked]
        assert sum(c == 1 for stage in best['arch'] for c in stage) == max(firsts)
    arch, _, about = resolve_arch(str(tmp_path / 'best_arch.json'))
    assert arch.to_list() == best['arch'] and about['rating']['num_images'] == 9

    # A kill in the middle: what was rated is not rated again, and the end is the same.
    log = tmp_path / 'ratings.jsonl'
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(''.join(lines[:3]))
    (tmp_path / 'search.json').unlink()
    call(*args)
    assert json.loads((tmp_path / 'search.json').read_text()) == whole
    assert log.read_text() == ''.join(lines)


def test_search_of_an_empty_board(call, home, tmp_path):
    args = ['search.py', CONFIG, home / 'supernet.pth', '--strategy', 'board', *FAST]
    text = call(*args, '--work-dir', tmp_path)
    assert text == "error: strategy 'board' has no path to propose"


def test_the_config_that_a_resumed_run_wrote(call, home, tmp_path):
    folder = tmp_path / 'of two words'
    text = call(
        'search.py', CONFIG, home / 'supernet.pth', '--strategy', 'random', '--num', 1, *FAST,
        '--work-dir', folder, options=['resume=True'],
    )  # fmt: skip
    assert '1 given, 2 reference' in text
    (command,) = (line for line in text.splitlines() if 'tools/export_arch.py' in line)
    assert shlex.split(command)[2:] == [
        str(folder / 'best_arch.json'), '--checkpoint', str(home / 'supernet.pth'),
        '--out', str(folder / 'export'),
    ]  # fmt: skip
    options = ['resume=True', 'test_cfg.num_random=1', 'test_cfg.num_images=9']
    call('test.py', CONFIG, home / 'supernet.pth', '--work-dir', tmp_path / 't', options=options)
    rated = json.loads((tmp_path / 't/board.json').read_text())['rated']
    assert sorted(row['source'] for row in rated) == ['random', 'reference', 'reference']


@pytest.fixture
def table(tmp_path):
    """60 random networks of the demo's space with made-up accuracies."""
    rng = np.random.default_rng(0)
    lines = ['arch,accuracy']
    for flat in rng.permutation(6**6)[:60]:
        digits = np.base_repr(flat, 6).zfill(6)
        lines.append(f'{digits},{90 + rng.normal():.3f}')
    path = tmp_path / 'table.csv'
    path.write_text('\n'.join(lines) + '\n')
    return path


@pytest.mark.slow
def test_rank_correlation(call, home, table, tmp_path):
    args = ['rank_correlation.py', CONFIG, home / 'supernet.pth', table, '--num', 10]
    args += ['--out', tmp_path / 'out', '--resamples', 20, '--above', 90, '--without', 5, *FAST]
    text = call(*args, '--score', 'top1')
    content = json.loads((tmp_path / 'out/rank_correlation.json').read_text())
    macs = [point['macs_m'] for point in content['points']]
    assert len(macs) == content['num'] and 10 <= len(macs) <= 12
    assert list(content['subsets']) == ['all', 'accuracy >= 90', 'without 5']
    assert (tmp_path / 'out/scatter.png').is_file()
    assert f'| all | {len(macs)} | score |' in text
    assert (
        f'NASWOT of {len(macs)} networks' in text and f'[{len(macs)}/{len(macs)}] eta: 0:00' in text
    )
    untrained = [point['naswot'] for point in content['points']]
    assert len(set(untrained)) == len(macs) and 'layers' in content['subsets']['all']

    # From its own ratings, without the supernet: the same coefficients, whatever is left out.
    ratings = ['--ratings', tmp_path / 'out/ratings.jsonl', '--out', tmp_path / 'again']
    call('rank_correlation.py', CONFIG, table, *ratings, '--resamples', 20)
    again = json.loads((tmp_path / 'again/rank_correlation.json').read_text())
    kept = ('arch', 'score', 'accuracy', 'macs_m')
    assert [[p[k] for k in kept] for p in again['points']] == [
        [p[k] for k in kept] for p in content['points']
    ]
    ours, theirs = (c['subsets']['all']['score']['kendall'] for c in (again, content))
    assert ours['value'] == pytest.approx(theirs['value'])
    assert ours['interval'] == pytest.approx(theirs['interval'])
    assert [point['naswot'] for point in again['points']] == untrained

    # Nor without images: one line says what is missing beside the scores.
    nowhere = [f'data_root={tmp_path / "nowhere"}']
    text = call('rank_correlation.py', CONFIG, table, *ratings, '--resamples', 2, options=nowhere)
    assert 'note: no NASWOT beside the scores: the images are not here' in text
    again = json.loads((tmp_path / 'again/rank_correlation.json').read_text())
    assert 'naswot' not in again['points'][0] and 'naswot' not in again['subsets']['all']
    args.append('--no-naswot')

    # By cross entropy, of the same ratings: nothing is rated again.
    assert f'{len(macs)} were rated before' in call(*args, '--score', 'loss')
    by_loss = json.loads((tmp_path / 'out/rank_correlation.json').read_text())
    lines = (tmp_path / 'out/ratings.jsonl').read_text().splitlines()
    losses = {str(line['arch']): line['loss'] for line in map(json.loads, lines)}
    assert [p['score'] for p in by_loss['points']] == [
        -losses[str(p['arch'])] for p in by_loss['points']
    ]

    # Left to itself: main effects of them; with a log of the training, of that.
    call(*args)
    smooth = json.loads((tmp_path / 'out/rank_correlation.json').read_text())
    assert smooth['score'] == 'main_effects' and smooth['path_log'] is None
    fit = MainEffects(
        [Arch.from_list(p['arch'], 'cream') for p in smooth['points']],
        [p['loss'] for p in smooth['points']],
    )
    predicted = fit.predict([Arch.from_list(p['arch'], 'cream') for p in smooth['points']])
    assert [p['score'] for p in smooth['points']] == pytest.approx(predicted.tolist())

    log = tmp_path / 'path_log.jsonl'
    lines = [
        json.dumps(dict(step=i, arch=smooth['points'][i % 10]['arch'], loss=2 - i / 99))
        for i in range(40)
    ]
    log.write_text('\n'.join(lines) + '\n')
    text = call(*args, '--path-log', log)
    both = json.loads((tmp_path / 'out/rank_correlation.json').read_text())
    assert both['score'] == 'training' and both['path_log'] == str(log)
    assert list(both['subsets']['all'])[:5] == ['num', 'score', 'main_effects', 'loss', 'top1']
    assert f'| all | {len(macs)} | combined |' in text
    assert 'path_log.jsonl: it is written by' in call(*args, '--score', 'training')


def test_rank_correlation_errors(call, home, table, tmp_path):
    args = ['rank_correlation.py', CONFIG, home / 'supernet.pth']
    assert 'no table' in call(*args, tmp_path / 'none.csv', '--out', tmp_path / 'x')
    table.write_text(table.read_text() + '99,1\n')
    assert 'line 62' in call(*args, table, '--out', tmp_path / 'x')


def test_rank_correlation_of_cells(call, tmp_path):
    """One column of a table against another's; isomorphic cells are one network."""
    space, rng = NASBench201Space(), np.random.default_rng(0)
    cells = [space.sample(rng) for _ in range(40)]
    idle = '|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|'
    lines = ['arch,cellstr,a-test,a-val,b-test']
    for i, cell in enumerate([*map(space.format, cells), idle, idle.replace('3x3', '1x1')]):
        lines.append(f'{i},{cell},{90 + i},{50 + i % 7},{i % 11}')
    table, out = tmp_path / 'cells.csv', tmp_path / 'out'
    table.write_text('\n'.join(lines) + '\n')
    args = ['rank_correlation.py', ROOT / 'configs/spos/search_nb201.py', table, '--out', out]
    args += ['--ratings', table, '--resamples', 5, '--no-naswot']
    text = call(*args, '--column', 'a-test', '--ratings-column', 'b-test')
    content = json.loads((out / 'rank_correlation.json').read_text())
    assert content['num'] == 41 and content['column'] == 'a-test'
    last = content['points'][-1]  # of three classes, as the data has
    assert (last['accuracy'], last['score'], last['params_m']) == (130.5, 7.5, 0.100851)
    assert last['arch'] == [[0], [0, 0], [2, 0, 0]]
    assert '| of all, precision at the top | 5 % | 10 % | 50 % |' in text
    assert content['subsets']['all']['precision']['score']['bottom']['5'] in (0.0, 0.5, 1.0)
    assert '(--column)' in call(*args) and 'error: ' in call(*args)
    assert 'which column' in call(*args, '--column', 'a-val')  # of the file of scores
    text = call(*args, '--column', 'c-test')
    assert text.startswith('error: ') and text.count('\n') == 0
    assert "no column 'c-test'; it has arch, cellstr, a-test, a-val, b-test" in text


@pytest.mark.slow
def test_train_paths_survives_a_kill(home, tmp_path):
    command = [sys.executable, str(ROOT / 'tools/train_paths.py'), str(CONFIG), '--num', '2']
    command += ['--work-dir', str(tmp_path), '--cfg-options', f'data_root={home / "data"}']
    command += ['--train-options', 'max_epochs=2', 'batch_size=16']
    command += ['default_hooks.checkpoint.interval=1']
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}

    first = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    deadline = time.time() + 250
    while not (tmp_path / '000/train/epoch_1.pth').is_file() and first.poll() is None:
        assert time.time() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (tmp_path / 'accuracy.csv').write_bytes(b'arch,accuracy,macs_m,params_m,epochs,run\n"[[0],')

    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    with open(tmp_path / 'accuracy.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    queue = json.loads((tmp_path / 'queue.json').read_text())
    assert [json.loads(row['arch']) for row in rows] == queue['archs'] and len(rows) == 2
    assert all(row['epochs'] == '2' and 0 <= float(row['accuracy']) <= 100 for row in rows)

    again = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)
    assert again.stdout.count('was trained before') == 2
    other = [*command[:-3], 'max_epochs=3']
    refused = subprocess.run(other, env=env, capture_output=True, text=True, timeout=280)
    assert 'holds other trainings' in refused.stderr


def test_resume_without_a_checkpoint_begins_with_load_from(call, home, tmp_path):
    """With a rate of zero the weights that a training ends with are those that it began with."""
    options = [f'load_from={home / "supernet.pth"}', 'optim_wrapper.optimizer.lr=1e-30']
    options += ['max_epochs=1', 'train_cfg.rate_at_end=False', 'custom_hooks=[]']
    text = call('train.py', CONFIG, '--work-dir', tmp_path, '--resume', options=options)
    assert (tmp_path / 'epoch_1.pth').is_file(), text
    given = torch.load(home / 'supernet.pth', weights_only=True)['state_dict']
    found = load_checkpoint_file(tmp_path / 'epoch_1.pth')['state_dict']
    assert torch.equal(found['backbone.conv_stem.weight'], given['backbone.conv_stem.weight'])
