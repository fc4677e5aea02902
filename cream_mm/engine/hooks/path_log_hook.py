"""Records what every step trained, and its loss: a rating of the space that costs nothing."""

import json
from math import nan
from pathlib import Path

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook

from ...files import PATH_LOG, append_lines, cut_path_log
from ...models.classifiers.cream import TrainedPath
from ...registry import HOOKS
from ..distributed import unwrap


@HOOKS.register_module()
class PathLogHook(Hook):
    """Appends ``{"step": 7, "arch": [[0], ...], "loss": 1.8}`` for each step to ``path_log.jsonl``.

    The loss is the classification loss before the step, in nats, on the step's images and without
    the share of distillation; the mean of all ranks. Where the path had a teacher,
    ``"teacher_loss"`` is the teacher's on the same images. Lines are written at the end of each
    epoch, before its checkpoint, so that a resumed run has each step once.
    """

    priority = 'NORMAL'  # before CheckpointHook

    def before_train(self, runner) -> None:
        self._pending: list[tuple[int, TrainedPath]] = []
        if is_main_process():
            wrong = cut_path_log(Path(runner.work_dir) / PATH_LOG, runner.iter)
            if wrong:
                runner.logger.warning(wrong)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        path = unwrap(runner.model).trained_path
        if path is not None:  # else the step was left out: FiniteLossHook
            self._pending.append((runner.iter, path._replace(images=None, soft_targets=None)))

    def after_train_epoch(self, runner) -> None:
        self._write(runner)

    def after_train(self, runner) -> None:
        self._write(runner)  # the rest, of a loop that counts steps

    def _write(self, runner) -> None:
        if not self._pending:
            return
        losses = torch.stack(  # (steps, 2); NaN without a teacher, on all ranks alike
            [
                torch.stack([p.loss, p.loss * nan if p.teacher_loss is None else p.teacher_loss])
                for _, p in self._pending
            ]
        ).float()
        all_reduce(losses, op='mean')
        if is_main_process():
            lines = []
            for (step, path), (loss, teacher_loss) in zip(self._pending, losses.tolist()):
                row = dict(step=step, arch=path.arch.to_list(), loss=loss)
                if path.teacher_loss is not None:
                    row['teacher_loss'] = teacher_loss
                lines.append(json.dumps(row))
            append_lines(Path(runner.work_dir) / PATH_LOG, lines)
        self._pending = []
