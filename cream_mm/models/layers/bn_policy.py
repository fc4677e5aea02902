"""What batch norm does in a network whose running statistics belong to no path in particular."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm


def _norms(modules: Iterable[nn.Module]) -> list:
    return [m for m in modules if isinstance(m, _BatchNorm) and m.running_mean is not None]


@contextmanager
def batch_stats(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Normalise with the batch's own statistics and leave the running ones untouched.

    Args:
        modules (Iterable[nn.Module]): Which norm layers this holds for.
    """
    norms = _norms(modules)
    states = [(m.training, m.track_running_stats) for m in norms]
    for m in norms:
        m.training, m.track_running_stats = True, False
    try:
        yield
    finally:
        for m, (training, track) in zip(norms, states):
            m.training, m.track_running_stats = training, track


@contextmanager
def recalibrated(modules: Iterable[nn.Module], run: Callable[[], None]) -> Iterator[None]:
    """Running statistics measured afresh, then eval mode; everything is restored on exit.

    Args:
        modules (Iterable[nn.Module]): Norm layers of one path.
        run (callable): Forwards the calibration images; called once, without gradient. The
            statistics are the plain average over its batches.
    """
    norms = _norms(modules)
    saved = [
        (m.training, m.momentum, m.running_mean.clone(), m.running_var.clone(),
         m.num_batches_tracked.clone())
        for m in norms
    ]  # fmt: skip
    try:
        for m in norms:
            m.reset_running_stats()
            m.training, m.momentum = True, None  # None: cumulative average
        with torch.no_grad():
            run()
        for m in norms:
            m.training = False
        yield
    finally:
        for m, (training, momentum, mean, var, count) in zip(norms, saved):
            m.training, m.momentum = training, momentum
            m.running_mean.copy_(mean)
            m.running_var.copy_(var)
            m.num_batches_tracked.copy_(count)


@contextmanager
def of_this_rank(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Synchronised batch norm without its messages, while the ranks run different things.

    Args:
        modules (Iterable[nn.Module]): Which norm layers this holds for.
    """
    norms = [m for m in modules if isinstance(m, nn.SyncBatchNorm)]
    for m in norms:
        m.forward = partial(_BatchNorm.forward, m)
    try:
        yield
    finally:
        for m in norms:
            del m.forward


def modules_of_path(model: nn.Module) -> Iterator[nn.Module]:
    """Every module that the current path of a model runs through: necks and heads, too."""
    yield from model.backbone.path_modules()
    yield from modules_outside(model)


def modules_outside(model: nn.Module) -> Iterator[nn.Module]:
    """Every module of a model around a supernet that is not part of the supernet."""
    for name, child in model.named_children():
        if name != 'backbone':
            yield from child.modules()
