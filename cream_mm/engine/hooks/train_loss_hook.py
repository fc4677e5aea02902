"""Tells schedules how the training goes."""

import math

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import Tensor

from ...registry import HOOKS
from ..schedulers import TrainLossPlateauLR
from .finite_loss_hook import FiniteLossHook


@HOOKS.register_module()
class TrainLossHook(Hook):
    """At the end of each epoch, tells :class:`TrainLossPlateauLR` the mean loss of its steps.

    Each step counts alike, however many images it had, on all ranks. Steps that
    :class:`FiniteLossHook` has left out do not count; where nothing is left, the loss is infinite.
    """

    priority = 'NORMAL'  # before ParamSchedulerHook

    def before_train_epoch(self, runner: Runner) -> None:
        self._schedules = list(_that_follow(runner.param_schedulers))
        self._total: Tensor | float = 0.0
        self._count = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        if not self._schedules or any(
            isinstance(hook, FiniteLossHook) and hook.left_out for hook in runner.hooks
        ):
            return
        if 'loss' not in (outputs or {}):
            raise ValueError(
                f'TrainLossPlateauLR follows the loss of a step; train_step of '
                f'{type(runner.model).__name__} returned {sorted(outputs or {})} without "loss"'
            )
        # On its device: nothing waits for it before the epoch ends.
        self._total = self._total + torch.as_tensor(outputs['loss']).detach().double()
        self._count += 1

    def after_train_epoch(self, runner: Runner) -> None:
        if not self._schedules:
            return
        mean = self._total / self._count if self._count else math.inf
        mean = torch.as_tensor(mean, dtype=torch.float64)  # of one type on all ranks
        all_reduce(mean, op='mean')
        for schedule in self._schedules:
            schedule.step(dict(loss=float(mean)))


def _that_follow(schedulers):
    """Of one optimizer's schedules, or of several's, those that follow the training loss."""
    lists = schedulers.values() if isinstance(schedulers, dict) else [schedulers or []]
    return (one for some in lists for one in some if isinstance(one, TrainLossPlateauLR))
