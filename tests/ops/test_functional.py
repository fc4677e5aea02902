"""The fast operators against PyTorch's own, in values, gradients and second derivatives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.models import CreamNet
from cream_mm.models.layers import SqueezeExcite
from cream_mm.ops import cpu_kernels, depthwise_conv, norm_act, squeeze_excite

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


ACTIVATIONS = dict(silu=F.silu, relu=F.relu, none=lambda x: x)


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
    assert ('DepthwiseConv' in out.grad_fn.name()) == (kernel > 3)
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
        assert_close(squeeze_excite(copied, gate.conv_reduce, gate.conv_expand), expected)


def test_second_derivatives_are_those_of_pytorch(monkeypatch):
    """A meta step of the released code differentiates twice."""

    def twice():
        torch.manual_seed(0)
        net = CreamNet([[0], [4], [2], [5], [0], [3], [0]]).train()
        x = torch.randn(4, 3, 32, 32)
        params = [p for p in net.parameters() if p.dim() > 1]
        grads = torch.autograd.grad(net(x)[-1].square().mean(), params, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), params)

    fast = twice()
    monkeypatch.setattr(cpu_kernels, 'fits', lambda *args: False)
    for one, other in zip(fast, twice(), strict=True):
        assert_close(one, other, rtol=2e-3)


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
    monkeypatch.setattr(cpu_kernels, 'fits', lambda *args: False)
    assert fast == pytest.approx(losses()[0], rel=1e-4)


@pytest.mark.parametrize('channels', [8, 24, 40])
def test_bfloat16_without_gradients(channels):
    """As exact as their type: computed in float32 and rounded once per operator."""
    torch.manual_seed(0)
    x, norm, gate = (
        images(channels=channels).bfloat16(),
        make_norm(channels),
        SqueezeExcite(channels),
    )
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


def test_without_them(monkeypatch):
    monkeypatch.setenv('CREAM_MM_CPU_KERNELS', '0')
    cpu_kernels.load.cache_clear()
    assert cpu_kernels.load() is None
    monkeypatch.setenv('CREAM_MM_CPU_KERNELS', '1')
    monkeypatch.setenv('CXX', '/nowhere/g++')
    monkeypatch.setenv('CREAM_MM_CACHE', '/tmp/nothing-built-here')
    cpu_kernels.load.cache_clear()
    assert cpu_kernels.load() is None
    monkeypatch.undo()
    cpu_kernels.load.cache_clear()
    assert cpu_kernels.load() is not None
