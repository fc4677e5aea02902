import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.models.layers.bn_policy import batch_stats, recalibrated


def net_of_one_norm():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4)).double()
    norm = net[1]
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.normal_()
        norm.bias.normal_()
        norm.num_batches_tracked.fill_(17)
    return net.eval()


def batches():
    torch.manual_seed(1)
    return [torch.randn(n, 2, 3, 5, dtype=torch.float64) * n + n for n in (3, 7, 2)]


def state_of(norm):
    return (
        norm.training, norm.momentum, norm.track_running_stats, norm.running_mean.clone(),
        norm.running_var.clone(), int(norm.num_batches_tracked),
    )  # fmt: skip


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_recalibrated_statistics_are_the_plain_average():
    net, data = net_of_one_norm(), batches()
    norm, before = net[1], state_of(net[1])
    with torch.no_grad():
        maps = [net[0](batch).transpose(0, 1).flatten(1) for batch in data]
    mean = sum(m.mean(1) for m in maps) / 3
    var = sum(m.var(1, correction=1) for m in maps) / 3
    with recalibrated(net.modules(), lambda: [net(batch) for batch in data]):
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, var)
        assert not norm.training and int(norm.num_batches_tracked) == 3
        # Inside, the network is in eval mode with these statistics.
        x = data[0][:1]
        expected = F.batch_norm(net[0](x), mean, var, norm.weight, norm.bias, eps=norm.eps)
        torch.testing.assert_close(norm(net[0](x)), expected)
    assert_same(state_of(norm), before)


def test_recalibration_builds_no_graph():
    net, seen = net_of_one_norm(), []
    with recalibrated(net.modules(), lambda: seen.append(net(batches()[0]))):
        assert net(batches()[0]).requires_grad  # outside of run, gradients are the caller's affair
    assert not seen[0].requires_grad


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('where', ['run', 'body'])
def test_recalibration_restores_after_an_error(training, where):
    net = net_of_one_norm().train(training)
    before = state_of(net[1])

    def run():
        net(batches()[0])
        if where == 'run':
            raise RuntimeError('stop')

    with pytest.raises(RuntimeError, match='stop'), recalibrated(net.modules(), run):
        raise RuntimeError('stop')
    assert_same(state_of(net[1]), before)


def test_only_the_given_norms_are_recalibrated():
    torch.manual_seed(0)
    first, second = nn.BatchNorm2d(2).double().eval(), nn.BatchNorm2d(2).double().eval()
    net = nn.Sequential(first, second)
    before = state_of(second)
    with recalibrated(first.modules(), lambda: net(batches()[0])):
        assert_same(state_of(second), before)
        assert not torch.equal(first.running_mean, torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize('training', [True, False])
def test_batch_stats(training):
    net, x = net_of_one_norm().train(training), batches()[1]
    norm, before = net[1], state_of(net[1])
    with batch_stats(net.modules()):
        out = norm(net[0](x))
        with batch_stats(net.modules()):  # inside itself
            again = norm(net[0](x))
        third = norm(net[0](x))
    expected = F.batch_norm(net[0](x), None, None, norm.weight, norm.bias, True, eps=norm.eps)
    torch.testing.assert_close(out, expected)
    assert torch.equal(out, again) and torch.equal(out, third)
    assert_same(state_of(norm), before)


def test_batch_stats_keep_gradients():
    net, x = net_of_one_norm(), batches()[0].requires_grad_()
    with batch_stats(net.modules()):
        net(x).square().sum().backward()
    assert x.grad.abs().sum() > 0 and net[1].weight.grad.abs().sum() > 0


def test_batch_stats_restore_after_an_error():
    net = net_of_one_norm()
    before = state_of(net[1])
    with pytest.raises(RuntimeError, match='stop'), batch_stats(net.modules()):
        raise RuntimeError('stop')
    assert_same(state_of(net[1]), before)


def test_norms_without_statistics_are_left_alone():
    net = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.LayerNorm(5)).double()
    x = batches()[0]
    expected = net(x)
    with batch_stats(net.modules()):
        assert torch.equal(net(x), expected)
    with recalibrated(net.modules(), lambda: net(x)):
        assert torch.equal(net(x), expected)
