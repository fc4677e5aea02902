"""How long a run will take, by its first steps. Knows no method: loops and hooks tell theirs."""

import bisect
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..checkpoints.whole_file import latest_checkpoint
from .hooks.data_time_hook import MAX_SHARE, what_may_help
from .stage import PROBE_SECONDS, SPREAD, Stage, seconds_of
from .words import format_duration

WARMUP = 3  # steps before the timed ones
STEPS = 20  # timed ones
SLOW_SECONDS = 60.0  # fewer steps are timed where they take longer than this
MIN_STEPS = 5
MIN_BATCHES = 2  # of a validation


class DryRun(NamedTuple):
    """What a run will take."""

    stages: list[Stage]
    max_epochs: int | None  # that the stages are for; None of a loop that counts steps
    multiple: int  # epochs that the run cannot do one without the other
    images_per_second: float
    wait_share: float  # of a step that goes by until its images are there, 0 to 1
    checkpoint_bytes: int
    peak_bytes: int  # of this process, without the workers of its loaders
    gpu_bytes: int | None
    hint: str | None  # what may help where the steps wait for data

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return seconds_of(self.stages)

    def record(self) -> dict:
        """As plain JSON values."""
        return dict(self._asdict(), stages=[stage._asdict() for stage in self.stages])


def leave_no_trace(cfg: Config, folder: str, work_dir: str | None = None) -> None:
    """Let a run write into a folder and nowhere else.

    Args:
        cfg (Config): Changed in place.
        folder (str): Where its files go.
        work_dir (str, optional): Where those of the run itself go: one that goes on does so from
            there. Defaults to ``work_dirs/<name of the config>``.
    """
    if cfg.get('resume') and cfg.get('load_from') is None:
        work_dir = work_dir or os.path.join('work_dirs', Path(cfg.filename).stem)
        found = latest_checkpoint(work_dir)
        cfg.load_from = None if found is None else str(found)
    cfg.work_dir = folder
    if cfg.get('visualizer'):
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    for hook in [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]:
        if isinstance(hook, dict):
            hook.pop('out_dir', None)
    for side in ('val', 'test'):
        metrics = cfg.get(f'{side}_evaluator') or []
        for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            for key in ('outfile_prefix', 'out_file_path'):
                if isinstance(metric, dict) and metric.get(key):
                    metric[key] = os.path.join(folder, os.path.basename(metric[key]))
    cfg.log_level = 'WARNING'


def dry_run(runner: Runner, began: float) -> DryRun:
    """Take some steps of a training, and time one of everything else that it will do.

    Args:
        runner (Runner): As for the run, with a ``work_dir`` that may go; it is of no use afterwards.
        began (float): When the command began, by ``perf_counter``.

    Raises:
        ValueError: If it trains nothing.
    """
    if runner._train_loop is None:
        raise ValueError('this config trains nothing: there is no train_cfg')
    stopwatch = Stopwatch(began)
    runner.register_hook(stopwatch, priority='VERY_HIGH')
    runner.register_hook(_StepEnd(stopwatch), priority='LOWEST')
    try:
        runner.train()
    except _EnoughError:
        pass
    with runner._alone():
        stages = [
            Stage('start', 'time', 1, stopwatch.start_seconds),
            *stopwatch.stages(runner),
            *(stage for hook in stopwatch.speaking for stage in hook.own_stages(runner)),
            *_validations(runner),
        ]
        checkpoints, size = _checkpoints(runner)
        stages += checkpoints
        if hasattr(loop := runner.train_loop, 'stages'):
            stages += loop.stages(runner)
    loader = runner.train_dataloader
    batch = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None) or 1
    waits = stopwatch.wait_share
    has_gpu = torch.cuda.is_available()
    return DryRun(
        stages=[stage for stage in stages if stage.number > 0],
        max_epochs=loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else None,
        multiple=getattr(loop, 'epochs_together', 1),
        images_per_second=batch * get_world_size() / stopwatch.seconds_per_step,
        wait_share=waits,
        checkpoint_bytes=size,
        peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        gpu_bytes=torch.cuda.max_memory_allocated() if has_gpu else None,
        hint=what_may_help(loader.num_workers) if waits > MAX_SHARE else None,
    )


def dry_run_table(run: DryRun) -> str:
    """What a dry run found, as lines for the screen."""
    rows = [('stage', 'how much', 'each', 'minutes')]
    for stage in run.stages:
        number = f'{stage.number:,.0f} {stage.unit}'
        each = f'{stage.seconds_each:.3g} s'
        rows.append((stage.name, number, each, f'{stage.seconds / 60:.1f}'))
    low, high = (seconds_of(run.stages, side) / 60 for side in (-1, 1))
    rows.append(('total', '', '', f'{run.seconds / 60:.1f}'))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f'  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  '
        f'{row[3]:>{widths[3]}}'
        for row in rows
    ]
    memory = f'{run.peak_bytes / 2**30:.2f} GB, without the workers that read images'
    if run.gpu_bytes is not None:
        memory = f'{run.gpu_bytes / 2**30:.2f} GB of the GPU, {memory}'
    about = [
        ('time', f'{format_duration(run.seconds)}; {low:.1f} to {high:.1f} minutes, if nothing '
         'else uses this machine'),
        ('speed', f'{run.images_per_second:.1f} images a second'),
        ('data', f'{run.wait_share:.0%} of a step is waiting for images'),
        ('memory', memory),
        ('disk', f'{run.checkpoint_bytes / 2**20:.1f} MB a checkpoint'),
    ]  # fmt: skip
    if run.hint:
        about.append(('faster', run.hint))
    lines += ['', *(f'  {name:<6}  {text}' for name, text in about)]
    return '\n'.join(['Dry run: nothing was kept.', *lines])


# ---- the steps of the training -------------------------------------------------------------------


class _EnoughError(Exception):
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
            raise ValueError('the training has too few steps to be timed')
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
            _finish()
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
            raise _EnoughError
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


class _StepEnd(Hook):
    """The last of all hooks."""

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


class _Wrapped:
    """A data loader of which another one takes the batches."""

    def __init__(self, loader: Any):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)


class _Endless(_Wrapped):
    """Begins anew at its end."""

    def __init__(self, loader: Any):
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


class _UntilLate(_Wrapped):
    """Ends after :data:`PROBE_SECONDS`, or its last batch."""

    def __iter__(self) -> Iterator:
        start, self.done = perf_counter(), 0
        for batch in self._loader:
            yield batch
            self.done += 1
            self.ended = perf_counter()
            seconds = self.ended - start
            if get_world_size() > 1:
                seconds = PROBE_SECONDS * self.done / 10  # the same on all ranks
            if self.done >= MIN_BATCHES and seconds >= PROBE_SECONDS:
                break


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ---- everything else -----------------------------------------------------------------------------


def _validations(runner: Runner) -> list[Stage]:
    if runner.val_loop is None:
        return []
    number = _num_validations(runner.train_loop)
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            hook.save_best = None  # a validation is timed, and not the writing of a file
    loop = runner.val_loop
    loop.dataloader = loader = _UntilLate(loop.dataloader)
    start = perf_counter()
    loop.run()
    _finish()
    batches, rest = loader.ended - start, perf_counter() - loader.ended
    scale = len(loader) / loader.done
    seconds = batches * scale + rest * scale
    return [Stage('validation', 'times', number, seconds, SPREAD * (1 + (scale > 1)), grows=True)]


def _num_validations(loop: Any) -> int:
    """As mmengine's loops count them."""
    if not isinstance(loop, EpochBasedTrainLoop):
        first = max(loop.iter + 1, loop.val_begin)
        steps = range(first, loop.max_iters + 1)
        return sum(_due(loop, step) or step == loop.max_iters for step in steps)
    first = max(loop.epoch + 1, loop.val_begin)
    epochs = range(first, loop.max_epochs + 1)
    return sum(_due(loop, epoch) or epoch == loop.max_epochs for epoch in epochs)


def _due(loop: Any, number: int) -> bool:
    place = bisect.bisect(loop.dynamic_milestones, number + 1)
    return number % loop.dynamic_intervals[place - 1] == 0


def _checkpoints(runner: Runner) -> tuple[list[Stage], int]:
    """The writing of checkpoints, and the bytes of one."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if not hooks or hooks[0].interval <= 0:
        return [], 0
    hook, loop = hooks[0], runner.train_loop
    left = loop.max_epochs - loop.epoch if hook.by_epoch else loop.max_iters - loop.iter
    with tempfile.TemporaryDirectory(dir=runner.work_dir) as folder:
        start = perf_counter()
        runner.save_checkpoint(folder, 'dry_run.pth', meta={}, by_epoch=hook.by_epoch)
        seconds = perf_counter() - start
        size = Path(folder, 'dry_run.pth').stat().st_size if os.listdir(folder) else 0
    number = -(-left // hook.interval)
    return [Stage('checkpoints', 'files', number, seconds, grows=True)], size
