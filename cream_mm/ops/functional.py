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
    """``norm(x)``, then ``'silu'``, ``'relu'``, ``'relu6'`` or ``'none'``, as one operator.

    (N, C, H, W) -> (N, C, H, W). In inference without gradients the result may overwrite ``x``,
    which must not be used afterwards; not if hooks of ``source``, the module that made it, may
    have kept it.
    """
    if not _fits_norm(x, norm):
        return _activate(norm(x), act, inplace=True)
    args = norm.weight, norm.bias, *_count_batch(norm), norm.eps, act
    if torch.is_grad_enabled():
        return _NormAct.apply(x, *args)
    out = torch.empty_like(x) if source is not None and has_hooks(source) else x
    cpu_kernels.norm_act_forward(x, *args, out=out)
    return out


def _count_batch(norm: nn.Module) -> tuple[tuple[Tensor, Tensor] | None, float]:
    """Running statistics that this batch moves, and by how much."""
    if not norm.track_running_stats:
        return None, 0.0
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum
    if momentum is None:  # cumulative average
        momentum = 1.0 / float(norm.num_batches_tracked)
    return (norm.running_mean, norm.running_var), momentum


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


def batch_norm_act(
    x: Tensor, norm: nn.Module, weight: Tensor, bias: Tensor, act: str = 'none'
) -> Tensor:
    """``norm`` with this scale and shift in the place of its own, then ``act``: as one operator.

    (N, C, H, W) -> (N, C, H, W), as :func:`norm_act`; ``norm`` itself is not called. Without
    gradients the result may overwrite ``x``.
    """
    tracks = norm.track_running_stats
    running = (norm.running_mean, norm.running_var) if tracks or not norm.training else ()
    if not (
        norm.training
        and cpu_kernels.fits(x, weight, bias, *running)
        and x.numel() > x.shape[1]  # one value has no deviation
    ):
        momentum = _count_batch(norm)[1] if norm.training else 0.0
        mean, var = running or (None, None)
        x = F.batch_norm(x, mean, var, weight, bias, norm.training, momentum, norm.eps)
        return _activate(x, act, inplace=True)
    args = weight, bias, *_count_batch(norm), norm.eps, act
    if torch.is_grad_enabled():
        return _NormAct.apply(x, *args)
    cpu_kernels.norm_act_forward(x, *args, out=x)
    return x


def _activate(x: Tensor, act: str, inplace: bool = False) -> Tensor:
    if act == 'none':
        return x
    return dict(silu=F.silu, relu=F.relu, relu6=F.relu6)[act](x, inplace)


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


def depthwise_by(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A depthwise convolution by weights that belong to no module, padded by half the kernel.

    (N, C, H, W), (C, 1, K, K) -> (N, C, ceil(H / stride), ceil(W / stride)); K is odd.
    """
    side = weight.shape[-1]
    args = stride, (side // 2,) * 4
    if (
        torch.is_grad_enabled()
        and side in (3, 5, 7)
        and _kernels_are_faster(x, side)
        and cpu_kernels.fits(x, weight)
        and x.numel() > 0
    ):
        return _DepthwiseConv.apply(x, weight, *args)
    return _convolve(x, weight, *args)


def depthwise_conv(x: Tensor, conv: nn.Conv2d, padding: str | None = None) -> Tensor:
    """``conv(x)``, with a fast weight gradient where it is depthwise and large.

    (N, C, H, W) -> (N, C, h, w).

    Args:
        x (Tensor): (N, C, H, W).
        conv (nn.Conv2d): The convolution.
        padding (str, optional): ``'same'`` pads as TensorFlow does: h = ceil(H / stride), with an
            odd row or column of zeros at the lower and right side. ``conv`` has no padding of its
            own then. Defaults to that of ``conv``.

    Raises:
        ValueError: If ``padding`` is another word, or ``conv`` would pad once more.
    """
    if padding is None:
        if not (torch.is_grad_enabled() and _fits_depthwise(x, conv)):
            return conv(x)
        side = conv.kernel_size[0] // 2
        return _DepthwiseConv.apply(x, conv.weight, conv.stride[0], (side,) * 4)
    if padding != 'same':
        raise ValueError(f"padding is 'same' or None; got {padding!r}")
    if conv.padding != (0, 0):
        raise ValueError(f"with padding='same' the convolution has none; got {conv.padding}")
    zeros = _same_zeros(x, conv)
    if not _fits_depthwise(x, conv, own=False) or cpu_kernels.in_autocast() != (
        x.dtype == torch.bfloat16
    ):
        top, bottom, left, right = zeros
        return conv(F.pad(x, (left, right, top, bottom)))
    if torch.is_grad_enabled():
        return _DepthwiseConv.apply(x, conv.weight, conv.stride[0], zeros)
    return _convolve(x, conv.weight, conv.stride[0], zeros)


def _same_zeros(x: Tensor, conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Rows of zeros above and below the image, and columns left and right of it."""
    zeros: tuple[int, ...] = ()
    for i in (0, 1):
        size, stride = x.shape[2 + i], conv.stride[i]
        reach = conv.dilation[i] * (conv.kernel_size[i] - 1) + 1
        # A trace keeps this arithmetic, and ONNX divides negative numbers towards zero.
        outputs = (size + stride - 1) // stride
        total = (outputs - 1) * stride + reach - size
        if (
            reach < stride
        ):  # elsewhere it is never below 0, and max() would be a constant of a trace
            total = max(total, 0)
        zeros += (total // 2, total - total // 2)
    return zeros


def _fits_depthwise(x: Tensor, conv: nn.Module, own: bool = True) -> bool:
    """What the kernels compute: 3x3, 5x5 or 7x7, with ``own`` padding of half of it.

    PyTorch's own weight gradient of 3x3 is fast, unless an image is smaller than the kernel; of
    others where channels are no whole registers (5x5, 64 x 20 x 32 x 32, forward and backward on a
    core: 14 ms by PyTorch, 23 ms by the kernels; of 64 x 80 x 8 x 8: 3.7 and 1.7 ms).
    """
    if type(conv) is not nn.Conv2d or conv.kernel_size[0] not in (3, 5, 7):
        return False
    side, stride = conv.kernel_size[0], conv.stride[0]
    return (
        conv.kernel_size == (side, side)
        and conv.stride == (stride, stride)
        and (not own or _kernels_are_faster(x, side))
        and (not own or conv.padding in ((side // 2, side // 2), 'same'))
        and conv.padding_mode == 'zeros'
        and conv.dilation == (1, 1)
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.bias is None
        and cpu_kernels.fits(x, conv.weight)
        and is_plain(conv, nn.Conv2d)
        and conv.weight.shape == (x.shape[1], 1, side, side)
        and x.numel() > 0
    )


def _kernels_are_faster(x: Tensor, side: int) -> bool:
    return x.dim() == 4 and (max(x.shape[2:]) < 3 or side > 3 and x.shape[1] % 8 == 0)


def _convolve(x: Tensor, weight: Tensor, stride: int, zeros: tuple[int, int, int, int]) -> Tensor:
    """A depthwise convolution, by PyTorch's operator where the zeros are the same on both sides."""
    top, bottom, left, right = zeros
    if (top, left) == (bottom, right):
        return F.conv2d(x, weight, None, stride, (top, left), 1, weight.shape[0])
    side = weight.shape[-1]
    height = (x.shape[2] + top + bottom - side) // stride + 1
    width = (x.shape[3] + left + right - side) // stride + 1
    return cpu_kernels.depthwise_forward(x, weight, stride, (top, left), (height, width))


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, stride, zeros):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.zeros = stride, zeros
        return _convolve(x, weight, stride, zeros)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        need = ctx.needs_input_grad[:2]
        top, bottom, left, right = ctx.zeros
        symmetric = (top, left) == (bottom, right)
        fast = _backward_fits(grad, x, weight)
        if not fast and not symmetric:

            def plain(x, weight):
                x = F.pad(x, (left, right, top, bottom))
                return F.conv2d(x, weight, None, ctx.stride, 0, 1, weight.shape[0])

            return (*_differentiate(plain, (x, weight), need, grad), None, None)
        grad_x = grad_w = None
        if fast:
            grad = grad.contiguous(memory_format=torch.channels_last)
            if need[1]:
                args = x, grad, weight, ctx.stride, (top, left)
                grad_w = cpu_kernels.depthwise_weight_grad(*args)
            if need[0] and not symmetric:
                grad_x = cpu_kernels.depthwise_input_grad(x, grad, weight, ctx.stride, (top, left))
        rest = [need[0] and grad_x is None, need[1] and grad_w is None, False]
        if any(rest):
            found = torch.ops.aten.convolution_backward(
                grad, x, weight, None, [ctx.stride] * 2, [top, left], [1, 1], False, [0, 0],
                weight.shape[0], rest,
            )  # fmt: skip
            grad_x, grad_w = (
                old if new is None else new
                for old, new in zip((grad_x, grad_w), found[:2], strict=True)
            )
        return grad_x, grad_w, None, None


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


def norm_act_squeeze_excite(
    x: Tensor, norm: nn.Module, act: str, gate: nn.Module, *, source: nn.Module | None = None
) -> Tensor:
    """``squeeze_excite(norm_act(x, norm, act), gate)``, as one operator where possible.

    What comes before the gate is not kept but computed again where it is needed. Arguments are
    those of :func:`norm_act` and :func:`squeeze_excite`; ``gate`` itself is not called.
    """
    if not (_fits_norm(x, norm) and _fits_gate(x, gate)):
        return squeeze_excite(norm_act(x, norm, act, source=source), gate)
    args = norm.weight, norm.bias, *_count_batch(norm), norm.eps, act
    reduce, expand = gate.conv_reduce, gate.conv_expand
    weights = reduce.weight, reduce.bias, expand.weight, expand.bias
    if torch.is_grad_enabled():
        return _NormActGate.apply(x, *args, *weights)
    pooled, *stats = cpu_kernels.norm_act_pool(x, *args)
    out = torch.empty_like(x) if source is not None and has_hooks(source) else x
    factors = _gate(pooled, *weights)[-1]
    cpu_kernels.norm_act_scale(x, norm.weight, norm.bias, *stats, act, factors, out)
    return out


def _gate(pooled, reduce, reduce_bias, expand, expand_bias) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden values (N, R), what the gate is cut off from, and the gate (N, C)."""
    with torch.autocast('cpu', enabled=False):  # these are small, and casts cost more
        hidden = F.linear(pooled, reduce.flatten(1), reduce_bias).relu_()
        raw = F.linear(hidden, expand.flatten(1), expand_bias)
        return hidden, raw, F.hardsigmoid(raw)


def _gate_backward(
    grad: Tensor, pooled: Tensor, reduce: Tensor, expand: Tensor, hidden: Tensor, raw: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Gradients of ``pooled`` and of the four weights, from that of the gate (N, C)."""
    g = grad * ((raw > -3) & (raw < 3)) / 6
    grad_expand, grad_expand_bias = (g.t() @ hidden).view_as(expand), g.sum(0)
    g = (g @ expand.flatten(1)) * (hidden > 0)  # (N, R)
    grad_reduce, grad_reduce_bias = (g.t() @ pooled).view_as(reduce), g.sum(0)
    return g @ reduce.flatten(1), (grad_reduce, grad_reduce_bias, grad_expand, grad_expand_bias)


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
        g, grads = _gate_backward(
            cpu_kernels.gate_grad(x, grad), pooled, reduce, expand, hidden, raw
        )
        return cpu_kernels.gated_grad(grad, gate, g), *grads


class _NormActGate(torch.autograd.Function):
    """Keeps its input and the small values of the gate."""

    @staticmethod
    def forward(ctx, x, gamma, beta, running, momentum, eps, act, *weights):
        pooled, *stats = cpu_kernels.norm_act_pool(x, gamma, beta, running, momentum, eps, act)
        hidden, raw, gate = _gate(pooled, *weights)
        out = torch.empty_like(x)
        cpu_kernels.norm_act_scale(x, gamma, beta, *stats, act, gate, out)
        ctx.save_for_backward(x, gamma, beta, *weights, *stats, pooled, hidden, raw, gate)
        ctx.eps, ctx.act = eps, act
        return out

    @staticmethod
    def backward(ctx, grad):
        saved = ctx.saved_tensors  # asked for once: a recomputed one is there only once
        x, gamma, beta, *weights, mean, invstd, pooled, hidden, raw, gate = saved
        if _backward_fits(grad, *saved):
            grad = grad.contiguous(memory_format=torch.channels_last)
            args = x, gamma, beta, mean, invstd, ctx.act
            sums = cpu_kernels.norm_act_scale_sums(grad, *args)
            g, grads = _gate_backward(sums[0], pooled, weights[0], weights[2], hidden, raw)
            g /= x.shape[2] * x.shape[3]
            ours = cpu_kernels.norm_act_scale_backward(grad, *args, gate, g, sums)
            return *ours, None, None, None, None, *grads

        def plain(x, gamma, beta, *weights):
            out = F.batch_norm(x, None, None, gamma, beta, True, 0.0, ctx.eps)
            return _plain_gate(_activate(out, ctx.act), *weights)

        needed = [ctx.needs_input_grad[i] for i in (0, 1, 2, 7, 8, 9, 10)]
        found = _differentiate(plain, (x, gamma, beta, *weights), needed, grad)
        return *found[:3], None, None, None, None, *found[3:]
