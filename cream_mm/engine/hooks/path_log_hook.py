"""Records what every step trained, and its loss: a rating of the space that costs nothing."""

import json
from pathlib import Path

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from torch import Tensor

from ...files import PATH_LOG, append_lines, cut_path_log
from ...registry import HOOKS
from ...structures import Arch
from ..distributed import unwrap
from .finite_loss_hook import FiniteLossHook

Losses = dict[str, Tensor | dict[str, Tensor]]


@HOOKS.register_module()
class PathLogHook(Hook):
    """Appends ``{"step": 7, "arch": [[0], ...], "loss": 1.8}`` for each step to ``path_log.jsonl``.

    The loss is the step's total loss, before the step and on its images, the mean of all ranks;
    where it has several parts, ``"losses"`` has each by its name. A model that knows better what
    rates its path has ``path_losses()``: the classification loss without the share of distillation
    as ``"loss"``, for example, and as ``"teacher_loss"`` a teacher's on the same images. Lines are
    written at the end of each epoch, before its checkpoint, so that a resumed run has each step
    once.
    """

    priority = 'NORMAL'  # before CheckpointHook

    def before_train(self, runner: Runner) -> None:
        self._pending: list[tuple[int, Arch, Losses]] = []
        if is_main_process():
            wrong = cut_path_log(Path(runner.work_dir) / PATH_LOG, runner.iter)
            if wrong:
                runner.logger.warning(wrong)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        model = unwrap(runner.model)
        if not getattr(runner.train_loop, 'trains_paths', True):
            return
        if any(isinstance(hook, FiniteLossHook) and hook.left_out for hook in runner.hooks):
            return
        losses = model.path_losses() if hasattr(model, 'path_losses') else _by_name(outputs)
        if losses:
            self._pending.append((runner.iter, model.backbone.arch, _detached(losses)))

    def after_train_epoch(self, runner: Runner) -> None:
        self._write(runner)

    def after_train(self, runner: Runner) -> None:
        self._write(runner)  # the rest, of a loop that counts steps

    def _write(self, runner) -> None:
        if not self._pending:
            return
        flat = [value for *_, losses in self._pending for value in _values(losses)]
        flat = [value.float().reshape(()) for value in flat]
        # A plain number among the losses of a GPU is a tensor of the CPU.
        device = next((value.device for value in flat if value.device.type != 'cpu'), 'cpu')
        means = torch.stack([value.to(device) for value in flat])
        all_reduce(means, op='mean')
        if is_main_process():
            numbers = iter(means.tolist())
            lines = [
                json.dumps(dict(step=step, arch=arch.to_list(), **_filled(losses, numbers)))
                for step, arch, losses in self._pending
            ]
            append_lines(Path(runner.work_dir) / PATH_LOG, lines)
        self._pending = []


def _by_name(outputs: dict | None) -> Losses | None:
    """The losses among what ``train_step`` returned: mmengine adds all whose name says so."""
    parts = {k: torch.as_tensor(v) for k, v in (outputs or {}).items() if 'loss' in k}
    total = parts.pop('loss', None)
    if total is None:
        return None
    return dict(loss=total, losses=parts) if len(parts) > 1 else dict(loss=total)


def _detached(losses: Losses) -> Losses:
    """Without the graphs of a whole epoch, which are gigabytes."""
    return {k: _detached(v) if isinstance(v, dict) else v.detach() for k, v in losses.items()}


def _values(losses: Losses) -> list[Tensor]:
    return [v for x in losses.values() for v in (x.values() if isinstance(x, dict) else [x])]


def _filled(losses: Losses, numbers) -> dict:
    """The same dictionary with the numbers in the place of the tensors, in order."""
    return {
        key: {name: next(numbers) for name in value} if isinstance(value, dict) else next(numbers)
        for key, value in losses.items()
    }
