"""What a run will take, told by its first steps; and nothing of it stays."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_blocks import write_config
from made_runs import small_images, use_our_runner
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop
from test_search_run import build
from torch.utils.data import DataLoader

from cream_mm.engine.dry_run import (
    DryRun,
    _num_validations,
    dry_run,
    dry_run_table,
    leave_no_trace,
)
from cream_mm.engine.stage import Stage
from cream_mm.search.front import budget_steps

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return small_images(tmp_path_factory)


@pytest.fixture(autouse=True)
def our_runner(monkeypatch):
    use_our_runner(monkeypatch)


def named(found):
    return {stage.name: stage for stage in found.stages}


def test_a_search_tells_all_that_it_will_do(data, tmp_path):
    runner = build(data, tmp_path / 'run', max_epochs=10, warmup=0.3, interval=2)
    found = dry_run(runner, time.perf_counter())
    stages = named(found)
    # 27 images in batches of 4 are 7 steps; the board opens after 0.3 of the 70.
    assert stages['training'].number == pytest.approx(21)
    assert stages['training from 30% on'].number == pytest.approx(49)
    assert stages['matching network'].number == pytest.approx(0.7 * 70 / 2)
    assert stages['checkpoints'].number == 10 and found.checkpoint_bytes > 10_000
    # 11 finalists, 4 random ones, a board of 3, both ends of the range, and the front's, of which
    # the last is the answer.
    steps = len(budget_steps(runner.test_loop.budget)) - 1
    assert stages['rating'].number == 11 + 4 + 3 + 2 + steps
    assert [s.name for s in found.stages if not s.grows] == ['start', 'images to rate on', 'rating']
    assert all(stage.seconds_each > 0 for stage in found.stages)
    assert found.max_epochs == 10 and found.multiple == 1
    assert 0 <= found.wait_share < 1 and found.peak_bytes > 2**26
    assert len(runner.model.board) == 3  # steps with a teacher were timed with a full one
    assert not list(tmp_path.glob('run/*.pth')) and not list(tmp_path.glob('run/*.json*'))


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        (dict(max_epochs=10), 10),
        (dict(max_epochs=10, val_interval=4), 3),  # 4, 8, 10
        (dict(max_epochs=12, val_interval=4), 3),
        (dict(max_epochs=10, val_begin=5, val_interval=3), 3),  # 6, 9, 10
        (dict(max_epochs=10, val_interval=5, dynamic_intervals=[(8, 1)]), 5),  # 5, 7 to 10
    ],
)
def test_the_number_of_validations_is_that_of_mmengine(settings, expected):
    calls = []
    runner = SimpleNamespace(
        visualizer=SimpleNamespace(), model=None, call_hook=lambda name: None,
        val_loop=SimpleNamespace(run=lambda: calls.append(1)),
    )  # fmt: skip
    loop = EpochBasedTrainLoop(runner, DataLoader([0]), **settings)
    assert _num_validations(loop) == expected
    loop.run_epoch = lambda: setattr(loop, '_epoch', loop._epoch + 1)
    loop.run()
    assert len(calls) == expected


def test_a_run_that_trains_nothing_is_refused():
    with pytest.raises(ValueError, match='trains nothing'):
        dry_run(SimpleNamespace(_train_loop=None), 0.0)


def test_nothing_is_written_elsewhere(tmp_path):
    cfg = Config(
        dict(
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='WandbVisBackend')]),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', out_dir='elsewhere')),
            custom_hooks=[dict(type='LoggerHook', out_dir='elsewhere')],
            val_evaluator=[dict(type='CocoMetric', outfile_prefix='work_dirs/boxes/val')],
            test_evaluator=dict(type='DumpResults', out_file_path='work_dirs/boxes/test.pkl'),
            work_dir='work_dirs/mine',
        )
    )
    leave_no_trace(cfg, str(tmp_path))
    assert cfg.work_dir == str(tmp_path)
    assert cfg.visualizer.vis_backends == [dict(type='LocalVisBackend')]
    assert 'elsewhere' not in cfg.pretty_text
    assert cfg.val_evaluator[0].outfile_prefix == str(tmp_path / 'val')
    assert cfg.test_evaluator.out_file_path == str(tmp_path / 'test.pkl')


def test_the_rest_of_a_run_that_goes_on(data, tmp_path):
    build(data, tmp_path / 'run', board=False, max_epochs=1).train()
    cfg = Config(dict(resume=True, load_from=None, work_dir='none', test_evaluator=[]))
    leave_no_trace(cfg, str(tmp_path / 'dry'), str(tmp_path / 'run'))
    assert cfg.load_from == str(tmp_path / 'run' / 'epoch_1.pth')
    going_on = dict(resume=True, load_from=cfg.load_from)
    runner = build(data, tmp_path / 'dry', board=False, max_epochs=4, **going_on)
    stages = named(dry_run(runner, time.perf_counter()))
    assert stages['training'].number == pytest.approx(21)  # 7 of 28 steps are done
    assert stages['checkpoints'].number == 3


def test_the_table():
    stages = [
        Stage('start', 'time', 1, 30.0),
        Stage('training', 'steps', 6000, 0.5, spread=0.2, grows=True),
        Stage('rating', 'paths', 40, 15.0, spread=0.25),
    ]
    run = DryRun(stages, 10, 1, 64.0, 0.31, 5 * 2**20, 2**30, None, 'num_workers=4')
    lines = dry_run_table(run).splitlines()
    assert lines[0] == 'Dry run: nothing was kept.'
    assert lines[3].split() == ['training', '6,000', 'steps', '0.5', 's', '50.0']
    assert lines[5].split() == ['total', '60.5']
    # 27 + 2400 + 450 and 33 + 3600 + 750 seconds
    assert '1 h 0 min; 48.0 to 73.0 minutes' in lines[7]
    assert '64.0 images a second' in lines[8] and '31% of a step' in lines[9]
    assert '1.00 GB, without' in lines[10] and '5.0 MB' in lines[11]
    assert lines[12].split() == ['faster', 'num_workers=4']


@pytest.mark.slow
def test_the_command_leaves_no_trace(tmp_path, monkeypatch):
    config = write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in tmp_path.rglob('*'))
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/train.py', config, '--dry-run', '--work-dir', 'mine'],
        capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'rating' in done.stdout and 'total' in done.stdout
    assert sorted(path for path in tmp_path.rglob('*')) == before
