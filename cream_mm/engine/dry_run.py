"""How long a run will take, by its first steps. Knows no method: loops and hooks tell theirs."""

import bisect
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..checkpoints.whole_file import latest_checkpoint
from .hooks.data_time_hook import MAX_SHARE, what_may_help
from .stage import PROBE_SECONDS, SPREAD, Stage, seconds_of
from .stopwatch import EnoughError, StepEnd, Stopwatch, WrappedLoader, finish
from .words import format_duration

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
    least_epochs: int = 1  # that the run cannot do without

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
        runner (Runner): As for the run, with a ``work_dir`` that may go. Of no use afterwards.
        began (float): When the command began, by ``perf_counter``.

    Raises:
        ValueError: If it trains nothing.
    """
    if runner._train_loop is None:
        raise ValueError('this config trains nothing: there is no train_cfg')
    stopwatch = Stopwatch(began)
    runner.register_hook(stopwatch)
    runner.register_hook(StepEnd(stopwatch))
    with suppress(EnoughError):
        runner.train()
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
        least_epochs=getattr(loop, 'least_epochs', 1),
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


# ---- all but the steps ---------------------------------------------------------------------------


class _UntilLate(WrappedLoader):
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
    finish()
    batches, rest = loader.ended - start, perf_counter() - loader.ended
    scale = len(loader) / loader.done
    seconds = batches * scale + rest * scale
    return [Stage('validation', 'times', number, seconds, SPREAD * (1 + (scale > 1)), grows=True)]


def _num_validations(loop: Any) -> int:
    """As mmengine's loops count them."""
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    done, last = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    numbers = range(max(done + 1, loop.val_begin), last + 1)
    return sum(_due(loop, number) or number == last for number in numbers)


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
