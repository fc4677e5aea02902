"""Whether code that torch cannot see may work on a tensor: the one place that decides it."""

import torch
import torch.nn as nn
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.modules import module as hooks
from torch.utils._device import DeviceContext

_Keys, _Key = torch._C.DispatchKeySet, torch._C.DispatchKey
# What the dispatcher has to do for a dense CPU tensor in a thread where nobody listens. A trace, a
# mode, a transform, a subclass, a wrapper and every other storage add a key of their own.
_PLAIN = (
    _Keys(_Key.CPU) | _Keys(_Key.ADInplaceOrView) | _Keys(_Key.AutogradCPU)
    | _Keys(_Key.AutocastCPU) | _Keys(_Key.BackendSelect)
)  # fmt: skip
if hasattr(_Keys, 'raw_repr'):
    _OTHER = ~_PLAIN.raw_repr()

    def _has_more(keys) -> bool:
        return keys.raw_repr() & _OTHER != 0

else:  # torch 2.1

    def _has_more(keys) -> bool:
        return (keys - _PLAIN).highestPriorityTypeId() != _Key.Undefined


# torch 2.1 has the second alone. Both are True where torch.compile and torch.export look.
_is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._utils.is_compiling


def is_ordinary(*tensors: Tensor) -> bool:
    """Whether the values of these tensors may be read and written behind torch's back, now.

    True for dense tensors in the memory of the CPU while every operator does nothing but compute.
    False while torch traces, compiles or exports, under ``FakeTensorMode`` and every other mode,
    inside ``torch.func`` transforms and forward-mode differentiation, and for subclasses, wrapped
    and lazily negated tensors, ``torch.fx`` proxies, and other devices and layouts.

    Takes a few microseconds. Autograd and autocast are the caller's to handle.
    """
    # First, so that a compiler goes no further.
    if _is_compiling() or forward_ad._current_level >= 0 or _in_function_mode():
        return False
    if _has_more(torch._C._dispatch_tls_local_include_set()):
        return False
    for tensor in tensors:
        if (
            type(tensor) not in (Tensor, nn.Parameter)
            or not tensor.is_cpu
            or _has_more(torch._C._dispatch_keys(tensor))
        ):
            return False
    return True


def _in_function_mode() -> bool:
    if torch._C._len_torch_function_stack() == 0:
        return False
    # torch.set_default_device is a mode, too: it concerns new tensors alone.
    modes = torch.overrides._get_current_function_mode_stack()
    return any(type(mode) is not DeviceContext for mode in modes)


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether calling ``module`` does what ``kind`` does and no more: no subclass, no hooks.

    Pruning and weight norm compute the weight in hooks, observers and counters look at values.
    """
    return type(module) is kind and not has_hooks(module) and 'forward' not in module.__dict__


def has_hooks(module: nn.Module) -> bool:
    """Whether anything looks on when ``module`` is called, and may keep what it sees."""
    return bool(
        hooks._global_forward_pre_hooks
        or hooks._global_forward_hooks
        or hooks._global_backward_pre_hooks
        or hooks._global_backward_hooks
        or module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
    )
