"""The mean loss of an epoch, as a schedule hears it."""

import math
from types import SimpleNamespace

import pytest
import torch

from cream_mm.engine import TrainLossPlateauLR
from cream_mm.engine.hooks import FiniteLossHook, TrainLossHook


def run_of(*extra, schedules=None):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    plateau = TrainLossPlateauLR(optimizer)
    others = [torch.optim.lr_scheduler.StepLR(optimizer, 5)]  # of another kind
    runner = SimpleNamespace(
        hooks=list(extra), model=torch.nn.Linear(1, 1), param_schedulers=[*others, plateau]
    )
    if schedules is not None:
        runner.param_schedulers = schedules(plateau)
    return runner, plateau


def epoch(hook, runner, losses):
    hook.before_train_epoch(runner)
    for i, loss in enumerate(losses):
        hook.after_train_iter(runner, i, outputs=dict(loss=loss, acc=torch.tensor(1.0)))
    hook.after_train_epoch(runner)


@pytest.mark.parametrize('schedules', [None, lambda one: dict(main=[one], other=[])])
def test_each_step_counts_alike(schedules):
    hook = TrainLossHook()
    runner, plateau = run_of(schedules=schedules)
    epoch(hook, runner, [torch.tensor(1.0, requires_grad=True), torch.tensor(2.0), 6.0])
    assert plateau.last_loss == 3.0 and plateau.was_told
    epoch(hook, runner, [torch.tensor(0.1)] * 10)  # added up in float64
    assert plateau.last_loss == pytest.approx(float(torch.tensor(0.1)), rel=1e-15)


def test_steps_that_were_left_out_do_not_count():
    finite = FiniteLossHook('skip')
    hook = TrainLossHook()
    runner, plateau = run_of(finite)
    hook.before_train_epoch(runner)
    for i, loss in enumerate((1.0, math.nan, 3.0)):
        finite._leave_out = math.isnan(loss)
        hook.after_train_iter(runner, i, outputs=dict(loss=torch.tensor(loss)))
    hook.after_train_epoch(runner)
    assert plateau.last_loss == 2.0
    finite._leave_out = True
    epoch(hook, runner, [torch.tensor(math.nan)])
    assert plateau.last_loss == math.inf


def test_nothing_is_read_where_nobody_listens():
    runner, _ = run_of(schedules=lambda one: None)
    hook = TrainLossHook()
    epoch(hook, runner, [None, 'no number'])


def test_a_step_without_a_loss_is_told():
    runner, _ = run_of()
    hook = TrainLossHook()
    hook.before_train_epoch(runner)
    with pytest.raises(ValueError, match=r"Linear returned \['acc'\]"):
        hook.after_train_iter(runner, 0, outputs=dict(acc=1.0))
