"""The warning that the training waits for its data, in real runs around a tiny model."""

import logging
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel

from cream_mm.engine import Runner
from cream_mm.engine.hooks import DataTimeHook
from cream_mm.engine.hooks.data_time_hook import usable_cores
from cream_mm.registry import HOOKS

_names = count()


class Clock:
    """Moves when something is said to take time; the machine's speed does not matter."""

    now = 0.0

    def take(self, seconds):
        self.now += seconds


clock = Clock()


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch):
    monkeypatch.setattr('cream_mm.engine.hooks.data_time_hook.perf_counter', lambda: clock.now)


class Slow(torch.utils.data.Dataset):
    """Images that take as many milliseconds as asked, in the first steps or in all."""

    metainfo = {}

    def __init__(self, ms, last=10**9):
        self.seconds, self.last, self.read = ms / 1e3, last, 0

    def __len__(self):
        return 60

    def __getitem__(self, index):
        self.read += 1
        clock.take(self.seconds if self.read <= self.last else 0)
        return torch.ones(3)


class Toy(BaseModel):
    """A step of ten milliseconds."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 1)

    def forward(self, inputs, mode):
        clock.take(0.01)
        return dict(loss=self.fc(inputs).square().mean())


class Keep(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        if 'waits for data' in record.getMessage():
            self.messages.append(record.getMessage())


def train(tmp_path, dataset, *, max_epochs=2, hooks=None, **hook):
    """Steps of one image, 60 an epoch; the warnings of the run."""
    hook = dict(type='cream_mm.DataTimeHook', **hook)
    runner = Runner(
        model=Toy(),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=1, num_workers=0, dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(data_time=hook, checkpoint=None, **(hooks or {})),
        log_level='WARNING',
        experiment_name=f'data-time-{next(_names)}',
    )  # fmt: skip
    keep = Keep()
    logger = MMLogger.get_current_instance()
    logger.addHandler(keep)
    try:
        runner.train()
    finally:
        logger.removeHandler(keep)
    return keep.messages


def test_a_slow_dataset_is_told_once(tmp_path):
    (message,) = train(tmp_path, Slow(10), max_epochs=3)
    assert 'waits for data 50% of the time: 10 of 20 ms of a step, over 50 steps' in message
    assert f'num_workers=0 on {usable_cores()} cores' in message
    assert f'What may help: num_workers={usable_cores()}' in message
    assert 'tools/prepare_images.py SRC DST' in message and '--pack' in message


def test_a_fast_dataset_is_not(tmp_path):
    assert train(tmp_path, Slow(2.4)) == []  # of 12.4
    assert len(train(tmp_path, Slow(2.6))) == 1


def test_the_first_steps_do_not_count(tmp_path):
    assert train(tmp_path, Slow(60, last=10)) == []
    assert len(train(tmp_path, Slow(60, last=10), warmup=0)) == 1


def test_a_later_window_is_seen(tmp_path):
    class Late(Slow):
        def __getitem__(self, index):
            self.seconds = 0.01 if self.read > 60 else 0
            return super().__getitem__(index)

    assert len(train(tmp_path, Late(0), max_epochs=3)) == 1


def test_hooks_and_validation_are_not_data(tmp_path):
    class Busy(Hook):
        priority = 'VERY_LOW'  # as the one that writes checkpoints

        def after_train_iter(self, runner, *args, **kwargs):
            clock.take(0.01)
            if runner.iter % 20 == 0:
                runner.call_hook('before_val')
                clock.take(0.4)
                runner.call_hook('after_val')

        before_train_iter = after_train_iter

    assert train(tmp_path, Slow(0), max_epochs=1, hooks=dict(busy=Busy())) == []


@pytest.mark.parametrize(('workers', 'advised'), [(0, True), (3, True), (4, False), (9, False)])
def test_workers_are_advised_where_cores_are_left(monkeypatch, workers, advised):
    told = []
    module = 'cream_mm.engine.hooks.data_time_hook'
    monkeypatch.setattr(f'{module}.usable_cores', lambda: 8)
    monkeypatch.setattr(f'{module}.print_log', lambda text, *args, **kwargs: told.append(text))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    hook = DataTimeHook(window=2, warmup=0)
    hooks, times = [], iter([0.0, 0.05, 0.1, 0.15, 0.2])
    monkeypatch.setattr(f'{module}.perf_counter', lambda: next(times))
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(num_workers=workers), register_hook=hooks.append
    )
    hook.before_train(runner)
    hooks[0].before_train_epoch(runner)
    for step in range(2):
        assert not told
        hook.before_train_iter(runner, step)
        hooks[0].after_train_iter(runner, step)
    assert '50% of the time: 50 of 100 ms' in told[0]
    assert ('help: num_workers=4' in told[0]) is advised
    assert ('more cores' in told[0]) is not advised


def test_it_is_there_by_default_and_can_be_left_out(tmp_path):
    def names(**hooks):
        runner = Runner(
            model=Toy(), work_dir=str(tmp_path), default_hooks=hooks, log_level='ERROR',
            experiment_name=f'data-time-{next(_names)}',
        )  # fmt: skip
        return [type(hook).__name__ for hook in runner.hooks]

    assert names().count('DataTimeHook') == 1
    assert 'DataTimeHook' not in names(data_time=None)


@pytest.mark.parametrize('kwargs', [dict(max_share=0), dict(max_share=20), dict(window=0)])
def test_wrong_arguments(kwargs):
    with pytest.raises(ValueError, match='max_share is a share|window is at least 1'):
        HOOKS.build(dict(type='cream_mm.DataTimeHook', **kwargs))
