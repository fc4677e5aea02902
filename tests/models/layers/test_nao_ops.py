"""What NAO's cells are made of; whole networks beside released numbers: test_nao_net.py."""

import pytest
import torch
import torch.nn.functional as F

from cream_mm.models.layers.nao_ops import (
    FactorizedReduce,
    InputNorm,
    MatchInputs,
    NAOFrame,
    Place,
    SepConv,
    SharedCombine,
    SharedSepConv,
    build_operation,
    build_shared_operations,
    drop_samples,
)
from cream_mm.spaces.nao import AVG_POOL, IDENTITY, MAX_POOL, SEP_3X3, SEP_5X5

BN = dict(type='BN')


def place(**kwargs):
    return Place(
        **{**dict(layer=0, stage=0, reduces=False, shrinks=False, channels=4, inputs=(4, 4)),
           **kwargs}
    )  # fmt: skip


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(8, 8), (7, 5)])
def test_operations(stride, size):
    x = torch.randn(2, 4, *size)
    found = {op: build_operation(op, 4, stride, BN).eval()(x) for op in range(5)}
    shape = (2, 4, *(-(-side // stride) for side in size))
    assert all(y.shape == shape for y in found.values())
    windows = F.unfold(F.pad(x, [1] * 4, value=float('nan')), 3, stride=stride)
    windows = windows.view(2, 4, 9, *shape[2:])
    torch.testing.assert_close(found[AVG_POOL], windows.nanmean(2))
    torch.testing.assert_close(found[MAX_POOL], windows.nan_to_num(-9).amax(2))
    if stride == 1:
        assert torch.equal(found[IDENTITY], x)


def test_a_separable_convolution():
    for op, kernel in ((SEP_3X3, 3), (SEP_5X5, 5)):
        module = build_operation(op, 4, 2, BN).eval()
        x = torch.randn(2, 4, 9, 8)
        y, scale = x, (1 + 1e-5) ** 0.5
        for stride, first in ((2, 1), (1, 5)):
            depthwise, pointwise = module.op[first], module.op[first + 1]
            y = F.conv2d(y.relu(), depthwise.weight, None, stride, kernel // 2, groups=4)
            y = F.conv2d(y, pointwise.weight) / scale
        torch.testing.assert_close(module(x), y)


@pytest.mark.parametrize('size', [(8, 6), (7, 5), (1, 1)])
def test_a_factorized_reduction_takes_both_diagonals(size):
    module = FactorizedReduce(3, 5, BN).eval()
    x = torch.randn(2, 3, *size)
    height, width = (-(-side // 2) for side in size)
    padded = F.pad(x, (0, 2, 0, 2))
    even = padded[..., : 2 * height : 2, : 2 * width : 2]
    odd = padded[..., 1 : 2 * height + 1 : 2, 1 : 2 * width + 1 : 2]
    expected = torch.cat(
        [F.conv2d(even, module.path1[1].weight), F.conv2d(odd, module.path2[1].weight)], dim=1
    )
    assert expected.shape[1] == 5
    torch.testing.assert_close(module(x), expected / (1 + 1e-5) ** 0.5)


def test_inputs_are_matched_where_they_differ():
    before, previous = torch.randn(2, 4, 4, 4), torch.randn(2, 4, 4, 4)
    same = MatchInputs(place(), BN)
    assert not list(same.parameters())
    assert all(a is b for a, b in zip(same(before, previous), (before, previous)))
    shrinks = MatchInputs(place(shrinks=True, inputs=(6, 4)), BN).eval()
    assert not hasattr(shrinks, 'preprocess_y')
    large = torch.randn(2, 6, 8, 8)
    torch.testing.assert_close(shrinks(large, previous)[0], shrinks.preprocess_x(large.relu()))
    both = MatchInputs(place(inputs=(3, 6)), BN).eval()
    out = both(torch.randn(2, 3, 4, 4), torch.randn(2, 6, 4, 4))
    assert [y.shape for y in out] == [(2, 4, 4, 4)] * 2


def test_dropped_samples():
    torch.manual_seed(0)
    y = drop_samples(torch.ones(4000, 2, 1, 1), 0.8)
    assert set(y.flatten().tolist()) == {0.0, 1.25}
    assert torch.equal(y[:, 0], y[:, 1])  # whole samples
    assert y.mean().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kernel', [3, 5])
@pytest.mark.parametrize('training', [True, False])
def test_shared_weights_are_those_of_an_input(kernel, stride, training, dtype):
    """Beside a module with the same numbers: output, gradients, statistics."""
    torch.manual_seed(0)
    shared = SharedSepConv(4, kernel, 3, {}).to(dtype)
    for param in shared.parameters():
        torch.nn.init.uniform_(param, 0.5, 1.5)
    alone = SepConv(4, kernel, stride, BN).to(dtype)
    lists = [
        shared.W1_depthwise, shared.W1_pointwise, shared.bn1.weight, shared.bn1.bias,
        shared.W2_depthwise, shared.W2_pointwise, shared.bn2.weight, shared.bn2.bias,
    ]  # fmt: skip
    with torch.no_grad():
        for param, of_inputs in zip(alone.parameters(), lists, strict=True):
            param.copy_(of_inputs[2])
    x = torch.randn(3, 4, 6, 6, dtype=dtype).contiguous(memory_format=torch.channels_last)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    outs = shared.train(training)(ours, 2, stride), alone.train(training)(theirs)
    torch.testing.assert_close(*outs)
    slope = torch.randn_like(outs[0])
    for out in outs:
        (out * slope).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for param, of_inputs in zip(alone.parameters(), lists):
        torch.testing.assert_close(of_inputs[2].grad, param.grad)
        assert of_inputs[0].grad is None and of_inputs[1].grad is None
    for mine, other in ((shared.bn1, alone.op[3]), (shared.bn2, alone.op[7])):
        torch.testing.assert_close(mine.running_mean, other.running_mean)
        torch.testing.assert_close(mine.running_var, other.running_var)
        assert mine.num_batches_tracked == other.num_batches_tracked == int(training)
    names = dict(shared.named_parameters())
    of_one = dict(shared.parameters_of(1))
    assert len(of_one) == 8 and all(names[name] is param for name, param in of_one.items())


@pytest.mark.parametrize('momentum', [0.1, None])
def test_a_norm_with_several_inputs(momentum):
    norm, plain = InputNorm(4, 2, momentum=momentum), torch.nn.BatchNorm2d(4, momentum=momentum)
    for _ in range(3):
        x = torch.randn(8, 4, 3, 3) + 1
        torch.testing.assert_close(norm(x, 1), plain(x))
    torch.testing.assert_close(norm.running_var, plain.running_var)
    norm.reset_running_stats()
    assert norm.running_mean.abs().max() == 0 and norm.num_batches_tracked == 0
    assert list(norm.state_dict()) == [
        'running_mean', 'running_var', 'weight.0', 'weight.1', 'bias.0', 'bias.1',
    ]  # fmt: skip


def test_states_are_combined_by_weights_of_their_own():
    module = SharedCombine(4, 7, BN).eval()
    for weight in module.w:
        torch.nn.init.normal_(weight)
    states = [torch.randn(2, 4, 3, 3) for _ in range(7)]
    expected = sum(F.conv2d(states[i].relu(), module.w[i]) for i in (1, 5, 6))
    found = module(states, (1, 5, 6))
    torch.testing.assert_close(found, expected / (1 + 1e-5) ** 0.5, atol=1e-5, rtol=1e-5)


def test_shared_operations_of_a_reduction():
    ops = build_shared_operations(place(reduces=True), 3, dict(type='BN', momentum=0.2))
    x = torch.randn(2, 4, 8, 8)
    for op in ops:
        assert op(x, 1, 2).shape == (2, 4, 4, 4) and op(x, 2, 1).shape == x.shape
    assert ops[SEP_3X3].bn1.momentum == ops[IDENTITY].reduce[0].bn.momentum == 0.2
    assert not hasattr(build_shared_operations(place(), 3, BN)[IDENTITY], 'reduce')


def test_a_frame_asks_for_its_cells():
    frame = NAOFrame()
    for ask in (frame.build_cell, frame.cell_channels):
        with pytest.raises(NotImplementedError):
            ask(place())
