"""Ratings of many paths, for supernets whose modules are shared in every way."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.classifiers import ImageClassifier
from torch import nn

from cream_mm.registry import MODELS
from cream_mm.testing import tiny_cream, tiny_space
from cream_mm.testing.contracts import RatingContract
from cream_mm.testing.shared_modules import RepeatingSupernet, SlicedSupernet

NORMALISE = dict(mean=[120.0] * 3, std=[60.0] * 3)


def classifier(backbone, channels, **kwargs):
    """A plain classifier of mmpretrain's."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier', backbone=backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=3, in_channels=channels),
                data_preprocessor=NORMALISE, **kwargs,
            )
        )  # fmt: skip
    return model


def around(backbone, channels):
    """The same around a supernet that is built."""
    model = classifier(dict(type='mmpretrain.VGG', depth=11, num_classes=2), channels)
    model.backbone = backbone
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
    return model


class TestCream(RatingContract):
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        return tiny_cream(data_preprocessor=NORMALISE)


class TestPlainClassifier(RatingContract):
    @pytest.fixture
    def model(self):
        costs = dict(input_size=8, num_classes=3, head_channels=0)
        backbone = dict(type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), costs=costs)
        model = classifier(backbone, 32)
        assert type(model) is ImageClassifier
        return model


class TestChoicesThatShareAModule(RatingContract):
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        return around(SlicedSupernet(), 8)


class TestAModuleThatRepeats(RatingContract):
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        model = around(RepeatingSupernet(), 8)
        layers = model.backbone.path_layers(model.backbone.space.decode([0, 1, 0, 1]))
        assert layers is None  # each of its two blocks stands twice
        return model


class TestNormOutsideTheSupernet(RatingContract):
    """A neck with batch norm is fitted with the path."""

    @pytest.fixture
    def model(self):
        costs = dict(input_size=8, num_classes=3, head_channels=0)
        backbone = dict(type='cream_mm.CreamSupernet', space=tiny_space().to_dict(), costs=costs)
        model = classifier(backbone, 32)
        model.neck = nn.Sequential(Normed(32), model.neck)
        return model


class Normed(nn.Module):
    """Batch norm of the last map."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps):
        return (*maps[:-1], self.norm(maps[-1]))
