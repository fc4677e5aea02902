"""The blocks of other spaces than Cream's, against their definition in plain PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.models.layers import SqueezeExcite, build_choice, build_first, build_last
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
        block = fill(build_last(space, NORM))
        x = torch.randn(2, space.stage_channels[-2], 3, 3)
        expected = act(bn(F.conv2d(x, block.conv.weight), block.bn1))
        assert expected.shape[1] == 1280
        torch.testing.assert_close(block(x), expected)
