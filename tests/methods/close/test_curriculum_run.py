"""The curriculum in a real Runner: kills and resumes around a switch, ranks, AMP, other runs."""

import json
import os
import signal
import socket

import pytest
import torch
import torch.multiprocessing as mp
from killed_run import in_a_process, kill, train
from mmengine.config import Config
from mmengine.hooks import Hook

from cream_mm.checkpoints import load_checkpoint_file
from cream_mm.engine import Runner
from cream_mm.engine.distributed import unwrap
from cream_mm.methods.close import CurriculumHook
from cream_mm.testing import differences, run_differences, write_image_folder

EPOCHS, STEPS = 5, 6  # 27 images, 5 at a time
LAST = f'epoch_{EPOCHS}.pth'
GATE = dict(
    type='cream_mm.GATESRouter', num_banks=3, op_dim=4, node_dim=4, hidden_dim=8,
    gcn_dims=(8, 8), mlp_dims=(8, 8), dropout=0.3,
)  # fmt: skip
RELEASED = {
    'train_cfg.zero_grad': 'zero',
    'model.backbone.unchosen': 'zero',
    'custom_hooks.0.blind': True,
}
AVERAGED = {
    'optim_wrapper.accumulative_counts': 2,
    'custom_hooks.1': dict(type='cream_mm.EMAHook', momentum=0.1, raw_metrics=False),
}


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    """Formatting a config takes longer than training here."""
    monkeypatch.setattr(Config, 'pretty_text', 'seed = 3')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_image_folder(
        tmp_path_factory.mktemp('data'), classes=('a', 'b', 'c'), train=12, size=(8, 8)
    )


def close_search(data, work_dir, search=False, **options):
    """Banks begin at epochs 1, 2 and 4; at 4 the optimizer begins anew."""
    pipeline = [dict(type='cream_mm.LoadImage'), dict(type='PackInputs')]
    folder = dict(type='cream_mm.ImageFolder', data_root=str(data), pipeline=pipeline, holdout=0.25)
    train, held_out = dict(folder, part='train'), dict(folder, part='holdout')
    loader = dict(num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True))
    backbone = dict(
        type='cream_mm.NASBench201Supernet',
        space=dict(channels=4, num_cells=1),
        router=GATE,
        costs=dict(input_size=8, num_classes=3, head_channels=0),
    )
    head = dict(type='cream_mm.CreamClsHead', num_classes=3, in_channels=16, hidden_channels=None)
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(
            type='ImageClassifier',
            backbone=backbone,
            head=dict(head, dropout=0.1),
            data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
        ),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, batch_size=5, dataset=train),
        train_cfg=dict(type='cream_mm.SupernetTrainLoop', max_epochs=EPOCHS, rate_at_end=search),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4),
            clip_grad=dict(max_norm=5.0),
        ),
        param_scheduler=dict(type='cream_mm.TrainLossPlateauLR', patience=0, threshold=0.5),
        default_hooks=dict(
            path_log=dict(type='cream_mm.PathLogHook'), logger=dict(type='LoggerHook', interval=1)
        ),
        custom_hooks=[
            dict(type='cream_mm.CurriculumHook', schedule=(1, 2, 4), restart_at=(4,)),
            dict(type='cream_mm.NormStatsHook'),
        ],
        visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}',
    )
    if search:
        cfg['test_dataloader'] = dict(
            num_workers=0, batch_size=8, sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=held_out,
        )  # fmt: skip
        cfg['test_cfg'] = dict(
            type='cream_mm.SearchLoop', strategy=dict(type='cream_mm.RandomSearch'), num=4,
            bn_policy='batch_stats', bn_dataset=train, num_random=3,
        )  # fmt: skip
        cfg['test_evaluator'] = dict(type='Accuracy', topk=(1,))
    cfg = Config(cfg)
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


class Kill(Hook):
    """SIGKILL: at a step, at the end of what is done before an epoch, or in the middle of that."""

    priority = 'LOWEST'

    def __init__(self, epoch, moment):
        self.epoch, self.moment = epoch, moment

    def before_train(self, runner):
        if self.moment == 'within':
            curriculum = next(hook for hook in runner.hooks if isinstance(hook, CurriculumHook))
            curriculum._restart = lambda runner: kill()

    def before_train_epoch(self, runner):
        if (runner.epoch + 1, self.moment) == (self.epoch, 'begun'):
            kill()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.epoch + 1, batch_idx) == (self.epoch, self.moment):
            kill()


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """A run from beginning to end, and its steps."""
    folder, record = tmp_path_factory.mktemp('runs') / 'whole', Record()
    train(close_search(data, folder), record)
    return folder, record.steps


# ---- one run -----------------------------------------------------------------------------------


def test_banks_begin_when_they_are_due(whole):
    folder, steps = whole
    per_epoch = [steps[i : i + STEPS] for i in range(0, EPOCHS * STEPS, STEPS)]
    assert [{step[2] for step in epoch} for epoch in per_epoch] == [{1}, {2}, {2}, {3}, {3}]
    assert {bank for step in steps[-2 * STEPS :] for bank in step[3]} == {0, 1, 2}
    rates = [{step[-1] for step in epoch} for epoch in per_epoch]
    assert rates[:4] == [{0.05}, {0.05}, {0.025}, {0.05}]  # falls, and begins anew
    logged = [json.loads(line) for path in folder.glob('*/vis_data/scalars.json')
              for line in path.read_text().splitlines()]  # fmt: skip
    assert {row['banks'] for row in logged if row.get('epoch') == 4} == {3.0}


# ---- kills -------------------------------------------------------------------------------------


MANY = [(1, 5), (2, 'begun'), (2, 0), (3, 0), (4, 'within'), (4, 'begun'), (4, 1), (5, 4)]


@pytest.mark.parametrize(
    ('kills', 'options'),
    [
        # What the first three do alone, MANY do one after the other.
        pytest.param([(1, 3)], {}, marks=pytest.mark.slow),  # before a switch
        # In it: a bank has begun and inherited, and all of it is lost.
        pytest.param([(2, 'begun')], {}, marks=pytest.mark.slow),
        # Before a restart in it, and after it.
        pytest.param([(4, 'within'), (4, 5)], {}, marks=pytest.mark.slow),
        (MANY, {}),
        pytest.param(MANY, RELEASED, marks=pytest.mark.slow),
        pytest.param(MANY, AVERAGED, marks=pytest.mark.slow),
    ],
    ids=['before', 'in', 'restart', 'many', 'released', 'averaged'],
)
def test_a_killed_run_ends_as_the_whole_one(data, tmp_path, kills, options):
    """As released, too; and with averaged weights and two batches a step."""
    assert in_a_process(close_search(data, tmp_path / 'whole', **options)) == 0
    for i, moment in enumerate(kills):
        cfg = close_search(data, tmp_path / 'run', **options)
        assert in_a_process(cfg, Kill(*moment), resume=i > 0) == -signal.SIGKILL
        assert not (tmp_path / f'run/epoch_{moment[0]}.pth').exists()
    cfg = close_search(data, tmp_path / 'run', **options)
    assert in_a_process(cfg, resume=True) == 0
    assert run_differences(tmp_path / 'run', tmp_path / 'whole', LAST) == []
    saved = load_checkpoint_file(tmp_path / 'run' / LAST)
    states = [saved[key] for key in ('state_dict', 'ema_state_dict') if key in saved]
    active = [v for state in states for k, v in state.items() if k.endswith('router.active')]
    assert active == [3] * (2 if options is AVERAGED else 1)


def test_other_runs_take_its_banks(data, whole, tmp_path):
    """Training from its weights: 3 banks from the first step, none begins a second time."""
    record = Record()
    cfg = close_search(data, tmp_path / 'run', load_from=str(whole[0] / LAST))
    cfg.train_cfg.max_epochs = 4
    runner = train(cfg, record)
    assert {step[2] for step in record.steps} == {3}
    assert runner.model.backbone.num_active == 3


def test_unsampled_banks_decay_as_they_are_told(data, tmp_path):
    """In the last epoch all steps train the same cell, without a conv1x1."""
    for zero_grad, moves in (('none', False), ('zero', True)):
        cfg = close_search(data, tmp_path / zero_grad, **{'train_cfg.zero_grad': zero_grad})
        runner = Runner.from_cfg(cfg)
        before = {}

        class OneCell(Hook):
            priority = 'LOWEST'

            def before_train_epoch(self, runner, before=before):
                if runner.epoch == EPOCHS - 1:
                    loop = runner.train_loop
                    cell = loop.supernet.space.parse([3, 1, 1, 1, 1, 3])
                    loop.sampler.sample = lambda step: cell
                    for name, param in runner.model.named_parameters():
                        before[name] = param.detach().clone()

        runner.register_hook(OneCell())
        runner.train()
        state = runner.optim_wrapper.optimizer.state
        named = dict(runner.model.named_parameters())
        trained = [n for n in before if '.banks.' in n and '.2.op.' in n and state.get(named[n])]
        assert trained
        assert {not torch.equal(named[n], before[n]) for n in trained} == {moves}


# ---- the answer --------------------------------------------------------------------------------


def test_rated_again_from_its_checkpoint(data, tmp_path):
    """tools/test.py of the finished supernet: the same banks, and so the same ratings."""
    train(close_search(data, tmp_path / 'run', search=True))
    runner = Runner.from_cfg(
        close_search(data, tmp_path / 'again', search=True, load_from=str(tmp_path / 'run' / LAST))
    )
    runner.test()
    assert runner.model.backbone.num_active == 3
    texts = [(tmp_path / name / 'best_arch.json').read_text() for name in ('run', 'again')]
    answers = [json.loads(text) for text in texts]
    assert answers[0]['arch'] == answers[1]['arch']
    assert answers[0]['rating'] == answers[1]['rating']


# ---- several processes -------------------------------------------------------------------------


def rank_main(rank, port, data, folder):
    env = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    os.environ.update({key: str(value) for key, value in env.items()})
    torch.set_num_threads(1)
    os.chdir(folder)
    Config.pretty_text = 'seed = 3'
    saved = {}
    for name in ('cream_mm.PathDataParallel', 'MMDistributedDataParallel'):
        cfg = close_search(data, folder / name, launcher='pytorch')
        cfg.env_cfg = dict(dist_cfg=dict(timeout=60))
        cfg.model_wrapper_cfg = dict(type=name)
        if name.startswith('MM'):
            cfg.model_wrapper_cfg.update(find_unused_parameters=True, broadcast_buffers=False)
        record = Record()
        runner = train(cfg, record)
        state = unwrap(runner.model).state_dict()
        saved[name] = dict(steps=str(record.steps), state=state, kind=type(runner.model).__name__)
    torch.save(saved, folder / f'rank{rank}.pt')


@pytest.mark.slow
def test_all_ranks_route_alike(data, tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    mp.start_processes(rank_main, (port, data, tmp_path), 2, start_method='spawn')
    ours, theirs = (torch.load(tmp_path / f'rank{r}.pt', weights_only=True) for r in (0, 1))
    assert {saved['kind'] for saved in ours.values()} == {
        'PathDataParallel', 'MMDistributedDataParallel'
    }  # fmt: skip
    for name, saved in ours.items():
        assert saved['steps'] == theirs[name]['steps']  # cells, K, banks, learning rates
        assert differences(saved['state'], theirs[name]['state']) == []
    assert len({saved['steps'] for saved in ours.values()}) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision_goes_on_after_a_switch(data, tmp_path, dtype):
    options = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': dtype}
    cfg = close_search(data, tmp_path / 'run', **options)
    cfg.train_cfg.max_epochs = 4  # ends behind the switch and the restart
    record = Record()
    train(cfg, record)
    again = Record()
    runner = train(close_search(data, tmp_path / 'run', **options), again, resume=True)
    steps = record.steps + again.steps
    assert [step[2] for step in steps] == [1] * STEPS + [2] * 2 * STEPS + [3] * 2 * STEPS
    assert all(p.is_cuda and p.isfinite().all() for p in runner.model.parameters())
