"""Compares the state in a checkpoint with what it is to be loaded into.

PyTorch and mmengine load what they are given: a buffer of another shape fails in the middle of the
first step, and a scheduler takes any attribute over its own.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

# What the optimizers of PyTorch and timm keep for each number of a parameter.
_AS_PARAMETER = {
    'acc_delta', 'exp_avg', 'exp_avg_sq', 'exp_inf', 'grad_avg', 'max_exp_avg_sq',
    'momentum_buffer', 'square_avg', 'sum',
}  # fmt: skip


def check_resumable(
    checkpoint: dict,
    model: Module,
    optim_wrapper: OptimWrapper | OptimWrapperDict,
    schedulers: list[_ParamScheduler] | dict[str, list[_ParamScheduler]] | None,
) -> None:
    """Check what is restored of a run: counts, weights, optimizer and schedulers.

    Args:
        checkpoint (dict): Of plain values and tensors.
        model (Module): Not in a wrapper.
        optim_wrapper (OptimWrapper | OptimWrapperDict): Others are not checked.
        schedulers (list | dict | None): mmengine's, built.

    Raises:
        ValueError: With the first entry that does not fit.
    """
    meta = checkpoint['meta']
    counts = [meta.get(key) for key in ('epoch', 'iter')]
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError('it does not say at which epoch and iteration it was saved')
    seed = meta.get('seed')
    _need(seed is None or type(seed) is int and 0 <= seed < 2**32, 'seed', seed)
    own = model.state_dict()
    for entry in ('state_dict', 'ema_state_dict'):
        if entry in checkpoint or entry == 'state_dict':
            _check_weights(checkpoint.get(entry), own, entry)
    if 'optimizer' in checkpoint:
        _check_wrapper(checkpoint['optimizer'], optim_wrapper)
    if 'param_schedulers' in checkpoint:
        _check_schedulers(checkpoint['param_schedulers'], schedulers)


def check_optimizer(saved: Any, optimizer: Optimizer, where: str = 'optimizer') -> None:
    """Check the state of an optimizer before ``optimizer.load_state_dict(saved)``.

    Raises:
        ValueError: If it is of other parameters, or holds values of another kind.
    """
    _need(isinstance(saved, Mapping), where, saved)
    groups, state = saved.get('param_groups'), saved.get('state')
    own = optimizer.param_groups
    ok = isinstance(groups, list) and len(groups) == len(own)
    _need(ok, f'{where}.param_groups', groups, f'{len(own)} groups')
    index, where_state = {}, f'{where}.state'
    for i, (group, its) in enumerate(zip(groups, own)):
        place = f'{where}.param_groups.{i}'
        _need(isinstance(group, Mapping), place, group)
        ids = group.get('params')
        ok = isinstance(ids, list) and all(type(one) is int for one in ids)
        ok = ok and len(ids) == len(its['params'])
        _need(ok, f'{place}.params', ids, f'{len(its["params"])} parameters')
        index.update(zip(ids, its['params']))
        _check_values(group, {k: v for k, v in its.items() if k != 'params'}, place)
    _need(isinstance(state, Mapping), where_state, state)
    for key, param in index.items():
        entry = state.get(key, {})
        _need(isinstance(entry, Mapping), f'{where_state}.{key}', entry)
        for name in _AS_PARAMETER & entry.keys():
            value = entry[name]
            ok = value is None or isinstance(value, Tensor) and value.shape == param.shape
            _need(ok, f'{where_state}.{key}.{name}', value, f'shape {list(param.shape)}')


def _check_weights(saved: Any, own: dict[str, Tensor], where: str) -> None:
    _need(isinstance(saved, Mapping) and len(saved) > 0, where, saved)
    for key, value in saved.items():
        # Averaged weights are saved from within one more module.
        target = own.get(str(key).removeprefix('module.'))
        if isinstance(target, Tensor):
            ok = isinstance(value, Tensor) and value.shape == target.shape
            _need(ok, f'{where}.{key}', value, f'shape {list(target.shape)}')
    names = {str(key).removeprefix('module.') for key in saved}
    missing = [k for k in own if k not in names and not k.endswith('num_batches_tracked')]
    if missing:
        raise ValueError(
            f'"{where}" lacks {len(missing)} of {len(own)} tensors of the model, first {missing[0]}'
        )


def _check_wrapper(saved: Any, wrapper) -> None:
    if isinstance(wrapper, OptimWrapperDict):
        _need(isinstance(saved, Mapping), 'optimizer', saved)
        for name, one in wrapper.items():
            if name in saved:
                _check_single(saved[name], one, f'optimizer.{name}')
    elif isinstance(wrapper, OptimWrapper):
        _check_single(saved, wrapper, 'optimizer')


def _check_single(saved: Any, wrapper: OptimWrapper, where: str) -> None:
    check_optimizer(saved, wrapper.optimizer, where)
    if 'loss_scaler' in saved and hasattr(wrapper, 'loss_scaler'):
        scaler, place = saved['loss_scaler'], f'{where}.loss_scaler'
        _need(isinstance(scaler, Mapping), place, scaler)
        _check_values(scaler, wrapper.loss_scaler.state_dict(), place)
    if 'base_param_settings' in saved and wrapper.base_param_settings is not None:
        settings, place = saved['base_param_settings'], f'{where}.base_param_settings'
        _need(isinstance(settings, Mapping), place, settings)
        _check_values(settings, wrapper.base_param_settings, place)


def _check_schedulers(saved: Any, schedulers) -> None:
    where = 'param_schedulers'
    if isinstance(schedulers, dict):
        for name, some in schedulers.items():
            _need(isinstance(saved, Mapping) and name in saved, where, saved)
            _check_schedulers(saved[name], some)
        return
    if schedulers is None:
        return
    _need(isinstance(saved, list), where, saved)
    for i, (one, scheduler) in enumerate(zip(saved, schedulers)):
        place = f'{where}.{i}'
        _need(isinstance(one, Mapping), place, one)
        own = scheduler.state_dict()
        for key in one.keys() - own.keys():  # of another schedule, if it is not one of these
            _need(not hasattr(scheduler, str(key)), f'{place}.{key}', one[key])
        _check_values({**own, **one}, own, place)


def _check_values(saved: Mapping, own: Mapping, where: str) -> None:
    for key, value in own.items():
        # Switches that a later PyTorch has added may be absent.
        if key in saved or isinstance(value, (Real, tuple)) and not isinstance(value, bool):
            _need(_same_kind(saved.get(key), value), f'{where}.{key}', saved.get(key))


def _same_kind(value: Any, own: Any) -> bool:
    if own is None or isinstance(own, bool):
        return value is None or isinstance(value, (bool, int, float, str))
    if isinstance(own, Real):
        return isinstance(value, Real) and (value == own or -1e300 < value < 1e300)
    if isinstance(own, str):
        return value == own
    if isinstance(own, tuple):
        fits = isinstance(value, (tuple, list)) and len(value) == len(own)
        return fits and all(map(_same_kind, value, own))
    if isinstance(own, list):
        return isinstance(value, list) and all(_same_kind(one, own[0]) for one in value if own)
    if isinstance(own, Tensor):
        return isinstance(value, Tensor) and value.shape == own.shape
    return isinstance(own, Mapping) and isinstance(value, Mapping)


def _need(ok: bool, where: str, value: Any, expected: str = '') -> None:
    if not ok:
        found = f'shape {list(value.shape)}' if isinstance(value, Tensor) else repr(value)[:80]
        raise ValueError(f'"{where}" is {found}{f", not {expected}" if expected else ""}')
