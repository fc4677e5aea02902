"""Times the steps of a training that ends with them."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from .stage import SPREAD, Stage

WARMUP = 3  # steps before the timed ones
STEPS = 20  # timed ones
SLOW_SECONDS = 60.0  # fewer steps are timed where they take longer than this
MIN_STEPS = 5


class EnoughError(Exception):
    """Ends the training of a dry run."""


class _Part:
    """Timed steps from one point of the training on."""

    def __init__(self, share: float, warmup: int):
        self.share, self.warmup = share, warmup
        self.seconds: list[float] = []  # of each step, with the wait for its images
        self.waits: list[float] = []

    @property
    def mean(self) -> float:
        """Seconds of a step."""
        if not self.seconds:
            raise ValueError(
                'no step is left to be timed: the run is at its end, or has hardly any'
            )
        return sum(self.seconds) / len(self.seconds)

    @property
    def spread(self) -> float:
        """Relative half-width: what always is, and twice the standard error of the mean."""
        times = torch.tensor(self.seconds, dtype=torch.float64)
        error = float(times.std()) / len(times) ** 0.5 if len(times) > 1 else self.mean
        return min(0.5, SPREAD + 2 * error / self.mean)


class Stopwatch(Hook):
    """Times steps, first those of the beginning, then those behind each turn of the training.

    A hook by which steps cost something else from some point on has ``turns(runner)``, a list of
    ``(share of the training, steps until it costs what it will)``.

    Args:
        began (float): When the command began, by ``perf_counter``.
    """

    priority = 'VERY_HIGH'

    def __init__(self, began: float):
        self._began = began
        self.start_seconds = 0.0
        self.speaking: list[Hook] = []  # those that tell their time themselves
        self._parts: list[_Part] = []
        self._turns: list[tuple[float, int]] = []
        self._seen = 0  # steps of a part
        self._wait = self._last = 0.0
        self._first_waits: list[float] = []  # of each pass over the data

    def before_train_epoch(self, runner: Runner) -> None:
        self._last = perf_counter()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        now = perf_counter()
        if not self.start_seconds:
            self.start_seconds = now - self._began
            self._last = self._last or now
        self._wait = now - self._last

    def after_val(self, runner: Runner) -> None:  # between two steps of a loop that counts steps
        self._last = perf_counter()

    def prepare(self, runner: Runner) -> None:
        """Called when all other hooks are ready to train."""
        loop, hooks = runner.train_loop, runner.hooks
        if isinstance(loop, EpochBasedTrainLoop):  # no end of an epoch among the steps
            loop.dataloader = _Endless(loop.dataloader)
        self.speaking = [hook for hook in hooks if hasattr(hook, 'own_stages')]
        runner._hooks = [hook for hook in hooks if hook not in self.speaking]
        turns = [t for hook in hooks if hasattr(hook, 'turns') for t in hook.turns(runner)]
        done = runner.iter / max(runner.max_iters, 1)
        self._turns = sorted(turn for turn in turns if done < turn[0] < 1)
        self._parts = [_Part(done, max([WARMUP, *(n for share, n in turns if share <= done)]))]

    def end_step(self, runner: Runner) -> None:
        """Called when all other hooks are done with a step."""
        part, loader = self._parts[-1], runner.train_loop.dataloader
        self._seen += 1
        is_first = isinstance(loader, _Endless) and loader.begins()
        if is_first:
            self._first_waits.append(self._wait)
        is_odd = is_first and loader.num_workers > 0 and len(loader) > 1
        if self._seen == part.warmup or len(part.seconds) >= STEPS - 1:
            finish()
        if self._seen > part.warmup and not is_odd:
            part.seconds.append(perf_counter() - self._last)
            part.waits.append(self._wait)
            if self._is_enough(part):
                self._go_on(runner)
        self._last = perf_counter()

    def _is_enough(self, part: _Part) -> bool:
        number = len(part.seconds)
        is_slow = get_world_size() == 1 and sum(part.seconds) > SLOW_SECONDS
        return number >= STEPS or number >= MIN_STEPS and is_slow

    def _go_on(self, runner) -> None:
        if not self._turns:
            raise EnoughError
        share, warmup = self._turns.pop(0)
        self._parts.append(_Part(share, max(WARMUP, warmup)))
        self._seen = 0
        loop = runner.train_loop
        loop._iter = max(loop.iter, int(share * loop.max_iters) + 1)

    # ---- what came out -----------------------------------------------------------------------

    @property
    def seconds_per_step(self) -> float:
        """At the beginning of the training."""
        return self._parts[0].mean

    @property
    def wait_share(self) -> float:
        """Of all timed steps."""
        waits = sum(wait for part in self._parts for wait in part.waits)
        return waits / sum(second for part in self._parts for second in part.seconds)

    def stages(self, runner: Runner) -> list[Stage]:
        """The steps of the training, by its parts, and the beginnings of its epochs."""
        stages, ends = [], [part.share for part in self._parts[1:]] + [1.0]
        for part, end in zip(self._parts, ends):
            name = 'training' if part is self._parts[0] else f'training from {part.share:.0%} on'
            number = (end - part.share) * runner.max_iters
            stages.append(Stage(name, 'steps', number, part.mean, part.spread, grows=True))
        loop, waits = runner.train_loop, self._parts[0].waits
        if isinstance(loop, EpochBasedTrainLoop) and loop.dataloader.num_workers:
            first = min(self._first_waits) - sum(waits) / len(waits)
            epochs = (1 - self._parts[0].share) * loop.max_epochs
            persists = loop.dataloader.persistent_workers
            if first > 0 and not persists:
                stages.append(Stage('starts of workers', 'epochs', epochs, first, grows=True))
        return stages


class StepEnd(Hook):
    """Tells a stopwatch, behind all other hooks."""

    priority = 'LOWEST'

    def __init__(self, stopwatch: Stopwatch):
        self._stopwatch = stopwatch

    def before_train(self, runner: Runner) -> None:
        self._stopwatch.prepare(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        self._stopwatch.end_step(runner)


class WrappedLoader:
    """A data loader of which another one takes the batches."""

    def __init__(self, loader: DataLoader):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)


class _Endless(WrappedLoader):
    """Begins anew at its end."""

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        self._begins = False

    def __iter__(self) -> Iterator:
        while True:
            self._begins = True
            yield from self._loader

    def begins(self) -> bool:
        """Whether the last batch was the first of a pass."""
        begins, self._begins = self._begins, False
        return begins


def finish() -> None:
    """Wait for a GPU: what was asked of it is done when it says so."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
