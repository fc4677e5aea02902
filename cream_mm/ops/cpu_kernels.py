"""Calls the CPU kernels, which are built on first use.

PyTorch's weight gradient of a depthwise 5x5 or 7x7 convolution takes 3 to 17 times as long as it
needs to on a CPU, and batch norm, activations and their gradients go over memory twice as often as
they must. Together that is most of a training step. docs/results/supernet_step.md has the numbers.
"""

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from .compiled import load_compiled
from .ordinary import is_ordinary

SOURCE = Path(__file__).with_name('cpu_kernels.cpp')
# What -ffast-math turns on and the kernels live well with. Not itself: given to the linker of
# gcc < 13, it makes loading the library switch the whole process to flush-to-zero.
FLAGS = ['-O3', '-march=native', '-fno-math-errno', '-fno-trapping-math', '-fno-signed-zeros',
         '-fassociative-math', '-freciprocal-math', '-ffp-contract=fast', '-fopenmp', '-std=c++17',
         '-shared', '-fPIC']  # fmt: skip
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_int64
_NUMBER, _SWITCH = ctypes.c_float, ctypes.c_int
ARGUMENTS = dict(
    norm_act_forward=[_POINTER] * 8 + [_NUMBER] * 2 + [_SIZE] * 2 + [_SWITCH] * 3,
    norm_act_pool_forward=[_POINTER] * 8 + [_NUMBER] * 2 + [_SIZE] * 3 + [_SWITCH] * 3,
    norm_act_scale_forward=[_POINTER] * 7 + [_SIZE] * 3 + [_SWITCH] * 3,
    norm_act_backward=[_POINTER] * 9 + [_SIZE] * 2 + [_SWITCH] * 2,
    norm_act_scale_sums=[_POINTER] * 7 + [_SIZE] * 3 + [_SWITCH] * 2,
    norm_act_scale_backward=[_POINTER] * 12 + [_SIZE] * 3 + [_SWITCH] * 2,
    depthwise_forward=[_POINTER] * 3 + [_SIZE] * 10 + [_SWITCH] * 2,
    depthwise_input_grad=[_POINTER] * 3 + [_SIZE] * 10 + [_SWITCH],
    depthwise_weight_grad=[_POINTER] * 3 + [_SIZE] * 10 + [_SWITCH],
    pool=[_POINTER] * 2 + [_SIZE] * 3 + [_SWITCH] * 2,
    scale=[_POINTER] * 3 + [_SIZE] * 3 + [_SWITCH] * 2,
    gate_grad=[_POINTER] * 3 + [_SIZE] * 3 + [_SWITCH],
    gated_grad=[_POINTER] * 4 + [_SIZE] * 3 + [_SWITCH],
)


@functools.cache
def load() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be used.

    They are compiled once per machine, in about four seconds, see :func:`load_compiled`. Without a
    C++ compiler, on anything but Linux, or with ``CREAM_MM_CPU_KERNELS=0``, everything works on
    PyTorch's own operators, slower; one line says why.
    """
    if os.environ.get('CREAM_MM_CPU_KERNELS', '1') == '0' or sys.platform != 'linux':
        return None
    try:
        tell = functools.partial(print_log, logger='current')
        library = load_compiled(SOURCE, FLAGS, ARGUMENTS, tell)
    except (OSError, subprocess.SubprocessError) as error:
        reason = ' '.join(str(error).split())
        print_log(
            f'No CPU kernels ({reason}): training on the CPU will be slower.', logger='current'
        )
        return None
    for name, arguments in ARGUMENTS.items():
        getattr(library, name).argtypes = arguments
    return library


_allowed = True


@contextmanager
def disabled() -> Iterator[None]:
    """PyTorch's own operators and modules for a while, so that hooks on modules see every call."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before


def fits(x: Tensor, *vectors: Tensor) -> bool:
    """Whether the kernels can take ``x`` now: (N, C, H, W) on a CPU, stored channels-last.

    ``x`` and the operator's other tensors, ``vectors``, are ordinary ones (see
    :func:`is_ordinary`) in float32. Where no gradient is recorded, ``x`` may be bfloat16, as under
    autocast.
    """
    return (
        _allowed
        and is_ordinary(x, *vectors)
        and x.dim() == 4
        and (x.dtype == torch.float32 or x.dtype == torch.bfloat16 and not torch.is_grad_enabled())
        and x.is_contiguous(memory_format=torch.channels_last)
        and all(v.dtype == torch.float32 and v.is_contiguous() for v in vectors)
        and not (torch.is_grad_enabled() and in_autocast())
        and load() is not None
    )


def in_autocast() -> bool:
    """Whether autocast changes types on a CPU now."""
    try:
        return torch.is_autocast_enabled('cpu')
    except TypeError:  # torch 2.1
        return torch.is_autocast_cpu_enabled()


@functools.cache
def multiplies_bf16() -> bool:
    """Whether this processor has instructions for bfloat16 products, twice as fast as float32's."""
    if sys.platform != 'linux':
        return False
    flags = Path('/proc/cpuinfo').read_text()
    return ' avx512_bf16' in flags or ' amx_bf16' in flags


# As PyTorch's own operators (at::internal::GRAIN_SIZE): waking a second thread for less takes
# longer than the work, and where other processes use the cores, much longer.
GRAIN = 32768


def num_threads(x: Tensor) -> int:
    """How many threads the work on ``x`` is worth: one for every ``GRAIN`` elements."""
    return max(1, min(torch.get_num_threads(), x.numel() // GRAIN))


ACTIVATIONS = dict(none=0, silu=1, relu=2, relu6=3)  # as in cpu_kernels.cpp
Running = tuple[Tensor, Tensor] | None  # mean and variance of a norm layer


def norm_act_forward(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running: Running,
    momentum: float,
    eps: float,
    act: str,
    out: Tensor,
) -> tuple[Tensor, Tensor]:
    """Batch norm by the batch's statistics, then the activation.

    Args:
        x (Tensor): (N, C, H, W), see :func:`fits`; bfloat16 too.
        gamma, beta (Tensor): (C,).
        running (tuple[Tensor, Tensor] | None): Mean and variance, moved by ``momentum``.
        act (str): One of ``ACTIVATIONS``.
        out (Tensor): Like ``x``; may be ``x`` itself.

    Returns:
        tuple[Tensor, Tensor]: Mean and 1 / deviation of the batch, (C,).
    """
    channels = x.shape[1]
    mean, invstd = gamma.new_empty(channels), gamma.new_empty(channels)
    load().norm_act_forward(
        x.data_ptr(), out.data_ptr(), gamma.data_ptr(), beta.data_ptr(), mean.data_ptr(),
        invstd.data_ptr(), *_pointers(running), momentum, eps, x.numel() // channels, channels,
        ACTIVATIONS[act], num_threads(x), x.dtype == torch.bfloat16,
    )  # fmt: skip
    _tell_autograd(*(running or ()), *((x,) if out is x else ()))
    return mean, invstd


def norm_act_pool(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running: Running,
    momentum: float,
    eps: float,
    act: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`norm_act_forward`, of whose values only the mean over each image is kept.

    Returns:
        tuple[Tensor, Tensor, Tensor]: That mean, (N, C), and the batch's mean and 1 / deviation.
    """
    channels = x.shape[1]
    mean, invstd = gamma.new_empty(channels), gamma.new_empty(channels)
    out = gamma.new_empty(x.shape[:2])
    load().norm_act_pool_forward(
        x.data_ptr(), out.data_ptr(), gamma.data_ptr(), beta.data_ptr(), mean.data_ptr(),
        invstd.data_ptr(), *_pointers(running), momentum, eps, *_images(x, ACTIVATIONS[act]),
        x.dtype == torch.bfloat16,
    )  # fmt: skip
    _tell_autograd(*(running or ()))
    return out, mean, invstd


def norm_act_scale(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    invstd: Tensor,
    act: str,
    gate: Tensor,
    out: Tensor,
) -> None:
    """``out = act(norm(x)) * gate`` with a gate (N, C); ``out`` may be ``x``."""
    pointers = (t.data_ptr() for t in (x, out, gamma, beta, mean, invstd, gate))
    half = x.dtype == torch.bfloat16
    load().norm_act_scale_forward(*pointers, *_images(x, ACTIVATIONS[act]), half)
    if out is x:
        _tell_autograd(x)


def norm_act_backward(
    grad: Tensor, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, invstd: Tensor, act: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to ``x``, ``gamma`` and ``beta``."""
    channels = x.shape[1]
    grad_in, grad_gamma, grad_beta = torch.empty_like(x), *x.new_empty(2, channels)
    load().norm_act_backward(
        grad.data_ptr(), x.data_ptr(), grad_in.data_ptr(), gamma.data_ptr(), beta.data_ptr(),
        mean.data_ptr(), invstd.data_ptr(), grad_gamma.data_ptr(), grad_beta.data_ptr(),
        x.numel() // channels, channels, ACTIVATIONS[act], num_threads(x),
    )  # fmt: skip
    return grad_in, grad_gamma, grad_beta


def norm_act_scale_sums(
    grad: Tensor, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, invstd: Tensor, act: str
) -> Tensor:
    """What :func:`norm_act_scale_backward` needs of each image, (5, N, C).

    The first, the sum of ``grad * act(norm(x))`` over the pixels, is the gradient of the gate.
    """
    out = x.new_empty((5, *x.shape[:2]))
    pointers = (t.data_ptr() for t in (grad, x, out, gamma, beta, mean, invstd))
    load().norm_act_scale_sums(*pointers, *_images(x, ACTIVATIONS[act]))
    return out


def norm_act_scale_backward(
    grad: Tensor,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    invstd: Tensor,
    act: str,
    gate: Tensor,
    pooled: Tensor,
    sums: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`norm_act_scale` with respect to ``x``, ``gamma`` and ``beta``.

    Args:
        gate (Tensor): (N, C).
        pooled (Tensor): (N, C), what each pixel of an image gets back through the gate.
        sums (Tensor): Of :func:`norm_act_scale_sums`.
    """
    grad_in, grad_gamma, grad_beta = torch.empty_like(x), *x.new_empty(2, x.shape[1])
    tensors = grad, x, grad_in, gamma, beta, mean, invstd, gate, pooled, sums, grad_gamma, grad_beta
    pointers = (t.data_ptr() for t in tensors)
    load().norm_act_scale_backward(*pointers, *_images(x, ACTIVATIONS[act]))
    return grad_in, grad_gamma, grad_beta


def depthwise_forward(
    x: Tensor, weight: Tensor, stride: int, before: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """A depthwise convolution with any number of zeros on each side.

    Args:
        x (Tensor): (N, C, H, W), see :func:`fits`; bfloat16 too.
        weight (Tensor): (C, 1, K, K), K being 3, 5 or 7.
        stride (int): Of both directions.
        before (tuple[int, int]): Rows of zeros above the image, and columns left of it.
        size (tuple[int, int]): Height and width of the output.
    """
    n, channels = x.shape[:2]
    layout = dict(dtype=x.dtype, memory_format=torch.channels_last)
    out = torch.empty((n, channels, *size), **layout)
    load().depthwise_forward(
        x.data_ptr(), weight.data_ptr(), out.data_ptr(), *_window(x, out, weight, stride, before),
        num_threads(x), x.dtype == torch.bfloat16,
    )  # fmt: skip
    return out


def depthwise_input_grad(
    x: Tensor, grad: Tensor, weight: Tensor, stride: int, before: tuple[int, int]
) -> Tensor:
    """Gradient of :func:`depthwise_forward` with respect to ``x``."""
    out = torch.empty_like(x)
    load().depthwise_input_grad(
        grad.data_ptr(), weight.data_ptr(), out.data_ptr(),
        *_window(x, grad, weight, stride, before), num_threads(x),
    )  # fmt: skip
    return out


def depthwise_weight_grad(
    x: Tensor, grad: Tensor, weight: Tensor, stride: int, before: tuple[int, int]
) -> Tensor:
    """Gradient of :func:`depthwise_forward` with respect to ``weight``."""
    out = torch.empty_like(weight, memory_format=torch.contiguous_format)
    load().depthwise_weight_grad(
        x.data_ptr(), grad.data_ptr(), out.data_ptr(),
        *_window(x, grad, weight, stride, before), num_threads(x),
    )  # fmt: skip
    return out


def pool(x: Tensor) -> Tensor:
    """Mean over all pixels: (N, C, H, W) -> (N, C)."""
    out = x.new_empty(x.shape[:2], dtype=torch.float32)
    load().pool(x.data_ptr(), out.data_ptr(), *_images(x), x.dtype == torch.bfloat16)
    return out


def scale(x: Tensor, gate: Tensor, out: Tensor) -> None:
    """``out = x * gate`` with a gate (N, C); ``out`` may be ``x``."""
    half = x.dtype == torch.bfloat16
    load().scale(x.data_ptr(), gate.data_ptr(), out.data_ptr(), *_images(x), half)
    if out is x:
        _tell_autograd(x)


def gate_grad(x: Tensor, grad: Tensor) -> Tensor:
    """Sum of ``x * grad`` over all pixels, (N, C)."""
    out = x.new_empty(x.shape[:2])
    load().gate_grad(x.data_ptr(), grad.data_ptr(), out.data_ptr(), *_images(x))
    return out


def gated_grad(grad: Tensor, gate: Tensor, pooled: Tensor) -> Tensor:
    """``grad * gate + pooled / pixels``, like ``grad``."""
    out = torch.empty_like(grad)
    pointers = (t.data_ptr() for t in (grad, gate, pooled, out))
    load().gated_grad(*pointers, *_images(grad))
    return out


def _images(x: Tensor, *more: int) -> tuple[int, ...]:
    n, channels, height, width = x.shape
    return n, height * width, channels, *more, num_threads(x)


def _window(
    x: Tensor, out: Tensor, weight: Tensor, stride: int, before: tuple[int, int]
) -> tuple[int, ...]:
    n, channels, height, width = x.shape
    return n, height, width, channels, *out.shape[2:], weight.shape[-1], stride, *before


def _pointers(running: Running) -> tuple[int | None, int | None]:
    return (running[0].data_ptr(), running[1].data_ptr()) if running else (None, None)


def _tell_autograd(*overwritten: Tensor) -> None:
    """So that a backward pass that needs the old values raises, as after PyTorch's operators."""
    for tensor in overwritten:
        if not tensor.is_inference():
            torch.autograd.graph.increment_version(tensor)
