"""Operators of the networks: fast on a CPU, and plain PyTorch wherever that does not apply."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import cpu_kernels


def norm_act(x: Tensor, norm: nn.Module, act: str = 'silu') -> Tensor:
    """``norm(x)``, then ``'silu'``, ``'relu'`` or ``'none'``, as one operator where possible.

    (N, C, H, W) -> (N, C, H, W). In inference without gradients the result may overwrite ``x``,
    which must not be used afterwards.
    """
    if (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and cpu_kernels.fits(x, norm.weight)
    ):
        running, momentum = None, 0.0
        if norm.track_running_stats:
            norm.num_batches_tracked.add_(1)
            running = (norm.running_mean, norm.running_var)
            momentum = norm.momentum
            if momentum is None:  # cumulative average
                momentum = 1.0 / float(norm.num_batches_tracked)
        if x.numel() // x.shape[1] > 1:
            if not torch.is_grad_enabled():
                cpu_kernels.norm_act_forward(
                    x, norm.weight, norm.bias, running, momentum, norm.eps, act, out=x
                )
                return x
            return _NormAct.apply(x, norm.weight, norm.bias, running, momentum, norm.eps, act)
    return _activate(norm(x), act, inplace=True)


def _activate(x: Tensor, act: str, inplace: bool = False) -> Tensor:
    if act == 'none':
        return x
    return F.silu(x, inplace) if act == 'silu' else F.relu(x, inplace)


class _NormAct(torch.autograd.Function):
    """Keeps its input alone: the normalised values are computed again in the backward pass."""

    @staticmethod
    def forward(ctx, x, gamma, beta, running, momentum, eps, act):
        out = torch.empty_like(x)
        mean, invstd = cpu_kernels.norm_act_forward(
            x, gamma, beta, running, momentum, eps, act, out
        )
        ctx.save_for_backward(x, gamma, beta, mean, invstd)
        ctx.eps, ctx.act = eps, act
        return out

    @staticmethod
    def backward(ctx, grad):
        x, gamma, beta, mean, invstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: by PyTorch's own operators
            with torch.enable_grad():
                out = F.batch_norm(x, None, None, gamma, beta, True, 0.0, ctx.eps)
                out = _activate(out, ctx.act)
                grads = torch.autograd.grad(out, (x, gamma, beta), grad, create_graph=True)
            return (*grads, None, None, None, None)
        grad = grad.contiguous(memory_format=torch.channels_last)
        grads = cpu_kernels.norm_act_backward(grad, x, gamma, beta, mean, invstd, ctx.act)
        return (*grads, None, None, None, None)


def depthwise_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """``conv(x)`` of a depthwise convolution without bias, with a fast weight gradient.

    (N, C, H, W) -> (N, C, h, w).
    """
    # PyTorch's own weight gradient is fast for 3x3.
    if conv.kernel_size[0] > 3 and torch.is_grad_enabled() and cpu_kernels.fits(x, conv.weight):
        return _DepthwiseConv.apply(x, conv.weight, conv.stride[0])
    return conv(x)


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, stride):
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        stride, pad, channels = ctx.stride, weight.shape[-1] // 2, weight.shape[0]
        need_x, need_w, _ = ctx.needs_input_grad
        plain = torch.is_grad_enabled()  # a second derivative is wanted
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], channels,
            [need_x, need_w and plain, False],
        )  # fmt: skip
        if need_w and not plain:
            grad_w = cpu_kernels.depthwise_weight_grad(x, grad, weight, stride)
        return grad_x, grad_w, None


def squeeze_excite(x: Tensor, reduce: nn.Conv2d, expand: nn.Conv2d) -> Tensor:
    """``x`` times a gate of its own pooled values. (N, C, H, W) -> (N, C, H, W).

    For what :func:`cpu_kernels.fits` takes. In inference without gradients the result overwrites
    ``x``.
    """
    weights = reduce.weight, reduce.bias, expand.weight, expand.bias
    if torch.is_grad_enabled():
        return _SqueezeExcite.apply(x, *weights)
    with torch.autocast('cpu', enabled=False):  # these are small, and casts cost more
        gate = _gate(cpu_kernels.pool(x), *weights)[-1]
    cpu_kernels.scale(x, gate, out=x)
    return x


def _gate(pooled, reduce, reduce_bias, expand, expand_bias) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden values (N, R), what the gate is cut off from, and the gate (N, C)."""
    hidden = F.linear(pooled, reduce.flatten(1), reduce_bias).relu_()
    raw = F.linear(hidden, expand.flatten(1), expand_bias)
    return hidden, raw, F.hardsigmoid(raw)


class _SqueezeExcite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, *weights):
        pooled = cpu_kernels.pool(x)
        hidden, raw, gate = _gate(pooled, *weights)
        out = torch.empty_like(x)
        cpu_kernels.scale(x, gate, out)
        ctx.save_for_backward(x, *weights, pooled, hidden, raw, gate)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, reduce, reduce_bias, expand, expand_bias, pooled, hidden, raw, gate = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            inputs = x, reduce, reduce_bias, expand, expand_bias
            hidden = F.conv2d(F.adaptive_avg_pool2d(x, 1), reduce, reduce_bias).relu()
            out = x * (F.relu6(F.conv2d(hidden, expand, expand_bias) + 3) / 6)
            return torch.autograd.grad(out, inputs, grad, create_graph=True)
        grad = grad.contiguous(memory_format=torch.channels_last)
        g = cpu_kernels.gate_grad(x, grad) * ((raw > -3) & (raw < 3)) / 6  # (N, C)
        grad_expand, grad_expand_bias = g.t() @ hidden, g.sum(0)
        g = (g @ expand.flatten(1)) * (hidden > 0)  # (N, R)
        grad_reduce, grad_reduce_bias = g.t() @ pooled, g.sum(0)
        grad_x = cpu_kernels.gated_grad(grad, gate, g @ reduce.flatten(1))
        return (
            grad_x, grad_reduce.view_as(reduce), grad_reduce_bias, grad_expand.view_as(expand),
            grad_expand_bias,
        )  # fmt: skip
