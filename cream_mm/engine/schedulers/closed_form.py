"""Learning rates as a function of time alone."""

import math
from typing import Any

from mmengine.optim import _ParamScheduler
from mmengine.optim.optimizer.base import BaseOptimWrapper
from mmengine.optim.scheduler.param_scheduler import INF
from torch.optim import Optimizer

from ...registry import PARAM_SCHEDULERS


class WarmupLR(_ParamScheduler):
    """A linear warm-up, then :meth:`decayed`, which does not start anew after the warm-up.

    mmengine's schedulers multiply the value they find, so that several of them can be chained and
    rounding errors add up. Here every step computes :meth:`value` from the start: exact after a
    million steps and after a resume. Such a scheduler is the only one of its learning rate.

    Lengths are in epochs and may be fractions. The value changes once per epoch; with
    ``convert_to_iter_based=True`` it changes every iteration, along the same curve. With
    ``by_epoch=False`` all lengths count iterations.

    ``warmup_lr`` and ``eta_min`` are absolute, like ``eta_min`` of mmengine's schedulers:
    ``auto_scale_lr`` scales the learning rate between them and leaves them as they are.

    Args:
        optimizer (Optimizer | BaseOptimWrapper): Its learning rates are set.
        warmup_epochs (float): Length of the warm-up. Defaults to 0.
        warmup_lr (float): Learning rate at its start. Defaults to 0.
        epoch_length (int): Steps per epoch; mmengine gives it when it converts to iterations.
            Defaults to 1.
        begin (int): Step at which the schedule starts: its time 0. Defaults to 0.
        end (int): Step from which the value is left alone. mmengine's Runner gives the length of
            the run when the config has none.
        by_epoch (bool): Whether a step is an epoch. Defaults to True.
        last_step, verbose: As in mmengine.

    Raises:
        ValueError: If a length or a learning rate is negative, or zero where it may not be.
    """

    def __init__(
        self,
        optimizer: Optimizer | BaseOptimWrapper,
        *,
        warmup_epochs: float = 0,
        warmup_lr: float = 0.0,
        epoch_length: int = 1,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = True,
        last_step: int = -1,
        verbose: bool = False,
    ):
        _check('warmup_epochs', warmup_epochs)
        _check('warmup_lr', warmup_lr)
        _check('epoch_length', epoch_length, positive=True)
        self.warmup_epochs = warmup_epochs
        self.warmup_lr = warmup_lr
        self.epoch_length = epoch_length
        super().__init__(
            optimizer,
            'lr',
            begin=begin,
            end=end,
            by_epoch=by_epoch,
            last_step=last_step,
            verbose=verbose,
        )

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args: Any,
        epoch_length: int,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = True,
        **kwargs: Any,
    ) -> 'WarmupLR':
        """The same schedule with a step per iteration; mmengine calls this."""
        if not by_epoch:
            raise ValueError('only a schedule in epochs can be converted to iterations')
        return cls(
            *args,
            epoch_length=epoch_length,
            begin=int(begin * epoch_length),
            end=end if end == INF else int(end * epoch_length),
            by_epoch=False,
            **kwargs,
        )

    def value(self, t: float, base_lr: float) -> float:
        """Learning rate at time ``t``, in epochs since ``begin``."""
        if t < self.warmup_epochs:
            return self.warmup_lr + t * (base_lr - self.warmup_lr) / self.warmup_epochs
        return self.decayed(t, base_lr)

    def decayed(self, t: float, base_lr: float) -> float:
        """Learning rate at time ``t`` when there is no warm-up."""
        raise NotImplementedError

    def _get_value(self) -> list[float]:
        t = self.last_step / self.epoch_length
        return [self.value(t, base_lr) for base_lr in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(WarmupLR):
    """Half a cosine from ``base_lr`` at time 0 to ``eta_min`` at ``T_max``, then ``eta_min``.

    The cosine is not shifted by the warm-up, which hides its first ``warmup_epochs``.

    Args:
        optimizer (Optimizer | BaseOptimWrapper): Its learning rates are set.
        T_max (float): Where the cosine ends; what a run has beyond it is a cool-down.
        eta_min (float): Learning rate at the end. Defaults to 0.
        **kwargs: See :class:`WarmupLR`.

    Reference:
        timm, ``CosineLRScheduler`` with one cycle and ``warmup_prefix=False``.
    """

    def __init__(
        self,
        optimizer: Optimizer | BaseOptimWrapper,
        *,
        T_max: float,
        eta_min: float = 0.0,
        **kwargs: Any,
    ):
        _check('T_max', T_max, positive=True)
        _check('eta_min', eta_min)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, **kwargs)

    def decayed(self, t: float, base_lr: float) -> float:
        if t >= self.T_max:
            return self.eta_min
        cosine = math.cos(math.pi * t / self.T_max)
        return self.eta_min + (base_lr - self.eta_min) / 2 * (1 + cosine)


@PARAM_SCHEDULERS.register_module()
class WarmupStepLR(WarmupLR):
    """``base_lr * gamma ** (t // decay_epochs)``.

    Args:
        optimizer (Optimizer | BaseOptimWrapper): Its learning rates are set.
        decay_epochs (float): Time between two steps down; 2.4 is fine.
        gamma (float): Factor of a step.
        **kwargs: See :class:`WarmupLR`.

    Reference:
        timm, ``StepLRScheduler`` with ``warmup_prefix=False``.
    """

    def __init__(
        self,
        optimizer: Optimizer | BaseOptimWrapper,
        *,
        decay_epochs: float,
        gamma: float,
        **kwargs: Any,
    ):
        _check('decay_epochs', decay_epochs, positive=True)
        _check('gamma', gamma)
        self.decay_epochs = decay_epochs
        self.gamma = gamma
        super().__init__(optimizer, **kwargs)

    def decayed(self, t: float, base_lr: float) -> float:
        return base_lr * self.gamma ** (t // self.decay_epochs)


@PARAM_SCHEDULERS.register_module()
class CosinePhasesLR(WarmupLR):
    """Half a cosine from ``base_lr`` to ``eta_min``, anew in each phase of a run.

    Of the ``n`` steps of a phase, the ``i``-th, counted from 1, has ``eta_min + (base_lr - eta_min)
    / 2 * (1 + cos(pi * i / n))``: ``base_lr`` itself is never there, and the last step has
    ``eta_min``.

    Args:
        optimizer (Optimizer | BaseOptimWrapper): Its learning rates are set.
        phases (int): How many of equal length there are from ``begin`` to ``end``, which a Runner
            sets to the length of the run.
        eta_min (float): Learning rate at the end of each. Defaults to 0.
        official (bool): Do not start anew, as the released code does under a current PyTorch:
            from the second phase on it is ``eta_min``. Defaults to False.
        **kwargs: See :class:`WarmupLR`; there is no warm-up.

    Reference:
        NAO-V2, released search: 0.025 to 0.001 in each of four phases of 50 epochs, a step an
        epoch.
    """

    def __init__(
        self,
        optimizer: Optimizer | BaseOptimWrapper,
        *,
        phases: int,
        eta_min: float = 0.0,
        official: bool = False,
        begin: int = 0,
        end: int = INF,
        **kwargs: Any,
    ):
        if kwargs.get('warmup_epochs'):
            raise ValueError('CosinePhasesLR has no warm-up: leave warmup_epochs out')
        _check('phases', phases, positive=True)
        _check('eta_min', eta_min)
        if end == INF or (end - begin) % phases:
            raise ValueError(
                f'{phases} phases of equal length need a number of steps that they divide; got '
                f'begin={begin}, end={end}'
            )
        self.phase_steps = (end - begin) // phases
        self.eta_min, self.official = eta_min, official
        super().__init__(optimizer, begin=begin, end=end, **kwargs)

    def decayed(self, t: float, base_lr: float) -> float:
        steps, step = self.phase_steps, round(t * self.epoch_length)
        if self.official and step >= steps:
            return self.eta_min
        cosine = math.cos(math.pi * (step % steps + 1) / steps)
        return self.eta_min + (base_lr - self.eta_min) / 2 * (1 + cosine)


def _check(name: str, value: float, positive: bool = False) -> None:
    if value < 0 or (positive and value == 0):
        raise ValueError(f'{name} must be {">" if positive else ">="} 0; got {value}')
