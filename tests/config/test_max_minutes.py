"""As many epochs as fit into a time: chosen once, carried to every place, kept afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_blocks import write_config
from mmengine.config import Config

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.config import max_minutes
from cream_mm.config.check import check_top_level
from cream_mm.config.max_minutes import fitting, size_epochs
from cream_mm.config.value_ranges import check_values
from cream_mm.engine.stage import Stage

ROOT = Path(__file__).resolve().parents[2]


def measured(multiple=1, max_epochs=10, least=1):
    """10 epochs of 60 s, and 400 s besides."""
    stages = [
        Stage('start', 'time', 1, 100.0),
        Stage('training', 'steps', 200, 3.0, grows=True),
        Stage('rating', 'paths', 20, 15.0),
    ]
    stages = [stage._asdict() for stage in stages]
    return dict(stages=stages, max_epochs=max_epochs, multiple=multiple, least_epochs=least)


def config(tmp_path, **kwargs):
    return Config(
        dict(
            max_epochs=10,
            train_cfg=dict(max_epochs=10, val_interval=2),
            param_scheduler=[dict(type='CosineAnnealingLR', begin=2, end=10)],
            work_dir=str(tmp_path),
            **kwargs,
        )
    )


@pytest.fixture
def dry_runs(monkeypatch):
    """The commands that were measured."""
    commands = []

    def measure(command):
        commands.append(list(command))
        return measured()

    monkeypatch.setattr(max_minutes, '_measure', measure)
    return commands


def test_what_fits():
    # 30 min, of which 27 are planned: 1620 s less 400 are 20 epochs.
    chosen, line = fitting(measured(), 30)
    assert chosen == dict(
        max_minutes=30, max_epochs=20, training_minutes=20.0, other_minutes=6.667,
        reserve_minutes=3.333,
    )  # fmt: skip
    assert line == (
        'max_minutes=30: 20 epochs; 20.0 min of training and validation, 6.7 of all else, '
        '3.3 left as reserve'
    )
    assert fitting(measured(), 30, spent=61)[0]['max_epochs'] == 19
    assert fitting(measured(), 10)[1].endswith(
        '. Of 10 epochs that the config plans: it learns little'
    )
    assert fitting(measured(), 11)[1].endswith('left as reserve')
    assert fitting(measured(multiple=3), 30)[0]['max_epochs'] == 18


def test_too_little_time():
    chosen, line = fitting(measured(), 5)
    assert chosen['max_epochs'] == 1 and line == (
        'max_minutes=5 is too short: one epoch takes 1.0 min, and all else 6.7 (rating 5.0, start '
        '1.7). The run takes about 7.7 min so, and learns little; the 10 epochs of the config '
        'would take 17'
    )
    chosen, line = fitting(measured(multiple=4), 5)
    assert chosen['max_epochs'] == 4 and '4 epochs, the least, take 4.0 min' in line
    chosen, line = fitting(measured(least=2), 5)  # a training in two phases
    assert chosen['max_epochs'] == 2 and '2 epochs, the least, take 2.0 min' in line
    assert fitting(measured(multiple=4, least=5), 5)[0]['max_epochs'] == 8


def test_a_run_of_steps_is_refused():
    with pytest.raises(ValueError, match='train_cfg.max_iters'):
        fitting(measured(max_epochs=None), 30)


def test_the_schedule_stretches_and_the_choice_is_noted(tmp_path, dry_runs):
    cfg = config(tmp_path, max_minutes=30)
    size_epochs(cfg, {}, ['tools/train.py', 'a.py'])
    assert dry_runs == [['tools/train.py', 'a.py']]
    assert cfg.max_epochs == cfg.train_cfg.max_epochs == 20 and cfg.sized_epochs is True
    assert (cfg.param_scheduler[0].begin, cfg.param_scheduler[0].end) == (4, 20)
    content = json.loads((tmp_path / 'time_budget.json').read_text())
    assert content['format'] == 'cream_mm.time_budget/1'
    assert (content['max_minutes'], content['max_epochs']) == (30, 20)
    assert content['measured'] == measured()
    # What a run dumps is not sized again, unless another time is given.
    again = Config.fromstring(cfg.pretty_text, '.py')
    size_epochs(again, {}, ['x'])
    assert again.max_epochs == 20 and len(dry_runs) == 1
    size_epochs(again, dict(max_minutes=30), ['x'])
    assert len(dry_runs) == 2


def test_a_run_that_goes_on_keeps_its_epochs(tmp_path, dry_runs):
    begun = config(tmp_path, max_minutes=30)
    size_epochs(begun, {}, [])
    cfg = config(tmp_path, max_minutes=30, resume=True, load_from=None)
    size_epochs(cfg, dict(max_minutes=30), [])
    assert cfg.max_epochs == 20 and len(dry_runs) == 1
    (tmp_path / 'time_budget.json').write_text('[]')
    cfg = config(tmp_path, max_minutes=30, resume=True, load_from=None)
    with pytest.raises(ValueError, match=r'time_budget\.json does not tell'):
        size_epochs(cfg, {}, [])
    (tmp_path / 'time_budget.json').unlink()
    size_epochs(cfg, {}, [])  # --resume where nothing was begun
    assert len(dry_runs) == 2
    (tmp_path / 'time_budget.json').unlink()
    cfg = config(tmp_path, max_minutes=30, resume=True, load_from='epoch_3.pth')
    with pytest.raises(ValueError, match='cannot get max_minutes when it goes on'):
        size_epochs(cfg, {}, [])


def test_without_it_nothing_happens(tmp_path, dry_runs):
    cfg = config(tmp_path)
    size_epochs(cfg, dict(max_epochs=3), [])
    assert cfg.max_epochs == 10 and 'sized_epochs' not in cfg
    assert not dry_runs and not list(tmp_path.iterdir())


def test_what_is_refused(tmp_path, dry_runs, monkeypatch):
    with pytest.raises(ValueError, match='give one of them'):
        size_epochs(config(tmp_path, max_minutes=30), dict(max_epochs=3), [])
    cfg = config(tmp_path, max_minutes=30)
    cfg.pop('max_epochs')
    with pytest.raises(ValueError, match='none there'):
        size_epochs(cfg, {}, [])
    with pytest.raises(ValueError, match='would give each fold epochs of its own'):
        size_epochs(config(tmp_path, max_minutes=30, folds=5, fold=0), {}, [])
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(ValueError, match='for one process'):
        size_epochs(config(tmp_path, max_minutes=30), {}, [])
    for value in (0, -1, 'long'):
        with pytest.raises(ValueError, match='max_minutes is'):
            check_values(dict(max_minutes=value))
    check_top_level(config(tmp_path, max_minutes=30, sized_epochs=True))
    assert not dry_runs


def test_why_the_measuring_failed(tmp_path):
    script = tmp_path / 'train.py'
    script.write_text('import sys; sys.exit("error: no data in photos")')
    with pytest.raises(ValueError, match='has failed: no data in photos'):
        size_epochs(config(tmp_path, max_minutes=30), {}, [str(script)])


@pytest.mark.slow
def test_results_are_those_of_as_many_epochs(tmp_path):
    """A real run, against one of the same ``max_epochs``: the same weights, bit by bit."""
    path = write_config(tmp_path)
    call = [sys.executable, str(ROOT / 'tools/train.py'), str(path), '--cfg-options']
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    runs = dict(sized=['max_minutes=0.01'], plain=['max_epochs=1'])
    for name, options in runs.items():
        done = subprocess.run(
            [*call, 'randomness.seed=0', *options, '--work-dir', str(tmp_path / name)],
            capture_output=True, text=True, env=env,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if name == 'sized':
            said = done.stdout + done.stderr
            assert 'max_minutes=0.01 is too short: one epoch takes ' in said
    weights = [load_checkpoint_file(tmp_path / n / 'epoch_1.pth')['state_dict'] for n in runs]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    dumped = (tmp_path / 'sized' / 'search.py').read_text()
    assert 'max_epochs = 1' in dumped and 'sized_epochs = True' in dumped
