"""Keeps what the training of a fold has measured on it."""

from numbers import Real
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...files import write_json
from ...registry import HOOKS

FOLD_FILE, FOLD_FORMAT = 'fold.json', 'cream_mm.fold/1'


@HOOKS.register_module()
class FoldHook(Hook):
    """Writes the metrics of the last validation into WORK_DIR/fold.json when a training ends.

    Where the last epoch was trained in an earlier process, and its validation was cut off, it is
    validated now.

    Args:
        folds, fold (int): How many folds, and which of them is validated on.
    """

    priority = 'VERY_LOW'

    def __init__(self, folds: int, fold: int):
        self.folds, self.fold = folds, fold
        self._metrics: dict[str, float] | None = None

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        found = {k: float(v) for k, v in (metrics or {}).items() if isinstance(v, Real)}
        self._metrics = {k: v for k, v in found.items() if 'raw_' not in k}

    def after_train(self, runner: Runner) -> None:
        if self._metrics is None:
            runner.val_loop.run()
        if is_main_process():
            write_json(Path(runner.work_dir, FOLD_FILE), dict(
                format=FOLD_FORMAT, folds=self.folds, fold=self.fold, epoch=runner.epoch,
                num_images=len(runner.val_dataloader.dataset), metrics=self._metrics,
            ))  # fmt: skip
