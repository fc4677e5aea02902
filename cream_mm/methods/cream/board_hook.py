"""Offers each trained path to the board."""

import statistics
from pathlib import Path

import torch
from mmengine.dist import all_reduce, master_only
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from ...engine.distributed import unwrap
from ...files import write_json
from ...files.board_file import board_content
from ...registry import HOOKS


@HOOKS.register_module()
class BoardHook(Hook):
    """After each step, offers the trained path to the model's board.

    Args:
        warmup (float): Share of all iterations before the board opens: the supernet's first
            accuracies say little. Defaults to 0.175, the published 21 of 120 epochs.

    Logs ``board_best``, ``board_median`` and ``board_worst`` (training top-1 in percent), and
    writes the board to ``board.json`` after each epoch.
    """

    priority = 'NORMAL'

    def __init__(self, warmup: float = 0.175):
        if not 0 <= warmup < 1:
            raise ValueError(f'warmup is a share of the run, 0 <= warmup < 1; got {warmup}')
        self.warmup = warmup

    def turns(self, runner: Runner) -> list[tuple[float, int]]:
        """For a dry run: steps have a teacher from here on, and match it with a full board."""
        board = unwrap(runner.model).board
        return [] if board is None else [(self.warmup, board.capacity + 2)]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        model = unwrap(runner.model)
        if model.board is None or runner.iter < self.warmup * runner.max_iters:
            return
        path, loader = model.trained_path, runner.train_dataloader
        if path is None:
            return  # the step was left out: FiniteLossHook
        if len(path.images) < loader.batch_size and len(loader) > 1:
            return  # accuracy on the few images of an epoch's last batch would mean nothing
        # Whole numbers add up exactly: the same score on every rank, on however many ranks.
        size = path.top1.new_tensor(len(path.images))
        counts = torch.stack([(path.top1.detach() * size / 100).round(), size])
        all_reduce(counts)
        hits, total = counts.tolist()
        model.board.offer(path.arch, 100 * hits / total, path.images, path.soft_targets)
        if len(model.board):
            scores = [entry.score for entry in model.board.entries]
            told = dict(best=scores[0], median=statistics.median(scores), worst=scores[-1])
            for name, score in told.items():
                runner.message_hub.update_scalar(f'train/board_{name}', score)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if model.board is not None:
            board = model.board
            content = board_content(board.entries, board.capacity, model.budget)
            write_json(Path(runner.work_dir) / 'board.json', content)
