"""mmengine's EarlyStoppingHook, which says why it stopped and survives a kill."""

import math

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.hooks import EarlyStoppingHook as _EarlyStoppingHook
from mmengine.runner import Runner

from ...registry import HOOKS
from ..distributed import unwrap
from ..words import short_path, with_unit
from .summary_hook import result_checkpoint

STATE = 'early_stopping'
"""In the message hub: part of the checkpoints."""


@HOOKS.register_module()
class EarlyStoppingHook(_EarlyStoppingHook):
    """Ends a training when a validation metric has not got better for some validations.

    At the end a line says why the training stopped, the best value, its epoch and its checkpoint,
    which is kept even where the config asks for none. A resumed run counts on, and one that has
    stopped does not go on. A search (a supernet) is never stopped: its paths are rated when its
    schedule is through; a line says that the hook does nothing.

    A cosine gains most in its last epochs: a ``patience`` below a third of the validations costs
    accuracy. It pays most with a rate that stays.

    Args:
        monitor (str): The metric, e.g. ``'accuracy/top1'``, ``'coco/bbox_mAP'``. Defaults to
            ``'auto'``: what the best checkpoint is the best of, else the first of a validation.
        rule (str, optional): ``'greater'`` or ``'less'`` is better. Defaults to what the name says.
        min_delta (float): What a metric has to gain to count as better, in its own unit: points
            for ``accuracy/``, a share for ``coco/``. Defaults to 0.
        patience (int): Validations in a row without a gain. Defaults to 5.
        stopping_threshold (float, optional): A value that is good enough to stop at once.

    Raises:
        ValueError: When a validation has no metric ``monitor``.
    """

    priority = 'LOW'  # after EMAHook; before CheckpointHook, which saves what is counted here

    def __init__(
        self,
        monitor: str = 'auto',
        rule: str | None = None,
        min_delta: float = 0.0,
        patience: int = 5,
        stopping_threshold: float | None = None,
    ):
        known = monitor != 'auto'
        super().__init__(
            monitor,
            rule if known else rule or 'greater',
            min_delta,
            patience=patience,
            stopping_threshold=stopping_threshold,
        )
        self._given_rule, self.min_delta = rule, min_delta
        self._rests = False

    def before_train(self, runner: Runner) -> None:
        backbone = getattr(unwrap(runner.model), 'backbone', None)
        self._rests = bool(getattr(backbone, 'shares_weights', False))
        if self._rests:
            runner.logger.warning(
                'EarlyStoppingHook does nothing in a search: its paths are rated when its schedule '
                'is through'
            )
            return
        saver = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if saver is None:
            raise ValueError('EarlyStoppingHook keeps the best checkpoint: give a CheckpointHook')
        if saver.save_best is None:
            saver.save_best, saver.is_better_than = [self.monitor], {}
            saver._init_rule([self._given_rule], saver.save_best)
            saver.best_ckpt_path = None
        elif self.monitor == 'auto' and (followed := saver.key_indicators[0]) != 'auto':
            self._follow(followed)
        state = runner.message_hub.get_info(STATE)
        if isinstance(state, dict) and state.get('why'):
            runner.train_loop.stop_training = True

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        if self._rests or not metrics:  # a detector that finds nothing yet gives none
            return
        if self.monitor == 'auto':
            self._follow(next(iter(metrics)))
        if self.monitor not in metrics:
            raise ValueError(
                f'EarlyStoppingHook: a validation has no metric {self.monitor!r}: it has '
                f'{sorted(metrics)}'
            )
        hub, value = runner.message_hub, float(metrics[self.monitor])
        begin = dict(best=None, epoch=None, counted=None, wait=0, why='')
        state = dict(begin, **(hub.get_info(STATE) or {}))
        better = self.rule_map[self.rule]
        gain = self.min_delta if self.rule == 'greater' else -self.min_delta
        limit = self.stopping_threshold
        if math.isfinite(value) and (state['best'] is None or better(value, state['best'])):
            state.update(best=value, epoch=runner.epoch)  # as the best checkpoint
        if not math.isfinite(value):
            state['why'] = f'{self.monitor} is {value}'
        elif limit is not None and not better(limit, value):
            state['why'] = f'{self.monitor} has reached {limit:g}'
        elif state['counted'] is None or better(value, state['counted'] + gain):
            state.update(counted=value, wait=0)
        else:
            state['wait'] += 1
            if state['wait'] >= self.patience:
                more = f' by more than {self.min_delta:g}' if self.min_delta else ''
                state['why'] = (
                    f'{self.monitor} has not got better{more} in {state["wait"]} '
                    f'validation{"s" * (state["wait"] > 1)}'
                )
        hub.update_info(STATE, state)
        if state['why']:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Runner) -> None:
        state = runner.message_hub.get_info(STATE)
        if self._rests or not isinstance(state, dict) or not state['why']:
            return
        text = f'Stopped after epoch {runner.epoch} of {runner.max_epochs}: {state["why"]}'
        if state['best'] is not None:
            text += f'; best {with_unit(self.monitor, state["best"])}, after epoch {state["epoch"]}'
        if is_main_process() and (checkpoint := result_checkpoint(runner)):
            text += f': {short_path(checkpoint)}'
        runner.logger.info(text)

    def _follow(self, metric: str) -> None:
        self.monitor = metric
        self.rule = self._given_rule or self._init_rule(metric)
