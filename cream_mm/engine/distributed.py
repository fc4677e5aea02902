"""What mmengine's distributed runs lack: machines without a GPU, restarts, agreement of ranks."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn as nn
from mmengine.dist import broadcast_object_list, is_distributed, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch.distributed import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ..models.layers.sync_batch_norm import SyncBatchNorm


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside a distributed wrapper."""
    return model.module if is_model_wrapper(model) else model


@contextmanager
def no_gpu() -> Iterator[None]:
    """mmengine's launchers choose a GPU for each process, whatever the backend: leave it out."""
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device


def cpu_backend(env_cfg: dict) -> dict:
    """``env_cfg`` with gloo as backend; nccl, the usual one, needs GPUs."""
    return {**env_cfg, 'dist_cfg': {**(env_cfg.get('dist_cfg') or {}), 'backend': 'gloo'}}


def restart_store(env_cfg: dict) -> dict:
    """``env_cfg`` with a store of its own for a group that torchrun has started again.

    torchrun keeps one store for all starts (seen with torch 2.10), where a process finds the
    address of one that was killed, if it is ahead of the one that takes that place.
    """
    attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    if attempt == '0' or is_distributed():
        return env_cfg
    store, rank, world_size = next(rendezvous('env://'))
    settings = dict(
        store=PrefixStore(f'attempt_{attempt}', store), rank=rank, world_size=world_size
    )
    return {**env_cfg, 'dist_cfg': {**(env_cfg.get('dist_cfg') or {}), **settings}}


def cpu_wrapper(wrapper_cfg: dict | None, find_unused_parameters: bool) -> dict:
    """The model wrapper of a config, or mmengine's usual one, without a GPU to put it on."""
    usual = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=find_unused_parameters,
    )
    cfg = dict(usual if wrapper_cfg is None else wrapper_cfg)
    kind = cfg.setdefault('type', 'MMDistributedDataParallel')
    kind = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if isinstance(kind, type) and issubclass(kind, DistributedDataParallel):
        cfg['device_ids'] = None
    return cfg


@contextmanager
def hidden_sync_norms(model: nn.Module) -> Iterator[None]:
    """Torch's synchronised batch norm, which only knows GPUs, is none while a model is wrapped.

    Torch's wrapper refuses it on a CPU. Afterwards it is one that works there.
    """
    norms = [module for module in model.modules() if type(module) is nn.SyncBatchNorm]
    for module in norms:
        module.__class__ = _BatchNorm
    try:
        yield
    finally:
        _become_cpu_sync_norms(norms)


def use_cpu_sync_norm(model: nn.Module) -> None:
    """Let torch's synchronised batch norm work on a CPU."""
    _become_cpu_sync_norms(m for m in model.modules() if type(m) is nn.SyncBatchNorm)


def _become_cpu_sync_norms(norms: Iterable[nn.Module]) -> None:
    for module in norms:
        module.__class__ = SyncBatchNorm  # the same state; only the forward pass differs


def on_main_process(function: Callable, *args: Any) -> Any:
    """What ``function(*args)`` returns on rank 0, on every rank; an error is raised on every rank.

    For what looks at the disk: two processes may see two states of it.
    """
    outcome: list = [None, None]
    if is_main_process():
        try:
            outcome = [function(*args), None]
        except Exception as error:
            outcome = [None, error]
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
