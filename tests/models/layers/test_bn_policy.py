import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.models.layers.bn_policy import batch_stats, of_this_rank, recalibrated
from cream_mm.ops import norm_act


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


class Block(nn.Module):
    """Uses its norm without calling it where the kernels can, as the blocks of networks do."""

    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.normal_(self.bn.weight)
        nn.init.normal_(self.bn.bias)

    def forward(self, x):
        return norm_act(self.conv(x), self.bn, 'silu', source=self.conv) + x


class Twice(nn.Module):
    """A module around a block, which it runs twice."""

    def __init__(self):
        super().__init__()
        self.inner = Block()

    def forward(self, x):
        return self.inner(self.inner(x)) * 2


class Chain(nn.Module):
    """Runs its modules in an order of positions."""

    def __init__(self, modules, order):
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.order = order

    def forward(self, x):
        for i in self.order:
            x = self.parts[i](x)
        return x


def unrolled(module):
    """The same with a module of its own at each position."""
    if isinstance(module, Chain):
        parts = [unrolled(copy.deepcopy(module.parts[i])) for i in module.order]
        return Chain(parts, range(len(parts)))
    if isinstance(module, Twice):
        inner = [copy.deepcopy(module.inner) for _ in range(2)]
        return nn.Sequential(*inner, Times(2))
    return module


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def images(dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(n, 4, 3, 5, generator=generator, dtype=dtype) * n for n in (3, 7, 2)]


CHAINS = {
    'no module twice': lambda: Chain([Block(), Block(), Block()], [0, 2, 1]),
    'one at two positions': lambda: Chain([Block(), Block()], [0, 1, 0]),
    'three times, side by side': lambda: Chain([Block(), Block()], [1, 1, 0, 1]),
    'in a sequence': lambda: Chain([nn.Sequential(Block(), Block()), Block()], [0, 1, 0]),
    'inside and outside': lambda: Chain([Twice(), Block()], [0, 1, 0]),
    'of one run alone': lambda: Chain([Twice(), Block()], [1, 0]),
    'a plain sequence': lambda: Chain(
        [nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), nn.ReLU()], [0, 1, 0, 1]
    ),
    'a norm itself': lambda: Chain([Block(), nn.BatchNorm2d(4)], [1, 0, 1, 0]),
    'a norm itself alone': lambda: Chain([Block(), nn.BatchNorm2d(4)], [1, 0, 1]),
}


@pytest.mark.parametrize('kind', CHAINS)
@pytest.mark.parametrize('policy', ['recalibrate', 'batch_stats'])
def test_each_position_is_normalised_as_a_module_of_its_own(kind, policy):
    torch.manual_seed(0)
    net = CHAINS[kind]().eval()
    apart = unrolled(net).eval()
    data, outs = images(), []
    for one in (net, apart):

        def run(one=one):
            for x in data:
                one(x + 1)

        with torch.no_grad():
            fitted = recalibrated(one.modules(), run, one)
            with fitted if policy == 'recalibrate' else batch_stats(one.modules()):
                outs.append([one(x) for x in (*data, *data[::-1])])
    if kind == 'a norm itself':  # which the kernels of float32 leave to torch then
        torch.testing.assert_close(outs[0], outs[1])
    else:
        assert all(torch.equal(a, b) for a, b in zip(*outs, strict=True))


def test_statistics_of_a_position_are_the_plain_average_of_its_own_maps():
    torch.manual_seed(0)
    block = Block()
    net, data = Chain([block], [0, 0]).double().eval(), images(torch.float64)
    with recalibrated(net.modules(), lambda: [net(x) for x in data], net):
        with torch.no_grad():
            first = [block.conv(x) for x in data]
            seen = []
            handle = block.bn.register_forward_pre_hook(lambda m, args: seen.append(
                (m.running_mean.clone(), m.running_var.clone(), args[0])
            ))  # fmt: skip
            net(data[0])
            handle.remove()
        expected = sum(x.mean((0, 2, 3)) for x in first) / 3
        assert [len(seen), torch.equal(seen[0][2], first[0])] == [2, True]
        torch.testing.assert_close(seen[0][0], expected)
        assert not torch.allclose(seen[1][0], expected)


def test_with_a_root_nothing_changes_where_nothing_repeats():
    torch.manual_seed(0)
    net, data, outs = Chain([Block(), Block()], [0, 1]).eval(), images(), []
    for root in (None, net):
        with torch.no_grad(), recalibrated(net.modules(), lambda: [net(x) for x in data], root):
            hooked = [m for m in net.modules() if m._forward_pre_hooks or m._forward_hooks]
            assert hooked == ([] if root is None else [net])
            outs.append([net(x) for x in data])
    assert all(torch.equal(a, b) for a, b in zip(*outs, strict=True))


@pytest.mark.parametrize('fails', [None, 'run', 'body'])
def test_the_statistics_of_a_repeated_module_are_restored(fails):
    torch.manual_seed(0)
    net = Chain([Twice(), Block()], [0, 1, 0])
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_()
    before = [state_of(norm) for norm in norms]
    buffers = [list(norm.buffers()) for norm in norms]
    calls = 0

    def run():
        for x in images():
            net(x)
        if fails == 'run':
            raise RuntimeError('stop')

    try:
        with recalibrated(net.modules(), run, net):
            net(images()[0])
            if fails == 'body':
                raise RuntimeError('stop')
    except RuntimeError as error:
        calls += str(error) == 'stop'
    assert calls == (fails is not None)
    for norm, old, tensors in zip(norms, before, buffers):
        assert_same(state_of(norm), old)
        assert all(a is b for a, b in zip(norm.buffers(), tensors))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())


def test_norms_outside_the_root_have_one_set():
    """A head that runs on several maps of a detector, for example."""
    torch.manual_seed(0)
    backbone, head = Chain([Block()], [0, 0]), Block()
    data = images()

    maps = []

    def run():
        for x in data:
            maps.append(backbone(x))
            head(head(maps[-1]))

    modules = [*backbone.modules(), *head.modules()]
    with recalibrated(modules, run, backbone):
        assert int(head.bn.num_batches_tracked) == 6
        mean = head.bn.running_mean.clone()
    with recalibrated(head.modules(), lambda: [head(head(x)) for x in maps]):
        assert torch.equal(head.bn.running_mean, mean)


@pytest.mark.parametrize('kind', ['one at two positions', 'a norm itself alone'])
def test_synchronised_norms_of_this_rank(kind):
    torch.manual_seed(0)
    net, data = CHAINS[kind]().eval(), images()
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net)).eval()
    outs = []
    for one in (net, synced):
        fitted = recalibrated(one.modules(), lambda one=one: [one(x) for x in data], one)
        with torch.no_grad(), of_this_rank(one.modules()), fitted:
            outs.append([one(x) for x in data])
    for ours, theirs in zip(*outs, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_part_alone_and_another_path():
    torch.manual_seed(0)
    net, data = Chain([Block(), Block()], [0, 1, 0]).eval(), images()
    with torch.no_grad(), recalibrated(net.modules(), lambda: [net(x) for x in data], net):
        first = net.parts[0](data[0])
        assert all(torch.equal(first, net.parts[0](data[0])) for _ in range(3))
        net.order = [0]
        assert torch.equal(first, net(data[0]))  # the first position's statistics
        net.order = [0, 0, 0]
        with pytest.raises(RuntimeError, match='a Block runs more often in one forward'):
            net(data[0])


def test_modules_that_are_named_twice_are_one():
    net = Chain([Block()], [0])
    before = state_of(net.parts[0].bn)
    with recalibrated([*net.modules(), *net.modules()], lambda: [net(x) for x in images()], net):
        assert int(net.parts[0].bn.num_batches_tracked) == 3
    norm = nn.SyncBatchNorm(4).eval()
    with of_this_rank([norm, norm]):
        norm(images()[0])
    assert 'forward' not in vars(norm)
    assert_same(state_of(net.parts[0].bn), before)
