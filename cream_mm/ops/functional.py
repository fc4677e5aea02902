"""Operators of the networks: fast on a CPU, and plain PyTorch wherever that does not apply."""

from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import cpu_kernels
from .ordinary import has_hooks, is_ordinary, is_plain


def norm_act(
    x: Tensor, norm: nn.Module, act: str = 'silu', *, source: nn.Module | None = None
) -> Tensor:
    """``norm(x)``, then ``'silu'``, ``'relu'`` or ``'none'``, as one operator where possible.

    (N, C, H, W) -> (N, C, H, W). In inference without gradients the result may overwrite ``x``,
    which must not be used afterwards; not if hooks of ``source``, the module that made it, may
    have kept it.
    """
    if not _fits_norm(x, norm):
        return _activate(norm(x), act, inplace=True)
    running, momentum = None, 0.0
    if norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        running = norm.running_mean, norm.running_var
        momentum = norm.momentum
        if momentum is None:  # cumulative average
            momentum = 1.0 / float(norm.num_batches_tracked)
    args = norm.weight, norm.bias, running, momentum, norm.eps, act
    if torch.is_grad_enabled():
        return _NormAct.apply(x, *args)
    out = torch.empty_like(x) if source is not None and has_hooks(source) else x
    cpu_kernels.norm_act_forward(x, *args, out=out)
    return out


def _fits_norm(x: Tensor, norm: nn.Module) -> bool:
    if not (type(norm) is nn.BatchNorm2d and norm.training and norm.affine):
        return False
    vectors = [norm.weight, norm.bias]
    if norm.track_running_stats:
        if norm.running_mean is None or norm.num_batches_tracked is None:
            return False
        vectors += [norm.running_mean, norm.running_var]
    return (
        cpu_kernels.fits(x, *vectors)
        and is_plain(norm, nn.BatchNorm2d)
        and all(len(vector) == x.shape[1] for vector in vectors)
        and x.numel() > x.shape[1]  # one value has no deviation
    )


def _activate(x: Tensor, act: str, inplace: bool = False) -> Tensor:
    if act == 'none':
        return x
    return F.silu(x, inplace) if act == 'silu' else F.relu(x, inplace)


def _backward_fits(grad: Tensor, x: Tensor, *vectors: Tensor) -> bool:
    """Whether kernels may compute a backward pass."""
    # Saved tensors may come back from hooks, and gradients be a batch, or be differentiated again.
    return (
        not torch.is_grad_enabled()
        and not cpu_kernels.in_autocast()
        and x.dtype == torch.float32
        and is_ordinary(grad)
        and cpu_kernels.fits(x, *vectors)
    )


def _differentiate(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Gradients of ``function(*inputs)`` by PyTorch's own operators, None where not needed."""
    twice = torch.is_grad_enabled()
    if not twice:
        inputs = [x.detach().requires_grad_(need) for x, need in zip(inputs, needed, strict=True)]
    with torch.enable_grad(), torch.autocast('cpu', enabled=False):
        out = function(*inputs)
        wanted = [x for x, need in zip(inputs, needed, strict=True) if need]
        grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=twice))
    return [next(grads) if need else None for need in needed]


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
        if _backward_fits(grad, x, gamma, beta, mean, invstd):
            grad = grad.contiguous(memory_format=torch.channels_last)
            grads = cpu_kernels.norm_act_backward(grad, x, gamma, beta, mean, invstd, ctx.act)
            return (*grads, None, None, None, None)

        def plain(x, gamma, beta):
            out = F.batch_norm(x, None, None, gamma, beta, True, 0.0, ctx.eps)
            return _activate(out, ctx.act)

        grads = _differentiate(plain, (x, gamma, beta), ctx.needs_input_grad[:3], grad)
        return (*grads, None, None, None, None)


def depthwise_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """``conv(x)``, with a fast weight gradient where it is depthwise and large.

    (N, C, H, W) -> (N, C, h, w).
    """
    if torch.is_grad_enabled() and _fits_depthwise(x, conv):
        return _DepthwiseConv.apply(x, conv.weight, conv.stride[0])
    return conv(x)


def _fits_depthwise(x: Tensor, conv: nn.Module) -> bool:
    """What the kernel computes: a square of an odd side, and half of it as zeros around.

    PyTorch's own weight gradient is fast for 3x3.
    """
    if type(conv) is not nn.Conv2d or conv.kernel_size[0] <= 3:
        return False
    side, stride = conv.kernel_size[0], conv.stride[0]
    return (
        side % 2 == 1
        and conv.kernel_size == (side, side)
        and conv.stride == (stride, stride)
        and conv.padding in ((side // 2, side // 2), 'same')
        and conv.padding_mode == 'zeros'
        and conv.dilation == (1, 1)
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.bias is None
        and cpu_kernels.fits(x, conv.weight)
        and is_plain(conv, nn.Conv2d)
        and conv.weight.shape == (x.shape[1], 1, side, side)
    )


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
        fast = need_w and _backward_fits(grad, x, weight)
        if fast:
            grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], channels,
            [need_x, need_w and not fast, False],
        )  # fmt: skip
        if fast:
            grad_w = cpu_kernels.depthwise_weight_grad(x, grad, weight, stride)
        return grad_x, grad_w, None


def squeeze_excite(x: Tensor, gate: nn.Module) -> Tensor:
    """``x`` times a gate of its own pooled values, Cream's. (N, C, H, W) -> (N, C, H, W).

    In inference without gradients the result may overwrite ``x``, which must not be used
    afterwards; not if hooks of ``gate`` may have kept it.

    Args:
        x (Tensor): (N, C, H, W).
        gate (nn.Module): With ``pool``, ``conv_reduce``, ``act`` and ``conv_expand``, see
            :class:`~cream_mm.models.layers.SqueezeExcite`.
    """
    if not _fits_gate(x, gate):
        scale = gate.conv_expand(gate.act(gate.conv_reduce(gate.pool(x))))  # (N, C, 1, 1)
        # Not nn.Hardsigmoid: it has no second derivative, which compat.meta_step='real' needs.
        return x * (F.relu6(scale + 3) / 6)
    reduce, expand = gate.conv_reduce, gate.conv_expand
    weights = reduce.weight, reduce.bias, expand.weight, expand.bias
    if torch.is_grad_enabled():
        return _SqueezeExcite.apply(x, *weights)
    with torch.autocast('cpu', enabled=False):  # these are small, and casts cost more
        factors = _gate(cpu_kernels.pool(x), *weights)[-1]
    out = torch.empty_like(x) if has_hooks(gate) else x
    cpu_kernels.scale(x, factors, out=out)
    return out


def _fits_gate(x: Tensor, gate: nn.Module) -> bool:
    reduce, expand = gate.conv_reduce, gate.conv_expand
    if type(reduce) is not nn.Conv2d or type(expand) is not nn.Conv2d:
        return False
    weights = reduce.weight, reduce.bias, expand.weight, expand.bias
    if reduce.bias is None or expand.bias is None or not cpu_kernels.fits(x, *weights):
        return False
    channels, hidden = x.shape[1], len(reduce.weight)
    return (
        is_plain(reduce, nn.Conv2d)
        and is_plain(expand, nn.Conv2d)
        and is_plain(gate.pool, nn.AdaptiveAvgPool2d)
        and is_plain(gate.act, nn.ReLU)
        and reduce.weight.shape == (hidden, channels, 1, 1)
        and expand.weight.shape == (channels, hidden, 1, 1)
        and x.numel() > 0
    )


def _gate(pooled, reduce, reduce_bias, expand, expand_bias) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden values (N, R), what the gate is cut off from, and the gate (N, C)."""
    hidden = F.linear(pooled, reduce.flatten(1), reduce_bias).relu_()
    raw = F.linear(hidden, expand.flatten(1), expand_bias)
    return hidden, raw, F.hardsigmoid(raw)


def _plain_gate(x, reduce, reduce_bias, expand, expand_bias) -> Tensor:
    hidden = F.conv2d(F.adaptive_avg_pool2d(x, 1), reduce, reduce_bias).relu()
    return x * (F.relu6(F.conv2d(hidden, expand, expand_bias) + 3) / 6)


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
        x, *weights, pooled, hidden, raw, gate = ctx.saved_tensors
        reduce, _, expand, _ = weights
        if not _backward_fits(grad, x, *weights, pooled, hidden, raw, gate):
            return tuple(_differentiate(_plain_gate, (x, *weights), ctx.needs_input_grad, grad))
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
