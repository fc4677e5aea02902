"""mmengine's EMAHook, with the accuracy of the weights that are trained beside the average's."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.hooks import EMAHook as _EMAHook
from mmengine.runner import Runner
from mmengine.runner.amp import autocast

from ...registry import HOOKS


@HOOKS.register_module()
class EMAHook(_EMAHook):
    """mmengine's; each validation measures the raw weights too, those that are trained.

    ``accuracy/top1`` is that of the average, which a checkpoint's ``state_dict`` holds, as with
    mmengine's. ``raw_accuracy/top1`` stands beside it, in the log and for every hook that follows
    a metric. Where the average is the worse one for long, its memory is too long for the run.

    Args:
        ema_type (str): The rule. Defaults to ``'MomentumAnnealingEMA'``, which takes the share
            ``max(momentum, gamma / (gamma + n))`` of the weights after step n: at first the
            average reaches back over the last ``1 / gamma`` of all steps, however few they are,
            and from step ``gamma * (1 / momentum - 1)`` on it is ``'ExponentialMovingAverage'``.
        momentum (float): Share of the newest weights in the long run. Defaults to 1e-4.
        raw_metrics (bool): Whether to measure the raw weights, which takes as long as the
            validation itself. Defaults to True.
        update_buffers (bool): Whether batch norm's statistics are averaged like the weights. With
            False the average runs with those of the newest weights, which are not its own.
            Defaults to True.
        **kwargs: Other arguments of mmengine's ``EMAHook`` and of the rule, such as ``gamma``
            (10, unless given).

    Reference:
        The warm-up of timm's ``ModelEmaV3`` with ``warmup_gamma=10, warmup_power=1``. With its own
        power of 2/3, the 638,000 steps of the published recipe would end before a decay of 0.9999
        is reached.
    """

    def __init__(
        self,
        ema_type: str = 'MomentumAnnealingEMA',
        momentum: float = 1e-4,
        raw_metrics: bool = True,
        update_buffers: bool = True,
        **kwargs: Any,
    ):
        if ema_type == 'MomentumAnnealingEMA':
            kwargs.setdefault('gamma', 10)
        super().__init__(
            ema_type=ema_type, momentum=momentum, update_buffers=update_buffers, **kwargs
        )
        self.raw_metrics = raw_metrics
        self._raw: dict = {}

    def before_val_epoch(self, runner: Runner) -> None:
        if self.raw_metrics:
            self._raw = {f'raw_{k}': v for k, v in _evaluate(runner).items()}
        super().before_val_epoch(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        super().after_val_epoch(runner, metrics)
        if metrics is not None and self._raw:
            metrics.update(self._raw)  # behind the average's: save_best='auto' takes the first
            for key, value in self._raw.items():  # RuntimeInfoHook has looked already
                if isinstance(value, (int, float, np.number)):
                    runner.message_hub.update_scalar(f'val/{key}', value)
        self._raw = {}


@torch.no_grad()
def _evaluate(runner) -> dict:
    """The metrics of a validation, without its hooks: nothing is logged or drawn twice."""
    loop = runner.val_loop
    statistics = getattr(loop, 'statistics', nullcontext)  # of a path's batch, in a search
    runner.model.eval()
    for data_batch in loop.dataloader:
        with statistics(data_batch), autocast(enabled=loop.fp16):
            outputs = runner.model.val_step(data_batch)
        if outputs and outputs[-1].keys() == ['loss']:  # losses of a validation
            outputs = outputs[:-1]
        loop.evaluator.process(data_samples=outputs, data_batch=data_batch)
    return loop.evaluator.evaluate(len(loop.dataloader.dataset))
