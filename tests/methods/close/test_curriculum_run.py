"""The curriculum in a real Runner: kills and resumes around a switch, ranks, AMP, the tools."""

import json
import logging
import os
import shutil
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import Hook

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.distributed import unwrap
from cream_mm.methods.close import CurriculumHook
from cream_mm.testing import run_differences, write_image_folder

EPOCHS, STEPS = 5, 7  # 27 images, 4 at a time
GATE = dict(
    type='cream_mm.GATESRouter', num_banks=3, op_dim=4, node_dim=4, hidden_dim=8,
    gcn_dims=(8, 8), mlp_dims=(8, 8), dropout=0.3,
)  # fmt: skip


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def close_search(data, work_dir, *, hook=(), test=True, **options):
    """Banks begin at epochs 1, 2 and 4; at 4 the optimizer begins anew."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(
                    type='cream_mm.NASBench201Supernet',
                    space=dict(channels=4, num_cells=1),
                    router=GATE,
                    costs=dict(input_size=8, num_classes=3, head_channels=0),
                ),
                head=dict(
                    type='cream_mm.CreamClsHead', num_classes=3, in_channels=16,
                    hidden_channels=None, dropout=0.1,
                ),
                data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
            ),
            work_dir=str(work_dir),
            train_dataloader=dict(
                batch_size=4, num_workers=0, dataset=train,
                sampler=dict(type='DefaultSampler', shuffle=True),
            ),
            train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=EPOCHS),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4),
                clip_grad=dict(max_norm=5.0),
            ),
            param_scheduler=dict(type='cream_mm.TrainLossPlateauLR', patience=0, threshold=0.01),
            default_hooks=dict(
                path_log=dict(type='cream_mm.PathLogHook'),
                logger=dict(type='LoggerHook', interval=1),
            ),
            visualizer=dict(
                type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
            ),
            custom_hooks=[
                dict(type='cream_mm.CurriculumHook', schedule=(1, 2, 4), restart_at=(4,)) | hook
                if isinstance(hook, dict)
                else dict(type='cream_mm.CurriculumHook', schedule=(1, 2, 4), restart_at=(4,))
            ],
            randomness=dict(seed=3),
            log_level='WARNING',
            experiment_name=f'{work_dir.parent.name}-{work_dir.name}',
        )
    )  # fmt: skip
    if test:
        cfg.test_dataloader = dict(
            batch_size=8, num_workers=0, dataset=held_out,
            sampler=dict(type='DefaultSampler', shuffle=False),
        )  # fmt: skip
        cfg.test_cfg = dict(
            type='cream_mm.SearchLoop', strategy=dict(type='cream_mm.RandomSearch'), num=4,
            bn_policy='batch_stats', bn_dataset=train, num_random=3,
        )  # fmt: skip
        cfg.test_evaluator = dict(type='Accuracy', topk=(1,))
    cfg.merge_from_dict(options)
    return cfg


class Record(Hook):
    """What each step ran with."""

    priority = 'LOWEST'

    def __init__(self):
        self.steps = []

    def before_train_iter(self, runner, *args, **kwargs):
        router = unwrap(runner.model).backbone.router
        arch = unwrap(runner.model).backbone.arch
        route = router.weights(arch).argmax(1).tolist()
        lr = runner.optim_wrapper.param_groups[0]['lr']
        self.steps.append((runner.iter, str(arch), router.num_active, route, lr))


class Killed(Exception):
    pass


class Kill(Hook):
    """Ends a process at a step, before it is taken: whatever was done in it is lost."""

    priority = 'LOWEST'

    def __init__(self, epoch, step=None):
        self.epoch, self.step = epoch, step

    def before_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch and self.step is None:
            raise Killed

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.epoch + 1, batch_idx) == (self.epoch, self.step):
            raise Killed


def train(cfg, *hooks, resume=False):
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    try:
        runner.train()
    except Killed:
        pass
    finally:
        logging.shutdown()
    return runner


def checkpoint(work_dir, epoch):
    return load_checkpoint_file(Path(work_dir) / f'epoch_{epoch}.pth')


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs') / 'whole'
    record = Record()
    train(close_search(data, folder), record)
    return folder, record.steps


# ---- the run -----------------------------------------------------------------------------------


def test_the_curriculum_and_its_answer(whole):
    folder, steps = whole
    per_epoch = [steps[i : i + STEPS] for i in range(0, EPOCHS * STEPS, STEPS)]
    assert [{step[2] for step in epoch} for epoch in per_epoch] == [{1}, {2}, {2}, {3}, {3}]
    assert {bank for step in steps[-2 * STEPS :] for bank in step[3]} == {0, 1, 2}
    assert per_epoch[3][0][-1] == 0.05  # begun anew, whatever it was
    best = json.loads((folder / 'best_arch.json').read_text())
    assert best['choice']['rule'] and len(best['arch']) == 3
    logged = [json.loads(line) for path in folder.glob('*/vis_data/scalars.json')
              for line in path.read_text().splitlines()]  # fmt: skip
    assert {row['banks'] for row in logged if row.get('epoch') == 4} == {3.0}


@pytest.mark.parametrize(
    'kills',
    [
        [(1, 3)],  # before a switch
        [(2, None)],  # in it: banks have begun and inherited, and it is lost
        [(2, 0), (2, None), (2, 2)],
        [(3, 1)],  # after it
        [(4, None)],  # in a switch with a restart
        [(4, 5)],
        [(5, 0)],
        [(1, 6), (2, None), (3, 0), (4, None), (4, 0), (5, 6)],
    ],
    ids=str,
)
@pytest.mark.parametrize('zero_grad', ['none', 'zero'])
def test_a_killed_run_ends_as_the_whole_one(data, whole, tmp_path, kills, zero_grad, request):
    if zero_grad == 'none':
        reference = whole[0]
    else:
        if len(kills) < 3:
            pytest.skip('the longest ones will do')
        reference = tmp_path / 'reference'
        train(close_search(data, reference, **ZERO))
    options = ZERO if zero_grad == 'zero' else {}
    for i, kill in enumerate(kills):
        train(close_search(data, tmp_path / 'run', **options), Kill(*kill), resume=i > 0)
        assert not (tmp_path / f'run/epoch_{kill[0]}.pth').exists()
    train(close_search(data, tmp_path / 'run', **options), resume=True)
    assert run_differences(tmp_path / 'run', reference, f'epoch_{EPOCHS}.pth') == []


ZERO = {'train_cfg.zero_grad': 'zero', 'model.backbone.unchosen': 'zero'}
