"""A learning rate that falls when the training loss does not."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import ReduceOnPlateauLR
from mmengine.optim.optimizer.base import BaseOptimWrapper
from mmengine.optim.scheduler.param_scheduler import INF
from torch.optim import Optimizer

from ...registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class TrainLossPlateauLR(ReduceOnPlateauLR):
    """Multiplies the learning rate by ``factor`` after ``patience`` epochs without a better loss.

    mmengine's waits for a metric of a validation. This one follows the mean training loss of each
    epoch, which :class:`TrainLossHook` tells it; a change holds from the next epoch on.

    Args:
        optimizer (Optimizer | BaseOptimWrapper): Its learning rates are set.
        factor (float): Below 1. Defaults to 0.5.
        patience (int): Epochs in a row that may be no better; the learning rate falls with the
            next one. Defaults to 30.
        threshold (float): A loss is better if it is below ``(1 - threshold)`` times the best.
            Defaults to 1e-4.
        min_value (float): Absolute, as ``eta_min`` of other schedules. Defaults to 0.
        eps (float): A fall by less than this is left out. Defaults to 1e-8.
        begin, end, by_epoch, last_step, verbose: As in mmengine; it counts epochs.

    Attributes:
        last_loss (float | None): That of the last epoch; a schedule that starts again begins with
            it, see :class:`CurriculumHook`.

    Raises:
        ValueError: If ``factor`` is 1 or more, or ``patience`` below 0.

    Reference:
        PyTorch's ``ReduceLROnPlateau``, of which it gives the same numbers.
    """

    need_val_args = False  # ParamSchedulerHook is not to step it with a validation's metrics

    def __init__(
        self,
        optimizer: Optimizer | BaseOptimWrapper,
        *,
        factor: float = 0.5,
        patience: int = 30,
        threshold: float = 1e-4,
        min_value: float = 0.0,
        eps: float = 1e-8,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = True,
        last_step: int = -1,
        verbose: bool = False,
    ):
        if not by_epoch:
            raise ValueError('TrainLossPlateauLR counts epochs: leave by_epoch out')
        if patience < 0:
            raise ValueError(f'patience is a number of epochs, 0 or more; got {patience}')
        super().__init__(
            optimizer,
            factor=factor,
            patience=patience,
            threshold=threshold,
            min_value=min_value,
            eps=eps,
            begin=begin,
            end=end,
            last_step=last_step,
            verbose=verbose,
        )
        self.last_loss: float | None = None
        self.was_told = False  # the loss of the epoch that ends

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, epoch_length: int | None = None, **kwargs: Any
    ) -> 'TrainLossPlateauLR':
        """The same: a mean over an epoch is there once per epoch. mmengine calls this."""
        return cls(*args, **kwargs)

    def step(self, metrics: Mapping[str, float] | None = None) -> None:
        """Take in the loss of an epoch; without one, count the epoch, as mmengine's hook does.

        Raises:
            ValueError: If an epoch ends, and nobody told its loss.
        """
        if metrics is not None:
            super().step(metrics)
            self.last_loss, self.was_told = float(metrics['loss']), True
            return
        if not self.was_told:
            raise ValueError(
                'TrainLossPlateauLR heard of no training loss in this epoch: it comes from '
                'TrainLossHook, which cream_mm.Runner has by default (runner_type = '
                "'cream_mm.Runner'); with another runner add it to custom_hooks"
            )
        super().step()
        self.was_told = False
