"""What a run says at its beginning and at its end, in a real Runner."""

import json
import logging
import re
import shlex
from itertools import count
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch.utils.data import Dataset

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.hooks.summary_hook import SummaryHook

_names = count()
VALUES = [50.0, 80.0, 70.0]  # of the validations


@pytest.fixture
def parts(monkeypatch):
    """A model and a metric that know what they measure beforehand."""

    class Line(BaseModel):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, inputs, mode='loss', **kwargs):
            loss = (self.weight * torch.stack(inputs)).sum()
            return dict(loss=loss) if mode == 'loss' else inputs

    class Ones(Dataset):
        metainfo = dict(classes=('a', 'b'))

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return dict(inputs=torch.ones(3))

    class Known(BaseMetric):
        values = iter(())

        def process(self, data_batch, data_samples):
            self.results.append(0)

        def compute_metrics(self, results):
            return {Known.key: next(Known.values)} if Known.key else {}

    made = ((MODELS, Line), (METRICS, Known), (DATASETS, Ones))
    for registry, kind in made:
        registry.register_module(name=kind.__name__, module=kind, force=True)
    Known.key = 'accuracy/top1'
    yield Known
    for registry, kind in made:
        registry.module_dict.pop(kind.__name__)


def build(work_dir, *, best='accuracy/top1', epochs=3, **kwargs):
    loader = dict(
        batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Ones'),
    )  # fmt: skip
    cfg = Config(
        dict(
            model=dict(type='Line'), work_dir=str(work_dir), experiment_name=f's-{next(_names)}',
            train_dataloader=loader, val_dataloader=loader, test_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=epochs), val_cfg={}, test_cfg={},
            val_evaluator=dict(type='Known'), test_evaluator=dict(type='Known'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, save_best=best)),
            randomness=dict(seed=0), **kwargs,
        )
    )  # fmt: skip
    return Runner.from_cfg(cfg)


def told(runner, run):
    """What the run logs about itself, by the first word of the entry."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    runner.logger.handlers.append(handler)
    run()
    runner.logger.handlers.remove(handler)
    return [line for line in lines if line.startswith(('Training', 'Done'))]


def entries(text):
    found = dict(re.findall(r'^  (\w+) +(\S.*)$', text, re.M))
    return {k: v for k, v in found.items() if k != 'python'}


def commands(text):
    return [shlex.split(line) for line in text.split('\n') if line.startswith('  python ')]


def test_a_training_says_what_it_works_on_and_what_came_out(tmp_path, parts):
    parts.values = iter(VALUES)
    runner = build(tmp_path / 'a run')
    begin, end = told(runner, runner.train)
    assert entries(begin)['data'] == '4 images of 2 classes; validated on 4'
    assert entries(begin)['model'] == 'Line, 0.000 M parameters, on cpu'
    assert entries(begin)['length'] == '3 epochs of 2 steps of 2 images'
    assert Path(entries(begin)['log']).is_file()
    assert re.match(r'Done in \d+ s\.\n', end)
    assert entries(end)['best'] == (
        'accuracy/top1 80.00 %, after epoch 2; the last one has accuracy/top1 70.00 %'
    )
    assert Path(entries(end)['weights']).name == 'best_accuracy_top1_epoch_2.pth'
    (test,) = commands(end)
    assert test == ['python', 'tools/test.py', str(tmp_path / 'a run')]


def test_a_classifier_or_a_detector_with_one_stage_can_be_exported(tmp_path, parts):
    parts.values = iter(VALUES)
    runner = build(tmp_path)
    runner.model.__class__ = type('RetinaNet', (type(runner.model),), {})
    _, end = told(runner, runner.train)
    assert commands(end)[-1] == ['python', 'tools/export_onnx.py', str(tmp_path)]


def test_a_resumed_run_knows_the_best_of_all(tmp_path, parts):
    parts.values = iter(VALUES[:2])
    build(tmp_path, epochs=2).train()
    parts.values = iter([70.0, 70.0])
    runner = build(tmp_path, resume=True)
    begin, end = told(runner, runner.train)
    assert entries(begin)['length'].endswith('goes on after step 4')
    assert entries(end)['best'].startswith('accuracy/top1 80.00 %, after epoch 2; ')
    state = load_checkpoint_file(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info']
    assert state['best_result'] == dict(metric='accuracy/top1', value=80.0, epoch=2)


@pytest.mark.parametrize(
    ('key', 'values', 'best'),
    [
        ('my/loss', [3.0, 1.0, 2.0], 'my/loss 1.0000, after epoch 2; '),
        ('coco/bbox_mAP', [0.1, 0.2, 0.3], 'coco/bbox_mAP 0.3000 (0 to 1), after epoch 3; '),
        ('my/own', [3.0, 1.0, 2.0], None),  # nobody knows which is better
    ],
)
def test_the_best_of_other_metrics(tmp_path, parts, key, values, best):
    parts.key, parts.values = key, iter(values)
    runner = build(tmp_path, best=None)
    _, end = told(runner, runner.train)
    assert Path(entries(end)['weights']).name == 'epoch_3.pth'
    if best is None:
        assert entries(end)['last'] == 'my/own 2.0000' and 'best' not in entries(end)
    else:
        assert entries(end)['best'].startswith(best)


def test_validations_without_a_number_were_run(tmp_path, parts):
    parts.key = None  # as mmdet's, where no box was found
    runner = build(tmp_path, best=None)
    _, end = told(runner, runner.train)
    assert entries(end)['result'].startswith('the validations gave no number')


def test_a_test_ends_with_its_result(tmp_path, parts):
    parts.values = iter([*VALUES, 61.25])
    build(tmp_path / 'trained').train()
    runner = build(tmp_path / 'tested', load_from=str(tmp_path / 'trained/epoch_3.pth'))
    (end,) = told(runner, runner.test)
    assert entries(end)['result'] == 'accuracy/top1 61.25 %'
    assert entries(end)['weights'] == str(tmp_path / 'trained/epoch_3.pth')


def test_an_epoch_is_not_logged_with_the_validation_of_another(tmp_path, parts):
    parts.values = iter(VALUES)
    runner = build(tmp_path)
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    runner.logger.handlers.append(handler)
    runner.train()
    validations = [line for line in lines if line.startswith('Epoch(val)')]
    assert len(validations) == 3 and not any('validated_epoch' in line for line in validations)
    hub = load_checkpoint_file(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info']
    assert hub['last_validated_epoch'] in (2, 3)  # saved before its own validation, or with a best


def test_none_leaves_it_out(tmp_path, parts):
    parts.values = iter(VALUES)
    runner = build(tmp_path)
    assert any(isinstance(hook, SummaryHook) for hook in runner.hooks)
    cfg = runner.cfg
    cfg.default_hooks.summary = None
    cfg.experiment_name = f's-{next(_names)}'
    runner = Runner.from_cfg(cfg)
    assert not any(isinstance(hook, SummaryHook) for hook in runner.hooks)
    assert told(runner, runner.train) == []


def test_the_answer_of_a_search(tmp_path, parts):
    """A loop that has a summary of its own."""
    parts.values = iter(VALUES)
    runner = build(tmp_path)

    class Loop:
        summary = [('best', 'cross entropy 0.1 nats'), ('answer', 'best_arch.json')]
        next_commands = [['python', 'tools/export_arch.py', 'a b.json']]

    runner._test_loop = Loop()
    _, end = told(runner, runner.train)
    assert entries(end)['best'] == 'cross entropy 0.1 nats'
    assert commands(end) == Loop.next_commands
    assert json.dumps(end)
