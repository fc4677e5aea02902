import pytest
import torch
import torch.nn.functional as F

from cream_mm.models import CreamClsHead


def test_with_and_without_the_hidden_layer():
    maps = (torch.rand(2, 24, 3, 3),)
    head = CreamClsHead(5, 24, 16)
    assert set(head.state_dict()) == {
        f'{layer}.{kind}' for layer in ('conv_head', 'classifier') for kind in ('weight', 'bias')
    }
    assert head.pre_logits(maps).shape == (2, 16) and head(maps).shape == (2, 5)
    for none in (None, 0):
        head = CreamClsHead(5, 24, none)
        assert set(head.state_dict()) == {'classifier.weight', 'classifier.bias'}
        assert head.hidden_channels == 0
        pooled = maps[0].mean((2, 3))
        torch.testing.assert_close(head.pre_logits(maps), pooled)
        torch.testing.assert_close(head(maps), head.classifier(pooled))


@pytest.mark.parametrize('training', [True, False])
def test_a_norm_before_the_pool(training):
    maps = (torch.randn(2, 24, 3, 5),)
    head = CreamClsHead(5, 24, 16, norm_cfg=dict(type='BN', eps=0.1), act='relu6').train(training)
    torch.nn.init.uniform_(head.bn2.running_mean)
    torch.nn.init.uniform_(head.bn2.weight, 3, 9)
    assert list(head.state_dict()) == [
        'conv_head.weight',
        *(f'bn2.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var')),
        'bn2.num_batches_tracked', 'classifier.weight', 'classifier.bias',
    ]  # fmt: skip
    x = F.conv2d(maps[0], head.conv_head.weight)
    mean, var = head.bn2.running_mean.clone(), head.bn2.running_var.clone()
    x = F.batch_norm(x, mean, var, head.bn2.weight, head.bn2.bias, training, eps=0.1)
    expected = F.relu6(x).mean((2, 3))
    assert expected.max() > 1 and (x > 6).any()
    torch.testing.assert_close(head.pre_logits(maps), expected)
    if not training:
        torch.testing.assert_close(head(maps), head.classifier(expected))
    head.init_weights()
    assert (head.bn2.weight == 1).all() and (head.bn2.bias == 0).all()


def test_a_norm_needs_a_hidden_layer():
    head = CreamClsHead(5, 24, 0, norm_cfg=dict(type='BN'))
    assert set(head.state_dict()) == {'classifier.weight', 'classifier.bias'}


def test_other_activations():
    maps = (torch.randn(2, 24, 3, 3) * 30,)
    head = CreamClsHead(5, 24, 16, act='relu6')
    out = head.pre_logits(maps)
    torch.testing.assert_close(out, F.relu6(head.conv_head(maps[0].mean((2, 3), True)).flatten(1)))
    with pytest.raises(ValueError, match=r"act is one of \('silu', 'relu', 'relu6'\); got 'gelu'"):
        CreamClsHead(5, act='gelu')


def test_one_class_is_none():
    with pytest.raises(ValueError, match='num_classes >= 2; got 1'):
        CreamClsHead(1)
