"""Builds the CPU kernels on first use, and calls them.

PyTorch's weight gradient of a depthwise 5x5 or 7x7 convolution takes 3 to 17 times as long as it
needs to on a CPU, and batch norm, activations and their gradients go over memory twice as often as
they must. Together that is most of a training step. docs/results/supernet_step.md has the numbers.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

SOURCE = Path(__file__).with_name('cpu_kernels.cpp')
FLAGS = ['-O3', '-march=native', '-ffast-math', '-fno-finite-math-only', '-mrecip=vec-div', '-fopenmp', '-std=c++17',
         '-shared', '-fPIC']  # fmt: skip


@functools.cache
def load() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be used.

    They are compiled once per machine, in about two seconds, into ``$CREAM_MM_CACHE`` (default
    ``~/.cache/cream_mm``). Without a C++ compiler, on anything but Linux, or with
    ``CREAM_MM_CPU_KERNELS=0``, everything works on PyTorch's own operators, slower.
    """
    if os.environ.get('CREAM_MM_CPU_KERNELS', '1') == '0' or sys.platform != 'linux':
        return None
    compiler = os.environ.get('CXX') or shutil.which('g++') or shutil.which('clang++')
    if not compiler:
        print_log('No C++ compiler (g++): training on the CPU will be slower.', 'current')
        return None
    try:
        library = ctypes.CDLL(str(_build(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        print_log(f'The CPU kernels were not built ({error}): training on the CPU will be slower.',
                  'current')  # fmt: skip
        return None
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    switch = ctypes.c_int
    library.norm_act_forward.argtypes = [pointer] * 8 + [number] * 2 + [size] * 2 + [switch] * 3
    library.norm_act_backward.argtypes = [pointer] * 9 + [size] * 2 + [switch] * 2
    library.depthwise_weight_grad.argtypes = [pointer] * 3 + [size] * 8 + [switch]
    library.pool.argtypes = [pointer] * 2 + [size] * 3 + [switch] * 2
    library.scale.argtypes = [pointer] * 3 + [size] * 3 + [switch] * 2
    library.gate_grad.argtypes = [pointer] * 3 + [size] * 3 + [switch]
    library.gated_grad.argtypes = [pointer] * 4 + [size] * 3 + [switch]
    return library


def _build(compiler: str) -> Path:
    folder = Path(os.environ.get('CREAM_MM_CACHE') or Path.home() / '.cache' / 'cream_mm')
    # -march=native: code for this machine's processor, which a shared home directory may outlive.
    described = [SOURCE.read_text(), compiler, *FLAGS, _processor()]
    target = folder / f'cpu_{hashlib.sha256(repr(described).encode()).hexdigest()[:16]}.so'
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    start = time.time()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        built = Path(temporary, 'built.so')
        command = [compiler, *FLAGS, str(SOURCE), '-o', str(built)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise OSError(f'{compiler}: {done.stderr.strip().splitlines()[-1:]}')
        os.replace(built, target)  # several processes may build at once
    print_log(f'Built the CPU kernels in {time.time() - start:.1f} s: {target}', 'current')
    return target


def _processor() -> str:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    return '\n'.join(sorted({x for x in lines if x.startswith(('model name', 'flags'))}))


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


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernels can take ``x``: (N, C, H, W) on a CPU, stored channels-last.

    ``x`` and the operator's ``weight`` are float32. Where no gradient is recorded, ``x`` may be
    bfloat16, as under autocast.
    """
    dtypes = (torch.float32,) if torch.is_grad_enabled() else (torch.float32, torch.bfloat16)
    return (
        _allowed
        and x.device.type == 'cpu'
        and x.dim() == 4
        and x.dtype in dtypes
        and weight.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not (torch.is_grad_enabled() and _autocast())
        and load() is not None
    )


def _autocast() -> bool:
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


ACTIVATIONS = dict(none=0, silu=1, relu=2)  # as in cpu_kernels.cpp


def norm_act_forward(x, gamma, beta, running, momentum, eps, act, out) -> tuple[Tensor, Tensor]:
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
    run_mean, run_var = (running[0].data_ptr(), running[1].data_ptr()) if running else (None, None)
    load().norm_act_forward(
        x.data_ptr(), out.data_ptr(), gamma.data_ptr(), beta.data_ptr(), mean.data_ptr(),
        invstd.data_ptr(), run_mean, run_var, momentum, eps, x.numel() // channels, channels,
        ACTIVATIONS[act], torch.get_num_threads(), x.dtype == torch.bfloat16,
    )  # fmt: skip
    return mean, invstd


def norm_act_backward(grad, x, gamma, beta, mean, invstd, act) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to ``x``, ``gamma`` and ``beta``."""
    channels = x.shape[1]
    grad_in, grad_gamma, grad_beta = torch.empty_like(x), *torch.empty(2, channels)
    load().norm_act_backward(
        grad.data_ptr(), x.data_ptr(), grad_in.data_ptr(), gamma.data_ptr(), beta.data_ptr(),
        mean.data_ptr(), invstd.data_ptr(), grad_gamma.data_ptr(), grad_beta.data_ptr(),
        x.numel() // channels, channels, ACTIVATIONS[act], torch.get_num_threads(),
    )  # fmt: skip
    return grad_in, grad_gamma, grad_beta


def depthwise_weight_grad(x, grad, weight, stride) -> Tensor:
    """Weight gradient of a depthwise convolution with padding ``kernel // 2``, like ``weight``."""
    out = torch.empty_like(weight, memory_format=torch.contiguous_format)
    n, channels, height, width = x.shape
    load().depthwise_weight_grad(
        x.data_ptr(), grad.data_ptr(), out.data_ptr(), n, height, width, channels, *grad.shape[2:],
        weight.shape[-1], stride, torch.get_num_threads(),
    )  # fmt: skip
    return out


def pool(x) -> Tensor:
    """Mean over all pixels: (N, C, H, W) -> (N, C)."""
    out = torch.empty(x.shape[:2])
    load().pool(x.data_ptr(), out.data_ptr(), *_images(x), x.dtype == torch.bfloat16)
    return out


def scale(x, gate, out) -> None:
    """``out = x * gate`` with a gate (N, C); ``out`` may be ``x``."""
    half = x.dtype == torch.bfloat16
    load().scale(x.data_ptr(), gate.data_ptr(), out.data_ptr(), *_images(x), half)


def gate_grad(x, grad) -> Tensor:
    """Sum of ``x * grad`` over all pixels, (N, C)."""
    out = x.new_empty(x.shape[:2])
    load().gate_grad(x.data_ptr(), grad.data_ptr(), out.data_ptr(), *_images(x))
    return out


def gated_grad(grad, gate, pooled) -> Tensor:
    """``grad * gate + pooled / pixels``, like ``grad``."""
    out = torch.empty_like(grad)
    pointers = (t.data_ptr() for t in (grad, gate, pooled, out))
    load().gated_grad(*pointers, *_images(grad))
    return out


def _images(x) -> tuple[int, int, int, int]:
    n, channels, height, width = x.shape
    return n, height * width, channels, torch.get_num_threads()
