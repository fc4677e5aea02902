"""The fast operators against PyTorch's own, in values, gradients and second derivatives."""

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.models import CreamNet
from cream_mm.models.layers import MBConv, SqueezeExcite
from cream_mm.ops import (
    batch_norm_act,
    cpu_kernels,
    depthwise_by,
    depthwise_conv,
    norm_act,
    norm_act_squeeze_excite,
    squeeze_excite,
)

pytestmark = pytest.mark.skipif(cpu_kernels.load() is None, reason='no C++ compiler')


def images(n=4, channels=24, size=(9, 7), mean=0.0):
    x = torch.randn(n, channels, *size) * 2 + mean
    return x.contiguous(memory_format=torch.channels_last)


def gradients(out, inputs, grad):
    return torch.autograd.grad(out, inputs, grad)


def make_norm(channels, **kwargs):
    norm = nn.BatchNorm2d(channels, **kwargs)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    return norm.train()


def assert_close(got, expected, rtol=2e-5):
    """Within ``rtol`` of the largest value: both sides round."""
    torch.testing.assert_close(
        got.double(), expected.double(), rtol=0, atol=rtol * float(expected.abs().max() + 1e-6)
    )


ACTIVATIONS = dict(silu=F.silu, relu=F.relu, relu6=F.relu6, none=lambda x: x)


@pytest.mark.parametrize('act', ACTIVATIONS)
@pytest.mark.parametrize('channels', [8, 24, 40])  # not all are whole registers
@pytest.mark.parametrize('mean', [0.0, 30.0])  # naive sums of squares would cancel
def test_norm_act(act, channels, mean):
    torch.manual_seed(0)
    x = images(channels=channels, mean=mean).requires_grad_()
    norm, grad = make_norm(channels), images(channels=channels)
    plain = copy.deepcopy(norm).double()
    exact = x.detach().double().requires_grad_()
    expected = ACTIVATIONS[act](plain(exact))
    out = norm_act(x, norm, act)
    assert 'NormAct' in out.grad_fn.name()
    assert_close(out, expected)
    assert_close(norm.running_mean, plain.running_mean)
    assert_close(norm.running_var, plain.running_var)
    assert norm.num_batches_tracked == 1
    got = gradients(out, (x, norm.weight, norm.bias), grad)
    wanted = gradients(expected, (exact, plain.weight, plain.bias), grad.double())
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other, rtol=2e-4)


@pytest.mark.parametrize('act', ACTIVATIONS)
@pytest.mark.parametrize('mode', ['train', 'batch', 'eval', 'cumulative'])
def test_norm_with_weights_of_another(act, mode):
    """As the norm that has them, of either layout; statistics are those of the norm itself."""
    torch.manual_seed(0)
    own = make_norm(24, momentum=None if mode == 'cumulative' else 0.3)
    own.train(mode != 'eval')
    own.track_running_stats = mode != 'batch'
    plain = copy.deepcopy(own)
    weight, bias = nn.Parameter(torch.rand(24) + 0.5), nn.Parameter(torch.randn(24))
    with torch.no_grad():
        plain.weight.copy_(weight)
        plain.bias.copy_(bias)
    for layout in (torch.channels_last, torch.contiguous_format):
        x = images(channels=24).contiguous(memory_format=layout).requires_grad_()
        y = x.detach().clone().requires_grad_()
        out, expected = batch_norm_act(x, own, weight, bias, act), ACTIVATIONS[act](plain(y))
        fused = mode != 'eval' and layout is torch.channels_last
        assert ('NormAct' in out.grad_fn.name()) == fused
        assert_close(out, expected)
        grad = torch.randn_like(out)
        got = gradients(out, (x, weight, bias), grad)
        wanted = gradients(expected, (y, plain.weight, plain.bias), grad)
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other, rtol=2e-4)
        with torch.no_grad():
            assert_close(
                batch_norm_act(x.clone(), own, weight, bias, act), ACTIVATIONS[act](plain(y))
            )
    for name, buffer in own.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name))


def test_relu_keeps_nan():
    """So that a loss that is not finite is seen."""
    x = images(channels=8)
    x[0, 3, 0, 0] = torch.nan
    out = norm_act(x, make_norm(8), 'relu')
    assert out[:, 3].isnan().all() and out[:, [0, 1, 2, 4, 5, 6, 7]].isfinite().all()


def test_norm_without_gradients_and_with_other_statistics():
    torch.manual_seed(0)
    norm = make_norm(16, momentum=None)  # cumulative average
    plain = copy.deepcopy(norm)
    for _ in range(3):
        x = images(channels=16)
        expected = F.silu(plain(x))
        with torch.no_grad():
            assert_close(norm_act(x.clone(memory_format=torch.preserve_format), norm), expected)
    assert_close(norm.running_mean, plain.running_mean)
    norm.track_running_stats = plain.track_running_stats = False  # as batch_stats does
    before = norm.running_mean.clone()
    assert_close(norm_act(x, norm), F.silu(plain(x)))
    assert torch.equal(norm.running_mean, before) and norm.num_batches_tracked == 3
    norm.eval(), plain.eval()
    norm.track_running_stats = plain.track_running_stats = True
    torch.testing.assert_close(norm_act(x, norm), F.silu(plain(x)))


@pytest.mark.parametrize('kernel', [3, 5, 7])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(9, 7), (2, 2), (1, 1), (14, 14)])
def test_depthwise(kernel, stride, size):
    torch.manual_seed(0)
    x = images(channels=24, size=size).requires_grad_()
    conv = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=24, bias=False)
    plain, exact = copy.deepcopy(conv).double(), x.detach().double().requires_grad_()
    out, expected = depthwise_conv(x, conv), plain(exact)
    assert ('DepthwiseConv' in out.grad_fn.name()) == (kernel > 3 or max(size) < 3)
    by_weight = depthwise_by(x, conv.weight, stride)
    assert by_weight.grad_fn.name() == out.grad_fn.name() and torch.equal(by_weight, out)
    with torch.no_grad():
        assert_close(depthwise_by(x.contiguous(), conv.weight, stride), expected)
    assert_close(out, expected)
    grad = torch.randn_like(out)
    got = gradients(out, (x, conv.weight), grad)
    wanted = gradients(expected, (exact, plain.weight), grad.double())
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other)


def test_squeeze_excite():
    torch.manual_seed(0)
    gate = SqueezeExcite(24)
    nn.init.normal_(gate.conv_expand.bias, std=3)  # some gates are shut, some wide open
    plain = copy.deepcopy(gate).double()
    x = images(channels=24).requires_grad_()
    exact = x.detach().double().requires_grad_()
    out, expected = gate(x), plain(exact)
    assert 'SqueezeExcite' in out.grad_fn.name() and 'SqueezeExcite' not in expected.grad_fn.name()
    assert_close(out, expected)
    grad = images(channels=24)
    got = gradients(out, (x, *gate.parameters()), grad)
    wanted = gradients(expected, (exact, *plain.parameters()), grad.double())
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other)
    with torch.no_grad():
        copied = x.detach().clone(memory_format=torch.preserve_format)
        assert_close(squeeze_excite(copied, gate), expected)
        assert_close(copied, expected)  # overwritten: the kernel ran


def pad_as_tensorflow(x, conv):
    """Zeros so that an output is as large as ceil(size / stride), the odd one behind."""
    zeros = []
    for size in (x.shape[3], x.shape[2]):
        stride, kernel = conv.stride[0], conv.kernel_size[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        zeros += [total // 2, total - total // 2]
    return F.pad(x, zeros)


SAME_SIZES = [(8, 8), (9, 9), (8, 7), (1, 1), (2, 2), (3, 2), (21, 40)]


@pytest.mark.parametrize('kernel', [3, 5, 7])
@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('size', SAME_SIZES)
@pytest.mark.parametrize('channels', [8, 40])
def test_depthwise_with_the_padding_of_tensorflow(kernel, stride, size, channels):
    torch.manual_seed(0)
    x = images(channels=channels, size=size).requires_grad_()
    conv = nn.Conv2d(channels, channels, kernel, stride, groups=channels, bias=False)
    plain, exact = copy.deepcopy(conv).double(), x.detach().double().requires_grad_()
    out = depthwise_conv(x, conv, 'same')
    expected = plain(pad_as_tensorflow(exact, conv))
    assert out.shape[2:] == tuple(-(-s // stride) for s in size)
    assert 'DepthwiseConv' in out.grad_fn.name()
    assert_close(out, expected)
    grad = torch.randn_like(out)
    got = gradients(out, (x, conv.weight), grad)
    wanted = gradients(expected, (exact, plain.weight), grad.double())
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other)
    with torch.no_grad():
        assert_close(depthwise_conv(x, conv, 'same'), expected)
        with torch.autocast('cpu', torch.bfloat16):
            half = depthwise_conv(x.bfloat16(), conv, 'same')
        assert half.dtype == torch.bfloat16
        assert_close(half, plain(pad_as_tensorflow(x.bfloat16().double(), conv)), rtol=2**-7)


def test_the_padding_of_tensorflow_by_hand():
    """3x3 of ones with stride 2 over 4 x 4 ones: zeros below and to the right alone."""
    conv = nn.Conv2d(1, 1, 3, 2, groups=1, bias=False)
    nn.init.ones_(conv.weight)
    x = images(1, 1, (4, 4)).fill_(1)
    expected = torch.tensor([[9.0, 6.0], [6.0, 4.0]])
    assert torch.equal(depthwise_conv(x, conv, 'same')[0, 0], expected)
    with torch.no_grad():
        assert torch.equal(depthwise_conv(x, conv, 'same')[0, 0], expected)
    with cpu_kernels.disabled():
        assert torch.equal(depthwise_conv(x, conv, 'same')[0, 0], expected)


def test_numeric_derivatives_of_the_padding_of_tensorflow():
    """Of all inputs and weights, by differences; the operator is linear in each."""
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 2, 3, 2, groups=2, bias=False)
    x = images(1, 2, (4, 3)).requires_grad_()
    out = depthwise_conv(x, conv, 'same')
    factor = torch.randn_like(out)
    got = gradients(out, (x, conv.weight), factor)
    for tensor, grad in zip((x, conv.weight), got, strict=True):
        for index in torch.cartesian_prod(*(torch.arange(n) for n in tensor.shape)):
            ends = []
            for step in (0.5, -0.5):
                with torch.no_grad():
                    tensor[tuple(index)] += step
                    ends.append((depthwise_conv(x, conv, 'same') * factor).sum())
                    tensor[tuple(index)] -= step
            assert float(grad[tuple(index)]) == pytest.approx(float(ends[0] - ends[1]), abs=1e-4)


def test_padding_that_cannot_be():
    conv = nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False)
    with pytest.raises(ValueError, match=r'has none; got \(1, 1\)'):
        depthwise_conv(images(channels=8), conv, 'same')
    with pytest.raises(ValueError, match="'same' or None; got 'valid'"):
        depthwise_conv(images(channels=8), conv, 'valid')


def test_relu6_is_cut_off_at_both_ends():
    x = torch.tensor([-2.0, -1, 0, 1, 2]).view(5, 1, 1, 1).requires_grad_()
    norm = nn.BatchNorm2d(1, eps=0.0)
    nn.init.constant_(norm.weight, 5.0)  # deviation sqrt(2): -7.1, -3.5, 0, 3.5, 7.1
    out = norm_act(x.contiguous(memory_format=torch.channels_last), norm, 'relu6')
    expected = torch.tensor([0, 0, 0, 5 / 2**0.5, 6])
    torch.testing.assert_close(out.flatten(), expected)
    grad_beta = gradients(out.sum(), norm.bias, None)[0]
    assert float(grad_beta) == 1  # only one of the five lies between


@pytest.mark.parametrize('act', ACTIVATIONS)
@pytest.mark.parametrize('channels', [8, 24, 40])
@pytest.mark.parametrize('mean', [0.0, 30.0])
def test_norm_activation_and_gate_as_one(act, channels, mean):
    torch.manual_seed(0)
    norm, gate = make_norm(channels), SqueezeExcite(channels)
    nn.init.normal_(gate.conv_expand.bias, std=3)  # some gates are shut, some wide open
    exact_norm, exact_gate = copy.deepcopy(norm).double(), copy.deepcopy(gate).double()
    x = images(channels=channels, mean=mean, size=(13, 9)).requires_grad_()
    exact = x.detach().double().requires_grad_()
    out = norm_act_squeeze_excite(x, norm, act, gate)
    expected = exact_gate(ACTIVATIONS[act](exact_norm(exact)))
    assert 'NormActGate' in out.grad_fn.name()
    assert_close(out, expected)
    assert_close(norm.running_var, exact_norm.running_var)
    assert_close(norm.running_mean, exact_norm.running_mean)
    assert norm.num_batches_tracked == 1
    grad = torch.randn_like(x)
    got = gradients(out, (x, *norm.parameters(), *gate.parameters()), grad)
    parameters = (*exact_norm.parameters(), *exact_gate.parameters())
    wanted = gradients(expected, (exact, *parameters), grad.double())
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other, rtol=2e-4)
    with torch.no_grad():
        copied = x.detach().clone(memory_format=torch.preserve_format)
        assert_close(norm_act_squeeze_excite(copied, norm, act, gate), expected)
        assert_close(copied, expected)  # overwritten: the kernel ran
        with torch.autocast('cpu', torch.bfloat16):
            half = norm_act_squeeze_excite(x.bfloat16(), norm, act, gate)
        rounded = exact_gate(ACTIVATIONS[act](exact_norm(x.bfloat16().double())))
        assert half.dtype == torch.bfloat16
        assert_close(half, rounded, rtol=2**-7)


@pytest.mark.parametrize('act', ACTIVATIONS)
def test_second_derivative_of_norm_activation_and_gate(act):
    torch.manual_seed(0)
    norm, gate = make_norm(8), SqueezeExcite(8)
    twice = []
    for dtype in (torch.float32, torch.float64):
        norm, gate = copy.deepcopy(norm).to(dtype), copy.deepcopy(gate).to(dtype)
        torch.manual_seed(1)
        x = images(channels=8).to(dtype).requires_grad_()
        out = norm_act_squeeze_excite(x, norm, act, gate)
        grads = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        twice.append(torch.autograd.grad(grads[0].square().sum(), x)[0])
    assert_close(*twice, rtol=2e-4)


@pytest.mark.parametrize('size', [8, 9])
def test_a_block_with_relu6_and_the_padding_of_tensorflow(size):
    """What the layers of EfficientNet-Lite are."""
    torch.manual_seed(0)
    block = MBConv(8, 16, 5, 4, 2, dict(type='BN'), 'relu6', 'none', padding='same').train()
    x = images(channels=8, size=(size, size)).requires_grad_()
    plain, exact = copy.deepcopy(block).double(), x.detach().double().requires_grad_()
    out = block(x)
    assert out.shape == (4, 16, (size + 1) // 2, (size + 1) // 2)
    hidden = F.relu6(plain.bn1(plain.conv_pw(exact)))
    hidden = F.relu6(plain.bn2(plain.conv_dw(pad_as_tensorflow(hidden, plain.conv_dw))))
    expected = plain.bn3(plain.conv_pwl(hidden))
    assert_close(out, expected)
    grad = torch.randn_like(out)
    got = gradients(out, (x, *block.parameters()), grad)
    wanted = gradients(expected, (exact, *plain.parameters()), grad.double())
    # Scales before a norm have gradients of almost nothing: all are held against the largest.
    largest = max(float(g.abs().max()) for g in wanted)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=5e-5 * largest)


@pytest.mark.parametrize('frozen', ['nothing', 'bn', 'se'])
def test_second_derivatives_are_those_of_pytorch(frozen):
    """A meta step of the released code differentiates twice."""
    torch.manual_seed(0)
    net = CreamNet([[0], [4], [2], [5], [0], [3], [0]]).train()
    for name, param in net.named_parameters():
        param.requires_grad_(f'{frozen}' not in name)
    x = torch.randn(4, 3, 32, 32)
    params = [p for p in net.parameters() if p.requires_grad]
    twice = []
    for dtype in (torch.float32, torch.float64):
        net.to(dtype)
        loss = net(x.to(dtype))[-1].square().mean()
        grads = torch.autograd.grad(loss, params, create_graph=True)
        twice.append(torch.autograd.grad(sum(g.square().sum() for g in grads), params))
    largest = max(g.abs().max() for g in twice[1])
    for one, other in zip(*twice, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=2e-3 * float(largest))


@pytest.mark.parametrize('act', ACTIVATIONS)
def test_second_derivative_of_norm_act(act):
    torch.manual_seed(0)
    x, norm = images(channels=8).requires_grad_(), make_norm(8)
    exact, plain = x.detach().double().requires_grad_(), copy.deepcopy(norm).double()
    twice = []
    for inp, out in ((x, norm_act(x, norm, act)), (exact, ACTIVATIONS[act](plain(exact)))):
        grads = torch.autograd.grad(out.pow(3).sum(), inp, create_graph=True)
        twice.append(torch.autograd.grad(grads[0].square().sum(), inp)[0])
    assert_close(*twice, rtol=2e-4)


def test_a_whole_network_trains_alike(monkeypatch):
    def losses():
        torch.manual_seed(0)
        net = CreamNet('cream-14m').train()
        optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
        values = []
        for step in range(3):
            torch.manual_seed(step)
            loss = (net(torch.randn(8, 3, 64, 64))[-1] - 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(loss.item())
        return values, net.state_dict()

    (fast, state), (again, state_again) = losses(), losses()
    assert fast == again and all(torch.equal(state[k], state_again[k]) for k in state)
    monkeypatch.setattr(cpu_kernels, '_allowed', False)
    assert fast == pytest.approx(losses()[0], rel=1e-4)


@pytest.mark.parametrize('channels', [8, 24, 40])
def test_bfloat16_without_gradients(channels):
    """As exact as their type: computed in float32 and rounded once per operator."""
    torch.manual_seed(0)
    x = images(channels=channels).bfloat16()
    norm, gate = make_norm(channels), SqueezeExcite(channels)
    nn.init.normal_(gate.conv_expand.bias, std=3)
    plain = copy.deepcopy(norm)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        assert cpu_kernels.fits(x, norm.weight)
        expected = plain(x.float())
        out = norm_act(x.clone(memory_format=torch.preserve_format), norm, 'none')
        assert out.dtype == torch.bfloat16
        assert_close(norm.running_mean, plain.running_mean)
        assert_close(norm.running_var, plain.running_var)
        torch.testing.assert_close(out.float(), expected, rtol=2**-8, atol=1e-3)
        out = norm_act(x.clone(memory_format=torch.preserve_format), norm)
        torch.testing.assert_close(out.float(), F.silu(expected), rtol=2**-8, atol=1e-3)
        out = norm_act(x.clone(memory_format=torch.preserve_format), norm, 'relu')
        torch.testing.assert_close(out.float(), F.relu(expected), rtol=2**-8, atol=1e-3)
        wide = torch.linspace(-200, 200, 2 * channels * 4).view(2, channels, 2, 2)
        wide = wide.contiguous(memory_format=torch.channels_last).bfloat16()
        out = norm_act(wide.clone(memory_format=torch.preserve_format), norm).float()
        assert out.isfinite().all()
        expected = gate(x.float())
        torch.testing.assert_close(gate(x).float(), expected, rtol=2**-7, atol=1e-3)


def test_what_the_kernels_do_not_take():
    norm = make_norm(8)
    for x in (torch.randn(2, 8, 4, 4), images(channels=8).double(), images(channels=8)[:, :, ::2]):
        assert not cpu_kernels.fits(x, norm.weight)
    x = images(channels=8)
    assert cpu_kernels.fits(x, norm.weight) and not cpu_kernels.fits(x, norm.weight.double())
    assert not cpu_kernels.fits(x.bfloat16(), norm.weight)  # a gradient is recorded
    with torch.autocast('cpu', torch.bfloat16):
        assert not cpu_kernels.fits(x, norm.weight)
    assert norm_act(torch.randn(2, 8, 4, 4), norm).shape == (2, 8, 4, 4)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        norm_act(images(1, 8, (1, 1)), norm)


@pytest.mark.parametrize(
    'settings',
    [
        dict(dilation=2, padding=4),
        dict(dilation=2, padding='same'),
        dict(padding=0),
        dict(padding='valid'),
        dict(padding=3),
        dict(padding=2, padding_mode='reflect'),
        dict(padding=2, padding_mode='circular'),
        dict(padding=2, stride=(1, 2)),
        dict(padding=(2, 3), kernel_size=(5, 7)),
        dict(padding=2, kernel_size=4),
        dict(padding=2, groups=4),
        dict(padding=2, out_channels=16),
        dict(padding=2, bias=True),
        dict(padding=2),
        dict(padding='same'),
    ],
    ids=str,
)
def test_depthwise_of_every_kind(settings):
    torch.manual_seed(0)
    default = dict(in_channels=8, out_channels=8, kernel_size=5, groups=8, bias=False)
    conv = nn.Conv2d(**{**default, **settings})
    x = images(channels=8, size=(12, 11)).requires_grad_()
    out, expected = depthwise_conv(x, conv), conv(x)
    assert ('DepthwiseConv' in out.grad_fn.name()) == (
        settings in (dict(padding=2), dict(padding='same'))
    )
    assert torch.equal(out, expected)
    grad = torch.randn_like(out)
    got, wanted = (gradients(y, (x, conv.weight), grad) for y in (out, expected))
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other)


def test_sums_of_a_large_image_are_exact():
    """To the rounding of a float: plain sums over 800 x 1333 were wrong by 3e-5 and 1e-4."""
    torch.manual_seed(0)
    x, grad = (torch.rand(1, 16, 800, 1333) + 0.5 for _ in range(2))
    x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
    exact, exact_grad = x.double(), grad.double()
    close = dict(rtol=5e-7, atol=0)
    torch.testing.assert_close(cpu_kernels.pool(x).double(), exact.mean((2, 3)), **close)
    expected = (exact * exact_grad).sum((2, 3))
    torch.testing.assert_close(cpu_kernels.gate_grad(x, grad).double(), expected, **close)
    weight = torch.empty(16, 1, 5, 5)
    got = cpu_kernels.depthwise_weight_grad(x, grad, weight, 1, (2, 2))
    padded = F.pad(exact, [2] * 4)
    for ky, kx in ((0, 0), (2, 2), (4, 1)):
        window = padded[:, :, ky : ky + 800, kx : kx + 1333]
        expected = (window * exact_grad).sum((0, 2, 3))
        torch.testing.assert_close(got[:, 0, ky, kx].double(), expected, **close)


def test_statistics_do_not_hang_on_the_first_pixel():
    torch.manual_seed(0)
    x = images(1, 16, (200, 300))
    x[0, :, 0, 0] = 300
    mean, invstd = cpu_kernels.norm_act_forward(
        x, torch.ones(16), torch.zeros(16), None, 0.0, 0.0, 'none', torch.empty_like(x)
    )
    var, exact = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(mean.double(), exact, rtol=0, atol=2e-6)
    torch.testing.assert_close(invstd.double(), var.rsqrt(), rtol=2e-5, atol=0)


def test_without_them(monkeypatch, tmp_path):
    monkeypatch.setenv('CREAM_MM_CPU_KERNELS', '0')
    cpu_kernels.load.cache_clear()
    assert cpu_kernels.load() is None
    monkeypatch.setenv('CREAM_MM_CPU_KERNELS', '1')
    monkeypatch.setenv('CXX', '/nowhere/g++')
    monkeypatch.setenv('CREAM_MM_CACHE', str(tmp_path))
    cpu_kernels.load.cache_clear()
    assert cpu_kernels.load() is None
    monkeypatch.undo()
    cpu_kernels.load.cache_clear()
    assert cpu_kernels.load() is not None


@pytest.mark.parametrize('train', [True, False])
def test_what_hooks_keep_is_not_overwritten(train):
    """Features taken by hooks, without gradients, are those of PyTorch's own operators."""
    torch.manual_seed(0)
    block = MBConv(16, 16, 5, 4, 1, dict(type='BN')).train(train)
    names = ['conv_pw', 'conv_dw', 'conv_pwl', 'se']
    kept: dict = {}
    for name in names:
        block.get_submodule(name).register_forward_hook(
            lambda module, args, out, name=name: kept.update({name: out, f'{name} in': args[0]})
        )
    found = []
    for kernels in (contextlib.nullcontext(), cpu_kernels.disabled()):
        x = images(2, 16, (9, 7))
        torch.manual_seed(1)
        with torch.no_grad(), kernels:
            block(torch.randn_like(x))
        # What follows a convolution in evaluation is PyTorch's own in both cases.
        found.append({k: v for k, v in kept.items() if k in (*names, 'se in')})
        kept = found[-1].copy()
    assert found[0].keys() == found[1].keys() == {*names, 'se in'}
    for key, value in found[1].items():
        torch.testing.assert_close(found[0][key], value, rtol=1e-4, atol=1e-5)
