"""How many images a step should have: measured with the steps of a training, each larger."""

import gc
import os
import resource
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from mmengine.runner import Runner
from torch import nn

from ..command_line import is_out_of_memory
from ..structures.randomness import named_rng
from .distributed import unwrap

SMALLEST = 8
"""Images: fewer are too few for batch norm's statistics."""
LARGEST = 512
STEPS_PER_EPOCH = 8
"""A batch leaves so many steps in an epoch at least, where the smallest one does."""
GAIN = 1.05
"""On a CPU a larger batch has to take so many times as many images a second."""
MEMORY_SHARE = dict(cpu=0.5, cuda=0.8)
"""Of what there is. Other images are larger, and a validation needs some, too."""
_SECONDS = 1.0  # that a size is timed for, and two steps at least
_PATHS = 64  # that the costliest is sought among


class Tried(NamedTuple):
    """What one size of a batch takes: images a second, and bytes at the peak."""

    batch_size: int
    images_per_second: float
    peak_bytes: int


def choose_batch(
    try_size: Callable[[int], Tried | None], number: int, memory: int, is_gpu: bool
) -> tuple[int, list[Tried], str]:
    """The size of a batch.

    On a CPU sizes are doubled while speed grows, on a GPU while memory lasts.

    Args:
        try_size (callable): Takes steps of a size; None where memory does not do.
        number (int): Images that are trained on.
        memory (int): Bytes that may be used.
        is_gpu (bool): Whether it is a GPU's.

    Returns:
        tuple[int, list[Tried], str]: The size; all that were tried; why no larger one was taken.

    Raises:
        ValueError: If there is no memory for the smallest.
    """
    limit = min(LARGEST, max(number // STEPS_PER_EPOCH, min(SMALLEST, number)))
    size, tried, why = min(SMALLEST, limit), [], ''
    while not why:
        if size > limit:
            why = f'{number} training images allow no more'
            why = why if limit < LARGEST else f'{LARGEST} is the most'
            break
        if tried:  # what comes on top of the model grows with the batch
            last = tried[-1].peak_bytes
            growth = last - tried[-2].peak_bytes if len(tried) > 1 else 0
            if last + 2 * growth > memory:
                why = 'a larger one might not fit into memory'
                break
        found = try_size(size)
        if found is None or (tried and found.peak_bytes > memory):
            why = 'memory does not do for more'
            break
        tried.append(found)
        best = max((t.images_per_second for t in tried[:-1]), default=0.0)
        if not is_gpu and found.images_per_second < GAIN * best:
            why = 'a larger one is no faster'
        size *= 2
    if not tried:
        raise ValueError(
            f"batch_size='auto': there is no memory for {size} images of this size; take a "
            'smaller input_size, or give batch_size'
        )
    if is_gpu:
        return tried[-1].batch_size, tried, why
    fastest = max(t.images_per_second for t in tried)
    return next(t.batch_size for t in tried if GAIN * t.images_per_second >= fastest), tried, why


def probe_batch(runner: Runner) -> tuple[int, list[Tried], str]:
    """Measure with the model, the optimizer and the images of a run; see :func:`choose_batch`.

    A supernet runs its costliest path. Images are read before. Of no use afterwards.
    """
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loader = runner.train_dataloader
    model = unwrap(runner.model).train()
    if getattr(backbone := getattr(model, 'backbone', None), 'shares_weights', False):
        backbone.set_arch(costliest_path(backbone))
    is_gpu = next(model.parameters()).is_cuda
    images: list[Any] = []

    def try_size(size: int) -> Tried | None:
        images.extend(loader.dataset[i] for i in range(len(images), min(size, len(loader.dataset))))
        batch = [images[i % len(images)] for i in range(size)]
        try:
            return _time_steps(model, runner.optim_wrapper, loader.collate_fn, batch, is_gpu)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    memory = MEMORY_SHARE['cuda' if is_gpu else 'cpu'] * _memory(is_gpu)
    return choose_batch(try_size, len(loader.dataset), int(memory), is_gpu)


def costliest_path(backbone: nn.Module) -> Any:
    """The full path of a supernet that has one, else the costliest of some."""
    space = backbone.space
    if hasattr(space, 'full_path'):
        return space.full_path
    costs = backbone.budget.cost_model
    paths = [space.sample(named_rng('batch-probe', 0, i)) for i in range(_PATHS)]
    return max(paths, key=lambda path: costs.cost(path).macs)


def _time_steps(model, optim_wrapper, collate, batch: list, is_gpu: bool) -> Tried:
    gc.collect()
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    steps, start = 0, 0.0
    while steps < 3 or perf_counter() - start < _SECONDS:
        if steps == 1:  # the first allocates
            start = perf_counter()
        model.train_step(collate(list(batch)), optim_wrapper)
        if is_gpu:
            torch.cuda.synchronize()
        steps += 1
    seconds = (perf_counter() - start) / (steps - 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = torch.cuda.max_memory_reserved() if is_gpu else peak
    return Tried(len(batch), len(batch) / seconds, peak)


def _memory(is_gpu: bool) -> int:
    """Bytes that there are for this process."""
    if is_gpu:
        free, _ = torch.cuda.mem_get_info()
        return free + torch.cuda.memory_reserved()
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = [os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')]
    meminfo = Path('/proc/meminfo')
    if meminfo.is_file():  # also what caches would give back
        words = dict(line.split(':') for line in meminfo.read_text().splitlines())
        found.append(1024 * int(words['MemAvailable'].split()[0]) + here)
    for name in ('memory.max', 'memory/memory.limit_in_bytes'):  # of a container
        file = Path('/sys/fs/cgroup', name)
        if file.is_file() and (text := file.read_text().strip()).isdigit():
            found.append(int(text))
    return min(found)
