import pytest
import torch

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


def test_one_class_is_none():
    with pytest.raises(ValueError, match='num_classes >= 2; got 1'):
        CreamClsHead(1)
