"""The second classifier is there in training alone; golden logits: test_nao_net.py."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from cream_mm.models import CreamClsHead, NAOClsHead
from cream_mm.models.heads.nao_cls_head import AuxiliaryHead
from cream_mm.registry import MODELS

BN = dict(type='BN')
LABELS = [0, 2, 1]
SAMPLES = [DataSample().set_gt_label(label) for label in LABELS]


@pytest.mark.parametrize(('side', 'windows'), [
    (8, [[(0, 5), (3, 8)]] * 2),
    (14, [[(0, 5), (3, 8), (6, 11), (9, 14)]] * 2),  # averaged behind the second convolution
    (7, [[(0, 4), (3, 7)]] * 2),
    (2, [[(0, 1), (1, 2)]] * 2),
])  # fmt: skip
def test_the_second_classifier_by_hand(side, windows):
    head = AuxiliaryHead(4, 3, BN).eval()
    x = torch.randn(2, 4, side, side)
    rows = [
        torch.stack([x.relu()[..., a:b, c:d].mean((2, 3)) for c, d in windows[1]], dim=-1)
        for a, b in windows[0]
    ]
    pooled = torch.stack(rows, dim=-2)
    y = (F.conv2d(pooled, head.conv1.weight) / (1 + 1e-5) ** 0.5).relu()
    y = (F.conv2d(y, head.conv2.weight) / (1 + 1e-5) ** 0.5).relu().mean((2, 3))
    torch.testing.assert_close(head(x), head.classifier(y))


def test_losses_and_predictions():
    head = NAOClsHead(3, 8, 4, aux_weight=0.5)
    feats = torch.randn(3, 4, 8, 8), torch.randn(3, 8, 4, 4)
    losses = head.loss(feats, SAMPLES)
    assert set(losses) == {'loss', 'aux_loss'}
    logits, second = head(feats), head.auxiliary_head(feats[0])
    labels = torch.tensor(LABELS)
    torch.testing.assert_close(losses['loss'], F.cross_entropy(logits, labels))
    torch.testing.assert_close(losses['aux_loss'], 0.5 * F.cross_entropy(second, labels))
    torch.testing.assert_close(logits, head.classifier(feats[1].mean((2, 3))))
    found = head.predict(feats[1:])  # in inference there is one map
    assert [sample.pred_score.shape for sample in found] == [(3,)] * 3


def test_without_the_second_it_is_the_plain_head():
    head, plain = NAOClsHead(3, 8, 0), CreamClsHead(3, 8, None)
    assert list(head.state_dict()) == list(plain.state_dict())
    assert set(head.loss((torch.randn(3, 8, 4, 4),), SAMPLES)) == {'loss'}


@pytest.mark.parametrize('feats', [[(8, 4)], [(8, 4), (8, 4)]])
def test_a_backbone_that_gives_no_map_for_it(feats):
    maps = tuple(torch.randn(3, channels, side, side) for channels, side in feats)
    with pytest.raises(ValueError, match='a map of 4 channels before the last; .*auxiliary=True'):
        NAOClsHead(3, 8, 4).loss(maps, SAMPLES)
    with pytest.raises(ValueError, match='has no hidden layer; got 16'):
        NAOClsHead(3, 8, 4, hidden_channels=16)


def test_weights_begin_as_he_draws_them():
    torch.manual_seed(0)
    head = NAOClsHead(10, 64, 32)
    head.init_weights()
    for name, param in head.named_parameters():
        if param.dim() >= 2:
            deviation = (2 / param[0].numel()) ** 0.5
            assert param.std().item() == pytest.approx(deviation, rel=0.15), name
    assert (head.classifier.bias == 0).all()


def test_in_a_classifier():
    """A plain mmpretrain model: the loss of both in training, one map in inference."""
    DefaultScope.get_instance('nao_head', scope_name='mmpretrain')
    arch = '0 0 1 3 0 3 1 2 1 1 0 0 0 4 1 2 2 3 3 3 0 4 1 0 1 2 0 0 2 3 1 1 0 2 3 4 1 3 2 3'
    backbone = dict(type='cream_mm.NAONet', arch=arch, space=dict(channels=4, num_cells=1))
    net = MODELS.build(backbone)
    aux_channels = net.auxiliary_channels(net.arch, net.space)
    head = dict(
        type='cream_mm.NAOClsHead', num_classes=3, in_channels=net.out_channels[-1],
        aux_channels=aux_channels, dropout=0.4,
    )  # fmt: skip
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(backbone, auxiliary=True, drop_path_rate=0.2),
            head=head,
        )
    )
    model.init_weights()
    x = torch.randn(3, 3, 32, 32)
    losses = model.train()(x, SAMPLES, mode='loss')
    sum(losses.values()).backward()
    assert set(losses) == {'loss', 'aux_loss'}
    assert all(p.grad is not None for p in model.parameters())
    assert len(model.eval()(x, SAMPLES, mode='predict')) == 3
