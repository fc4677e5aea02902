import copy

import pytest
import torch
import torch.nn.functional as F

from cream_mm.models.layers import MBConv
from cream_mm.models.supernets.channel_order import IMPORTANCE, check_rule, sort_block


def block_of(act='relu6', se='cream', out=8):
    torch.manual_seed(0)
    block = MBConv(8, out, 5, 4, 1, dict(type='BN'), act=act, se=se)
    with torch.no_grad():
        for norm in (block.bn1, block.bn2, block.bn3):
            norm.weight.normal_()
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return block.double().eval()


@pytest.mark.parametrize('rule', [rule for rule in IMPORTANCE if rule != 'none'])
@pytest.mark.parametrize('se', ['cream', 'efficientnet', 'none'])
def test_the_most_important_come_first(rule, se):
    block = block_of(se=se)
    x = torch.randn(2, 8, 6, 6).double()
    before, values = block(x), IMPORTANCE[rule](block)
    sort_block(block, rule)
    torch.testing.assert_close(block(x), before, rtol=0, atol=1e-12)
    assert torch.equal(IMPORTANCE[rule](block), values.sort(descending=True).values)
    if se != 'none':
        reduce, expand = block.se.conv_reduce.weight, block.se.conv_expand.weight
        hidden = reduce.abs().sum((1, 2, 3)) * expand.abs().sum((0, 2, 3))
        assert torch.equal(hidden, hidden.sort(descending=True).values)


def test_none_leaves_all_as_it_is():
    block = block_of()
    before = copy.deepcopy(block.state_dict())
    sort_block(block, 'none')
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())


def test_projection_is_the_sum_of_weights_times_the_scale():
    block = block_of()
    expected = [
        sum(abs(float(w)) for w in block.conv_pwl.weight[:, c].flatten())
        * abs(float(block.bn2.weight[c]))
        for c in range(32)
    ]
    assert IMPORTANCE['projection'](block).tolist() == pytest.approx(expected)


@pytest.mark.parametrize('act', ['relu', 'relu6', 'silu'])
def test_variance_is_what_a_normal_input_gives(act):
    block = block_of(act=act)
    normal = torch.special.ndtri((torch.arange(40_001).double() + 0.5) / 40_001)
    hidden = block.bn2.bias[:, None] + block.bn2.weight[:, None] * normal
    hidden = getattr(F, act)(hidden)
    scale = block.bn3.weight / (block.bn3.running_var + block.bn3.eps).sqrt()
    moved = (block.conv_pwl.weight.flatten(1) * scale[:, None]).square().sum(0)
    expected = moved * hidden.var(1, correction=0)
    torch.testing.assert_close(IMPORTANCE['variance'](block), expected, rtol=0.02, atol=1e-4)


def test_a_dead_channel_goes_first():
    block = block_of(act='relu')
    with torch.no_grad():
        block.bn2.bias[3] = -50.0  # far below the threshold
    values = IMPORTANCE['variance'](block)
    assert values[3] == 0 and values.argmin() == 3 and IMPORTANCE['projection'](block)[3] > 0


def test_an_unknown_rule():
    assert check_rule('variance') == 'variance'
    with pytest.raises(ValueError, match="variance, projection, none; got 'size'"):
        check_rule('size')
