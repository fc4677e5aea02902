"""The blocks of other spaces than Cream's, against their definition in plain PyTorch."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.models.layers import (
    SqueezeExcite,
    build_choice,
    build_first,
    build_last,
    build_norm,
    build_stem,
    head_settings,
    norm_of,
    run_stem,
)
from cream_mm.spaces import MBConvSpace

NORM = dict(type='BN')


def bn(x, norm):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def fill(module):
    torch.manual_seed(0)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.2, 0.8)
    return module.eval()


def specs(name):
    return list(MBConvSpace.build(name).layers())


def test_nas_bench_macro_block():
    space, spec = MBConvSpace.build('nas_bench_macro'), specs('nas_bench_macro')[1]
    block = fill(build_choice(space, spec, 2, NORM))
    x = torch.randn(2, 64, 6, 6)
    mid = F.relu(bn(F.conv2d(x, block.conv_pw.weight), block.bn1))
    mid = F.relu(bn(F.conv2d(mid, block.conv_dw.weight, padding=2, groups=384), block.bn2))
    expected = bn(F.conv2d(mid, block.conv_pwl.weight), block.bn3) + x
    torch.testing.assert_close(block(x), expected)
    assert not any(key.startswith('se.') for key in block.state_dict())


def test_squeeze_of_efficientnet():
    gate = fill(SqueezeExcite(96, 'efficientnet', 16))
    assert gate.conv_reduce.out_channels == 4  # of the 16 that enter the block
    x = torch.randn(2, 96, 5, 5).contiguous(memory_format=torch.channels_last)
    hidden = F.silu(gate.conv_reduce(x.mean((2, 3), keepdim=True)))
    torch.testing.assert_close(gate(x), x * gate.conv_expand(hidden).sigmoid())


def test_first_block_of_dna():
    (block,) = build_first(MBConvSpace.build('dna'), NORM)
    fill(block)
    x = torch.randn(2, 32, 6, 6)
    out = F.silu(bn(F.conv2d(x, block.conv_dw.weight, padding=1, groups=32), block.bn1))
    expected = bn(F.conv2d(block.se(out), block.conv_pw.weight), block.bn2)
    assert block.se.conv_reduce.out_channels == 8 and expected.shape == (2, 16, 6, 6)
    torch.testing.assert_close(block(x), expected)
    assert build_first(MBConvSpace.build('nas_bench_macro'), NORM) == []


@pytest.mark.parametrize(('place', 'shape'), [(0, (64, 3, 3)), (2, (128, 3, 3))])
def test_identity_that_reshapes(place, shape):
    space, spec = MBConvSpace.build('nas_bench_macro'), specs('nas_bench_macro')[place]
    block = fill(build_choice(space, spec, 0, NORM))
    x = torch.randn(2, spec.in_channels, 6, 6)
    expected = bn(F.conv2d(x, block.conv.weight, stride=2), block.bn1)
    assert expected.shape[1:] == shape
    torch.testing.assert_close(block(x), expected)


def test_identity_that_is_nothing():
    space, spec = MBConvSpace.build('nas_bench_macro'), specs('nas_bench_macro')[1]
    block, x = build_choice(space, spec, 0, NORM), torch.randn(2, 64, 3, 3)
    assert block(x) is x and not list(block.parameters())


def test_last_block_has_the_activation_of_the_space():
    for name, act in (('nas_bench_macro', F.relu), ('dna', F.silu)):
        space = MBConvSpace.build(name)
        block = fill(build_last(space, NORM)[0])
        x = torch.randn(2, space.stage_channels[-2], 3, 3)
        expected = act(bn(F.conv2d(x, block.conv.weight), block.bn1))
        assert expected.shape[1] == 1280
        torch.testing.assert_close(block(x), expected)
    assert build_last(MBConvSpace.build('lite0'), NORM) == []


# --- TensorFlow's padding, EfficientNet-Lite ---


def same(x, weight, stride, groups=1):
    """Sides of ceil(n / stride), the odd row and column of zeros last."""
    zeros = []
    for side in (3, 2):
        size, kernel = x.shape[side], weight.shape[side]
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        zeros += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, zeros), weight, stride=stride, groups=groups)


@pytest.mark.parametrize('size', [(8, 8), (7, 7), (8, 7), (1, 2)])
@pytest.mark.parametrize('stem_stride', [1, 2])
def test_stem_padded_as_tensorflow_does(size, stem_stride):
    space = MBConvSpace.build(dict(preset='lite0', stem_stride=stem_stride))
    conv, norm = fill(build_stem(space)), fill(build_norm(norm_of(space), 32))
    x = torch.randn(2, 3, *size)
    expected = F.batch_norm(
        same(x, conv.weight, stem_stride), norm.running_mean, norm.running_var, norm.weight,
        norm.bias, eps=1e-3,
    )  # fmt: skip
    torch.testing.assert_close(run_stem(x, conv, norm, space), F.relu6(expected))
    assert expected.shape[2:] == tuple(math.ceil(side / stem_stride) for side in size)


@pytest.mark.parametrize('size', [(8, 8), (7, 7), (8, 7)])
@pytest.mark.parametrize('place', [0, 1])  # of stride 2 and 1
@pytest.mark.parametrize('choice', [2, 5, 8])  # kernels 3, 5, 7; expansion 6
def test_block_of_lite(size, place, choice):
    space, spec = MBConvSpace.build('lite0'), specs('lite0')[place]
    block = fill(build_choice(space, spec, choice, norm_of(space)))
    x = torch.randn(2, spec.in_channels, *size)

    def norm(x, bn):
        mean, var = bn.running_mean, bn.running_var
        return F.batch_norm(x, mean, var, bn.weight, bn.bias, eps=1e-3)

    mid = F.relu6(norm(F.conv2d(x, block.conv_pw.weight), block.bn1))
    mid = same(mid, block.conv_dw.weight, spec.stride, 6 * spec.in_channels)
    expected = norm(F.conv2d(F.relu6(norm(mid, block.bn2)), block.conv_pwl.weight), block.bn3)
    torch.testing.assert_close(block(x), expected + x if place else expected)
    assert (block.padding == 'same') == (place == 0)  # elsewhere both are the same


@pytest.mark.parametrize('size', [(8, 8), (7, 7), (1, 2)])
def test_an_identity_is_padded_by_nobody(size):
    space = MBConvSpace.build(dict(preset='lite0', choices=('identity', (3, 6))))
    block = fill(build_choice(space, next(space.layers()), 0, norm_of(space)))
    x = torch.randn(2, 16, *size)
    torch.testing.assert_close(block.conv(x), same(x, block.conv.weight, 2))


def test_who_says_the_eps_of_a_norm():
    lite, cream = MBConvSpace.build('lite0'), MBConvSpace()
    assert norm_of(cream) == dict(type='BN') and norm_of(lite) == dict(type='BN', eps=1e-3)
    asked = dict(type='SyncBN', momentum=0.01)
    assert norm_of(lite, asked) == dict(asked, eps=1e-3) and norm_of(cream, asked) == asked
    assert norm_of(lite, dict(type='BN', eps=1e-5)) == dict(type='BN', eps=1e-5)
    assert asked == dict(type='SyncBN', momentum=0.01)


def test_what_a_head_is_told():
    assert head_settings(MBConvSpace()) == dict(in_channels=320, hidden_channels=1280)
    assert head_settings(MBConvSpace.build('dna')) == dict(in_channels=1280, hidden_channels=0)
    lite = MBConvSpace.build('lite2')
    norm = dict(type='BN', eps=1e-3)
    assert head_settings(lite) == dict(
        in_channels=352, hidden_channels=1280, norm_cfg=norm, act='relu6'
    )
    assert head_settings(lite, 64, dict(type='BN', eps=1e-5))['norm_cfg']['eps'] == 1e-5
    assert head_settings(lite, 0) == dict(in_channels=352, hidden_channels=0)
