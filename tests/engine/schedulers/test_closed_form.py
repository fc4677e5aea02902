import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import LinearLR
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from timm.scheduler import CosineLRScheduler, StepLRScheduler

from cream_mm.engine import CosinePhasesLR, WarmupCosineLR, WarmupStepLR

COSINE = dict(
    type='cream_mm.WarmupCosineLR', warmup_epochs=3, warmup_lr=1e-6, T_max=500, eta_min=1e-5
)
STEP = dict(
    type='cream_mm.WarmupStepLR', warmup_epochs=3, warmup_lr=1e-6, decay_epochs=2.4, gamma=0.973
)


def optimizer(*lrs):
    groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=lr) for lr in lrs or [0.064]]
    return torch.optim.SGD(groups, lr=0.064)


def build(cfg, optim=None, **kwargs):
    args = dict(optimizer=optim or optimizer(), epoch_length=7)
    return PARAM_SCHEDULERS.build(dict(cfg, **kwargs), default_args=args)


def rates(scheduler, steps):
    """Learning rate of the first group before each step."""
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]['lr'])
        scheduler.optimizer.step()
        scheduler.step()
    return found


# By hand: 1e-6 + t (0.064 - 1e-6) / 3, then 1e-5 + 0.031995 (1 + cos(pi t / 500)).
@pytest.mark.parametrize(
    ('epoch', 'expected'),
    [
        (0, 1e-6),
        (1, 0.021334),
        (2, 0.042667),
        (3, 0.0639943161644239),
        (4, 0.0639898956361192),
        (10, 0.0639368651760625),
        (100, 0.0578894987350264),
        (250, 0.032005),
        (400, 0.0061205012649736),
        (499, 1.06315539078925e-05),
        (500, 1e-5),
        (509, 1e-5),
    ],
)
def test_cosine_by_hand(epoch, expected):
    assert build(COSINE).value(epoch, 0.064) == pytest.approx(expected, rel=1e-12)


# By hand: the warm-up as above, then 0.064 * 0.973^n with n = floor(t / 2.4).
@pytest.mark.parametrize(
    ('epoch', 'expected'),
    [
        (0, 1e-6),
        (1, 0.021334),
        (2, 0.042667),
        (3, 0.062272),  # n = 1
        (4, 0.062272),
        (5, 0.060590656),  # n = 2
        (10, 0.057362931164224),  # n = 4
        (12, 0.055814132022789952),  # n = 5 exactly
        (250, 0.00371462828972438),  # n = 104
        (499, 0.000221583750816108),  # n = 207
    ],
)
def test_steps_by_hand(epoch, expected):
    assert build(STEP).value(epoch, 0.064) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('by_iteration', [False, True])
@pytest.mark.parametrize(
    ('cfg', 'reference', 'epochs'),
    [
        (COSINE, lambda optim: CosineLRScheduler(
            optim, t_initial=500, lr_min=1e-5, cycle_limit=1, warmup_t=3, warmup_lr_init=1e-6,
            warmup_prefix=False), 510),
        (STEP, lambda optim: StepLRScheduler(
            optim, decay_t=2.4, decay_rate=0.973, warmup_t=3, warmup_lr_init=1e-6,
            warmup_prefix=False), 500),
    ],
)  # fmt: skip
def test_every_epoch_is_timms(cfg, reference, epochs, by_iteration):
    theirs = optimizer()
    scheduler, expected = reference(theirs), []
    for epoch in range(epochs):  # as in timm's training loop
        expected.append(theirs.param_groups[0]['lr'])
        scheduler.step(epoch + 1)
    if by_iteration:
        found = rates(build(cfg, convert_to_iter_based=True), 7 * epochs)[::7]
    else:
        found = rates(build(cfg), epochs)
    assert found == pytest.approx(expected, rel=0, abs=1e-12)


def test_by_iteration_the_value_moves_within_an_epoch():
    found = rates(build(COSINE, convert_to_iter_based=True), 7 * 4)
    # Iteration 10 is at 10/7 of the epochs 1 and 2 of the warm-up.
    assert found[10] == pytest.approx(1e-6 + 10 / 7 * (0.064 - 1e-6) / 3, rel=1e-12)
    steps = rates(build(STEP, convert_to_iter_based=True), 7 * 5)
    # 4.8 epochs are 33.6 iterations.
    assert steps[33] == pytest.approx(0.062272) and steps[34] == pytest.approx(0.060590656)


def test_groups_keep_their_own_rate():
    optim = optimizer(0.064, 0.0064)
    build(dict(COSINE, warmup_epochs=0), optim)
    assert [group['lr'] for group in optim.param_groups] == [0.064, 0.0064]
    build(COSINE, optim)
    assert [group['lr'] for group in optim.param_groups] == [1e-6, 1e-6]


@pytest.mark.parametrize('by_iteration', [False, True])
def test_begin_and_end(by_iteration):
    unit = 7 if by_iteration else 1
    scheduler = build(
        dict(type='cream_mm.WarmupCosineLR', T_max=4, begin=2, end=5),
        optimizer(1.0), convert_to_iter_based=by_iteration,
    )  # fmt: skip
    found = rates(scheduler, 8 * unit)
    assert found[: 2 * unit] == [1.0] * 2 * unit  # left alone
    assert found[2 * unit :: unit][:3] == pytest.approx([1.0, 0.853553391, 0.5])
    last = found[5 * unit - 1]  # the last step before `end`
    assert found[5 * unit :] == [last] * 3 * unit
    if not by_iteration:
        assert last == pytest.approx(0.5)


def test_without_epochs_lengths_are_iterations():
    cfg = dict(type='cream_mm.WarmupCosineLR', T_max=4, by_epoch=False)
    assert rates(build(cfg, optimizer(1.0)), 5) == pytest.approx(
        [1.0, 0.853553391, 0.5, 0.146446609, 0.0]
    )
    with pytest.raises(ValueError, match='only a schedule in epochs'):
        WarmupCosineLR.build_iter_from_epoch(optimizer(), T_max=4, by_epoch=False, epoch_length=7)


@pytest.mark.parametrize('by_iteration', [False, True])
@pytest.mark.parametrize('cfg', [COSINE, STEP])
def test_resume_is_exact(cfg, by_iteration):
    whole = rates(build(cfg, convert_to_iter_based=by_iteration), 60)
    first = build(cfg, convert_to_iter_based=by_iteration)
    rates(first, 23)
    saved = first.state_dict(), first.optimizer.state_dict()
    second = build(cfg, convert_to_iter_based=by_iteration)
    second.load_state_dict(saved[0])
    second.optimizer.load_state_dict(saved[1])
    assert rates(second, 37) == whole[23:]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(T_max=0), 'T_max must be > 0; got 0'),
        (dict(T_max=5, eta_min=-1), 'eta_min must be >= 0; got -1'),
        (dict(T_max=5, warmup_epochs=-1), 'warmup_epochs must be >= 0; got -1'),
        (dict(T_max=5, warmup_lr=-1), 'warmup_lr must be >= 0; got -1'),
    ],
)
def test_impossible_cosine(kwargs, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosineLR(optimizer(), **kwargs)


@pytest.mark.parametrize(('decay_epochs', 'gamma'), [(0, 0.9), (2.4, -0.9)])
def test_impossible_steps(decay_epochs, gamma):
    with pytest.raises(ValueError, match='must be >'):
        WarmupStepLR(optimizer(), decay_epochs=decay_epochs, gamma=gamma)


# --- in a Runner ---


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, labels, mode='tensor'):
        return dict(loss=(self.linear(torch.stack(list(inputs))) ** 2).mean())


class Watch(Hook):
    """Learning rates that the optimizer steps with, by epoch."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.seen = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        lr = runner.optim_wrapper.param_groups[0]['lr']
        self.seen.setdefault(runner.epoch, []).append(lr)


def run(work_dir, cfg, epochs, *, batch_size=4, resume=False):
    watch = Watch()
    runner = Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=[(torch.ones(2), 0)] * 12,
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.064)),
        param_scheduler=[cfg],
        auto_scale_lr=dict(enable=True, base_batch_size=4),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        custom_hooks=[watch],
        resume=resume,
        log_level='WARNING',
        experiment_name=f'{work_dir.name}-{epochs}-{resume}-{cfg["type"]}',
    )
    runner.train()
    return watch.seen


@pytest.mark.parametrize(
    ('cfg', 'expected'),
    [
        (COSINE, [1e-6, 0.021334, 0.042667, 0.0639943161644239, 0.0639898956361192]),
        (STEP, [1e-6, 0.021334, 0.042667, 0.062272, 0.062272]),
    ],
)
def test_an_optimizer_in_a_runner(cfg, expected, tmp_path):
    seen = run(tmp_path / 'whole', cfg, 5)
    assert list(seen) == [0, 1, 2, 3, 4]
    for epoch, lr in enumerate(expected):  # the same in each of the three iterations
        assert seen[epoch] == pytest.approx([lr] * 3, rel=1e-12)
    # Two epochs, and the other three after a resume. `end` is the length of the run by default.
    run(tmp_path / 'part', dict(cfg, end=5), 2)
    assert run(tmp_path / 'part', dict(cfg, end=5), 5, resume=True) == {
        epoch: seen[epoch] for epoch in (2, 3, 4)
    }


def test_auto_scale_lr_leaves_absolute_values(tmp_path):
    cfg = dict(COSINE, T_max=4, warmup_epochs=1)
    seen = run(tmp_path / 'half', cfg, 6, batch_size=2)  # lr 0.064 belongs to a batch of 4
    firsts = [values[0] for values in seen.values()]
    assert firsts[0] == 1e-6  # warmup_lr
    # 1e-5 + (0.032 - 1e-5) / 2 * (1 + cos(pi / 4 * t)) for t = 1, 2, 3
    assert firsts[1:4] == pytest.approx([0.027315172, 0.016005, 0.004694828], rel=1e-6)
    assert firsts[4:] == [1e-5] * 2  # eta_min


# --- the schedule of a search: 1 - t / 150000 per iteration, then 0 ---


def test_linear_schedule_of_the_search():
    """mmengine multiplies from step to step; the rounding errors stay small."""
    schedule = LinearLR(
        optimizer(1.0), start_factor=1.0, end_factor=0.0, by_epoch=False, end=150001
    )
    found = rates(schedule, 150120)  # 120 epochs of 1251 iterations
    for t in (0, 1, 75000, 149999):
        assert found[t] == pytest.approx(1 - t / 150000, abs=1e-9)
    assert found[150000] == found[150100] == 0
    assert max(abs(lr - max(0, 1 - t / 150000)) for t, lr in enumerate(found)) < 1e-11


# ---- phases ----------------------------------------------------------------------------------

PHASES = dict(type='cream_mm.CosinePhasesLR', phases=4, end=200, eta_min=0.001)
NAO = Path(__file__).parents[2] / 'data/nao/training.json'


def test_phases_begin_anew():
    """The rates of the released search in its first phase; then meant again, and as they are."""
    golden = json.loads(NAO.read_text())['supernet_lr_epochs_1_to_50']
    meant = rates(build(PHASES, optimizer(0.025), epoch_length=1), 200)
    assert meant == pytest.approx(golden * 4, rel=1e-12)
    assert (meant[0], meant[49]) == (pytest.approx(0.024976, abs=1e-6), 0.001)
    official = rates(build(PHASES, optimizer(0.025), epoch_length=1, official=True), 200)
    assert official == pytest.approx(golden + [0.001] * 150, rel=1e-12)


def test_phases_by_iteration():
    scheduler = CosinePhasesLR.build_iter_from_epoch(
        optimizer(1.0), phases=2, end=4, epoch_length=3
    )
    by_hand = [0.9330127018922193, 0.75, 0.5, 0.25, 0.0669872981077807, 0.0]
    assert rates(scheduler, 12) == pytest.approx(by_hand * 2, abs=1e-15)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(phases=0, end=4), 'phases must be > 0; got 0'),
        (dict(phases=2, end=4, warmup_epochs=1), 'CosinePhasesLR has no warm-up'),
        (dict(phases=3, end=4), '3 phases of equal length need a number of steps that they div'),
        (dict(phases=3), '3 phases of equal length'),
    ],
)
def test_wrong_phases(args, message):
    with pytest.raises(ValueError, match=message):
        CosinePhasesLR(optimizer(), **args)
