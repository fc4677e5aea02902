"""Records what every step trained, and its loss: a rating of the space that costs nothing."""

import json
from pathlib import Path

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook

from ...registry import HOOKS
from ...utils import append_lines, unwrap, whole_lines, write_whole

FILE = 'path_log.jsonl'


@HOOKS.register_module()
class PathLogHook(Hook):
    """Appends ``{"step": 7, "arch": [[0], ...], "loss": 1.8}`` for each step to ``path_log.jsonl``.

    The loss is the classification loss before the step, in nats, on the step's images and without
    the share of distillation; the mean of all ranks. Lines are written at the end of each epoch,
    before its checkpoint, so that a resumed run has each step once.
    """

    priority = 'NORMAL'  # before CheckpointHook

    def before_train(self, runner) -> None:
        self._pending: list[tuple[int, list, torch.Tensor]] = []
        path = Path(runner.work_dir) / FILE
        if is_main_process() and path.is_file():
            kept = [line for line in whole_lines(path) if json.loads(line)['step'] < runner.iter]
            write_whole(path, ''.join(f'{line}\n' for line in kept).encode())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        path = unwrap(runner.model).trained_path
        if path is not None:  # else the step was left out: FiniteLossHook
            self._pending.append((runner.iter, path.arch.to_list(), path.loss))

    def after_train_epoch(self, runner) -> None:
        self._write(runner)

    def after_train(self, runner) -> None:
        self._write(runner)  # the rest, of a loop that counts steps

    def _write(self, runner) -> None:
        if not self._pending:
            return
        losses = torch.stack([loss for *_, loss in self._pending]).float()
        all_reduce(losses, op='mean')
        if is_main_process():
            rows = zip(self._pending, losses.tolist())
            append_lines(
                Path(runner.work_dir) / FILE,
                (json.dumps(dict(step=n, arch=arch, loss=loss)) for (n, arch, _), loss in rows),
            )
        self._pending = []
