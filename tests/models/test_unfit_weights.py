"""A head of another number of classes answers at random unless somebody trains it."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from cream_mm.testing import tiny_space


def classifier(num_classes):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(
                    type='cream_mm.CreamNet',
                    arch=[[0], [0, 1], [1, 0], [0]],
                    space=tiny_space().to_dict(),
                ),
                head=dict(
                    type='cream_mm.CreamClsHead',
                    num_classes=num_classes,
                    in_channels=32,
                    hidden_channels=16,
                ),
            )
        )


def test_a_model_that_was_not_initialised_refuses():
    state = classifier(3).state_dict()
    with pytest.raises(ValueError, match=r'head.classifier.weight is \(3, 16\) in the file and '
                       r'\(5, 16\) in the model \(2 such tensors\)'):  # fmt: skip
        classifier(5).load_state_dict(state, strict=False)
    prefixed = torch.nn.ModuleDict(dict(model=classifier(5)))
    with pytest.raises(ValueError, match='the config that it wrote into its work_dir'):
        prefixed.load_state_dict({f'model.{k}': v for k, v in state.items()}, strict=False)


def test_one_that_was_keeps_its_new_head():
    """As mmengine loads: what fits, and the rest is told by torch."""
    source, model = classifier(3), classifier(5)
    model.init_weights()
    head = model.head.classifier.weight.clone()
    with pytest.raises(RuntimeError, match='size mismatch for head.classifier.weight'):
        model.load_state_dict(source.state_dict())
    assert torch.equal(model.head.classifier.weight, head)
    assert torch.equal(model.backbone.conv_stem.weight, source.backbone.conv_stem.weight)


def test_equal_shapes_load():
    source, model = classifier(3), classifier(3)
    model.load_state_dict(source.state_dict())
    assert torch.equal(model.head.classifier.weight, source.head.classifier.weight)
