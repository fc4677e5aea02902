"""What batch norm does in a network whose running statistics belong to no path in particular."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def _norms(modules: Iterable[nn.Module]) -> list[_BatchNorm]:
    """Those with running statistics, each once."""
    norms = (m for m in modules if isinstance(m, _BatchNorm) and m.running_mean is not None)
    return list(dict.fromkeys(norms))


@contextmanager
def batch_stats(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Normalise with the batch's own statistics and leave the running ones untouched.

    Args:
        modules (Iterable[nn.Module]): Which norm layers this holds for; not for those whose
            ``keeps_running`` is true, which stay as they are.
    """
    norms = [m for m in _norms(modules) if not getattr(m, 'keeps_running', False)]
    states = [(m.training, m.track_running_stats) for m in norms]
    for m in norms:
        m.training, m.track_running_stats = True, False
    try:
        yield
    finally:
        for m, (training, track) in zip(norms, states):
            m.training, m.track_running_stats = training, track


@contextmanager
def recalibrated(
    modules: Iterable[nn.Module], run: Callable[[], None], root: nn.Module | None = None
) -> Iterator[None]:
    """Running statistics measured afresh, then eval mode; everything is restored on exit.

    Args:
        modules (Iterable[nn.Module]): Norm layers of one path.
        run (callable): Forwards the calibration images; called once, without gradient. The
            statistics are the plain average over its batches.
        root (nn.Module, optional): Whose forward the path is. What stands at several positions of
            it, so that it runs several times in one forward, then has statistics at each, as in a
            network where each position has a module of its own. ``run`` and whoever uses the path
            afterwards call ``root`` itself. None: one set of statistics for each norm layer.
    """
    norms = _norms(modules)
    saved = [
        (m.training, m.momentum, m.running_mean.clone(), m.running_var.clone(),
         m.num_batches_tracked.clone())
        for m in norms
    ]  # fmt: skip
    apart = None if root is None else _StatisticsPerCall(root, norms)
    try:
        _measure(norms, run)
        for m in norms:
            m.training = False
        yield
    finally:
        if apart is not None:
            apart.remove()
        for m, (training, momentum, mean, var, count) in zip(norms, saved):
            m.training, m.momentum = training, momentum
            m.running_mean.copy_(mean)
            m.running_var.copy_(var)
            m.num_batches_tracked.copy_(count)


def refit(modules: Iterable[nn.Module], run: Callable[[], None]) -> None:
    """Measure running statistics afresh, as the plain average over the batches of a run.

    Args:
        modules (Iterable[nn.Module]): Norm layers; their mode and momentum stay. One that runs
            several times in a forward, as in a head on several maps, gets the average of its calls.
        run (callable): Forwards images; called once, without gradient.
    """
    norms = _norms(modules)
    saved = [(m.training, m.momentum) for m in norms]
    try:
        _measure(norms, run)
    finally:
        for m, (training, momentum) in zip(norms, saved):
            m.training, m.momentum = training, momentum


def _measure(norms: list[_BatchNorm], run: Callable[[], None]) -> None:
    """Running statistics of a run alone; mode and momentum are left as they are for it."""
    for m in norms:
        m.reset_running_stats()
        m.training, m.momentum = True, None  # None: cumulative average
    with torch.no_grad():
        run()


class _StatisticsPerCall:
    """Running statistics for each call of whatever runs several times in a forward of a root.

    The first forward tells: a norm layer that counted more than one batch ran more than once.
    Hooks on the modules that hold it then put the statistics of the call into it, and this forward
    is run again. Blocks use their norm layers without calling them (``ops.norm_act``), so that the
    hooks are on what holds a norm; a norm itself has one only where that does not do. Where nothing
    repeats the root alone has hooks.

    Args:
        root (nn.Module): The backbone.
        norms (list[_BatchNorm]): Those outside of it stay as they are.
    """

    def __init__(self, root: nn.Module, norms: list[_BatchNorm]):
        inside = set(root.modules())
        self._root, self._norms = root, [m for m in norms if m in inside]
        self._sets: dict[_BatchNorm, list[tuple[Tensor, ...]]] = {}  # those of the n-th call
        self._held: dict[nn.Module, list[_BatchNorm]] = {}  # which norms a module puts in place
        self._calls: Counter[nn.Module] = Counter()  # in this forward
        self._running = self._looked = False
        self._hooks = [
            root.register_forward_pre_hook(self._begin),
            root.register_forward_hook(self._end, with_kwargs=True),
        ]

    def remove(self) -> None:
        """Take the hooks away; each norm has the statistics of its first call."""
        for hook in self._hooks:
            hook.remove()
        self._use_first()

    def _use_first(self) -> None:
        for norm, sets in self._sets.items():
            _put(norm, sets[0])

    def _begin(self, *_: Any) -> None:
        self._calls.clear()
        self._running = True

    def _end(self, root: nn.Module, args: tuple, kwargs: dict, out: Any) -> Any:
        """After a forward of the root, which is run again if it is the first and must be."""
        if not self._looked:
            self._looked = True
            for hooked in (self._holders, list):
                repeated = self._repeated()
                if not repeated:
                    break
                self._start_again(hooked(repeated), repeated)
                out = root.forward(*args, **kwargs)
        self._running = False
        self._use_first()  # for whoever runs a part of the root alone
        return out

    def _repeated(self) -> list[_BatchNorm]:
        """Norms that counted several batches with one set of statistics."""
        self._use_first()
        counts = [norm.num_batches_tracked for norm in self._norms]
        counts = torch.stack(counts).tolist() if counts else []
        return [norm for norm, count in zip(self._norms, counts) if count > 1]

    def _holders(self, norms: list[_BatchNorm]) -> list[nn.Module]:
        """The modules around these norms, without the root."""
        wanted = set(norms)
        around = (m for m in self._root.modules() if m is not self._root and m not in wanted)
        return [m for m in around if not wanted.isdisjoint(m.modules())]

    def _start_again(self, modules: list[nn.Module], norms: list[_BatchNorm]) -> None:
        """Before the first forward is run again, with hooks on more modules."""
        self._begin()
        wanted = set(norms)
        for norm in norms:
            self._sets[norm] = [_statistics(norm)]
        for module in modules:
            self._held[module] = [m for m in module.modules() if m in wanted]
            self._hooks.append(module.register_forward_pre_hook(self._enter))
        for sets in self._sets.values():
            del sets[1:]
        for norm in self._norms:
            norm.reset_running_stats()

    def _enter(self, module: nn.Module, _: Any) -> None:
        """Before a call: a module inside another one has the last word about its norms."""
        if not self._running:
            return
        call = self._calls[module]
        self._calls[module] += 1
        for norm in self._held[module]:
            sets = self._sets[norm]
            if call == len(sets):
                if not norm.training:
                    raise RuntimeError(
                        f'a {type(module).__name__} runs more often in one forward than when its '
                        'batch norm was recalibrated: is it another path?'
                    )
                mean, var, count = sets[0]
                sets.append((torch.zeros_like(mean), torch.ones_like(var), count.new_zeros(())))
            _put(norm, sets[call])


def _statistics(norm: _BatchNorm) -> tuple[Tensor, ...]:
    return tuple(getattr(norm, name) for name in _STATISTICS)


def _put(norm: _BatchNorm, statistics: tuple[Tensor, ...]) -> None:
    norm.running_mean, norm.running_var, norm.num_batches_tracked = statistics


@contextmanager
def of_this_rank(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Synchronised batch norm without its messages, while the ranks run different things.

    Args:
        modules (Iterable[nn.Module]): Which norm layers this holds for.
    """
    norms = list(dict.fromkeys(m for m in modules if isinstance(m, nn.SyncBatchNorm)))
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
