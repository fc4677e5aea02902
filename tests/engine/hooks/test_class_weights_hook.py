"""Weights of classes, and what they make of the loss."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from cream_mm.engine.hooks.class_weights_hook import ClassWeightsHook, class_weights

LABELS = [0] * 40 + [1] * 9 + [3]  # a class without images, one with a single one


class Labelled(list):
    def get_data_info(self, index):
        return dict(gt_label=self[index])


def head_with(loss):
    head = MODELS.build(dict(type='LinearClsHead', num_classes=4, in_channels=5, loss=loss))
    loader = SimpleNamespace(dataset=Labelled(LABELS))
    model = torch.nn.Module()
    model.head = head
    runner = SimpleNamespace(model=model, train_dataloader=loader, logger=logging.getLogger('w'))
    ClassWeightsHook().before_train(runner)
    return head


def test_each_class_counts_alike():
    weights = class_weights(LABELS, 4)
    assert weights == pytest.approx([50 / 120, 50 / 27, 1, 50 / 3])
    total = {c: LABELS.count(c) * weights[c] for c in (0, 1, 3)}
    assert list(total.values()) == pytest.approx([50 / 3] * 3)


@pytest.mark.parametrize('smooth', [0.0, 0.1])
def test_the_loss_is_weighed(smooth):
    loss = dict(type='CrossEntropyLoss')
    if smooth:
        loss = dict(type='LabelSmoothLoss', label_smooth_val=smooth, mode='original')
    head = head_with(loss)
    torch.manual_seed(0)
    feats, labels = torch.randn(6, 5), torch.tensor([0, 0, 1, 3, 1, 0])
    samples = [DataSample().set_gt_label(label) for label in labels.tolist()]
    found = head.loss((feats,), samples)['loss']
    targets = torch.nn.functional.one_hot(labels, 4) * (1 - smooth) + smooth / 4
    log_p = head((feats,)).log_softmax(1)
    weights = torch.tensor(class_weights(LABELS, 4))
    assert torch.allclose(found, -(targets * weights * log_p).sum(1).mean())


def test_a_loss_without_weights_is_refused():
    with pytest.raises(ValueError, match='AsymmetricLoss takes none.*sampling'):
        head_with(dict(type='AsymmetricLoss'))
