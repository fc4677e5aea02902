"""Says when the training waits for its data."""

import os
from collections.abc import Callable
from time import perf_counter

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...environment import usable_cores
from ...registry import HOOKS

MAX_SHARE = 0.2
"""Share of a step from which on its wait for data is too long."""


@HOOKS.register_module()
class DataTimeHook(Hook):
    """Warns, once in a run, when the wait for data takes too large a share of the steps.

    The wait is the time from the end of a step, all hooks included, to the first hook of the next.
    (The ``data_time`` of mmengine's log also counts hooks after ``IterTimerHook``, such as the
    writing of a checkpoint.) ``cream_mm.Runner`` has this hook by default.

    Args:
        max_share (float): Share of the time of a step, 0 to 1. Defaults to 0.2.
        window (int): Steps over which both times are added up. Defaults to 50.
        warmup (int): First steps of a run that are not counted: workers start, caches fill.
            Defaults to 10.

    Raises:
        ValueError: If an argument is out of range.
    """

    priority = 'VERY_HIGH'  # the first of a step; _Last is the last

    def __init__(self, max_share: float = MAX_SHARE, window: int = 50, warmup: int = 10):
        if not 0 < max_share <= 1:
            raise ValueError(f'max_share is a share, 0 to 1; got {max_share}')
        if window < 1 or warmup < 0:
            raise ValueError(f'window is at least 1, warmup at least 0; got {window}, {warmup}')
        self.max_share = max_share
        self.window = window
        self.warmup = warmup

    def before_train(self, runner: Runner) -> None:
        self._seen = -self.warmup  # steps; the window begins at 0
        self._waited = self._total = 0.0  # seconds
        self._is_done = False
        # At the end of the list of hooks, so that the loop over it, which called this, may go on.
        runner.register_hook(_Last(self._restart, self._end_step))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        self._wait = perf_counter() - self._start

    def _restart(self) -> None:
        self._start = perf_counter()

    def _end_step(self, runner) -> None:
        start, self._start = self._start, perf_counter()
        self._seen += 1
        if self._seen <= 0 or self._is_done:
            return
        self._waited += self._wait
        self._total += self._start - start
        if self._seen < self.window:
            return
        if self._waited > self.max_share * self._total:
            self._is_done = True
            self._warn(runner.train_dataloader)
        self._seen, self._waited, self._total = 0, 0.0, 0.0

    def _warn(self, loader) -> None:
        print_log(
            f'the training waits for data {self._waited / self._total:.0%} of the time: '
            f'{1e3 * self._waited / self.window:.0f} of {1e3 * self._total / self.window:.0f} ms '
            f'of a step, over {self.window} steps, with num_workers={loader.num_workers} on '
            f'{usable_cores()} cores. What may help: {what_may_help(loader.num_workers)}',
            'current',
            level=30,
        )


def what_may_help(workers: int) -> str:
    """What a user can do against the wait for data, where so many workers read it."""
    share = usable_cores() // int(os.environ.get('LOCAL_WORLD_SIZE', 1))  # of this process
    mend = []
    if workers < share:
        mend.append(f'num_workers={share} in --cfg-options')
    mend.append(
        'prepared images, for an image folder: tools/prepare_images.py SRC DST, with --pack '
        'for small ones'
    )
    if workers >= share:
        mend.append('cheaper transforms, or more cores')
    return '; '.join(mend)


class _Last(Hook):
    """Called after all others: where a step ends, and where the wait for the next one begins."""

    priority = 'LOWEST'

    def __init__(self, restart: Callable, end_step: Callable):
        self.restart = restart
        self.end_step = end_step

    def before_train_epoch(self, runner) -> None:
        self.restart()

    def after_val(self, runner) -> None:  # between two steps of a loop that counts steps
        self.restart()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.end_step(runner)
