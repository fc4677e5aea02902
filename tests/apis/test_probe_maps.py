"""Widths and strides of what backbones and necks return, against what their papers say."""

import pytest
import torch
from torch import nn

from cream_mm.apis.probe_maps import (
    Maps,
    backbone_maps,
    build_module,
    neck_shapes,
    without_extras,
    without_weights,
)

RESNET = dict(
    type='ResNet', depth=18, dcn=dict(type='DCNv2'), stage_with_dcn=(False, True, True, True),
    init_cfg=dict(type='Pretrained', checkpoint='https://nowhere/x.pth'), pretrained=None,
)  # fmt: skip


def test_a_resnet_without_what_is_not_there():
    """Deformable convolutions need a compiled operator; the maps are the same without."""
    state = torch.random.get_rng_state()
    module = build_module(without_extras(RESNET), 'mmdet')
    assert backbone_maps(module) == Maps((64, 128, 256, 512), (4, 8, 16, 32))
    assert torch.equal(torch.random.get_rng_state(), state) and not module.training
    assert 'dcn' in RESNET and without_extras(dict(pretrained=True)) == dict(pretrained=False)


def test_what_is_no_tuple_of_maps():
    class Returns(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, x):
            return self.value

    for value in (dict(a=torch.zeros(1, 3, 8, 8)), (), (torch.zeros(1, 3),)):
        with pytest.raises(ValueError, match=f'it returns {type(value).__name__}'):
            backbone_maps(Returns(value))
    with pytest.raises(ValueError, match=r'of 256 x 256 pixels it makes a map of \(19, 19\)'):
        backbone_maps(Returns((torch.zeros(1, 3, 19, 19),)))


def test_necks_one_after_the_other():
    fpn = dict(type='FPN', in_channels=[4, 8], out_channels=16, num_outs=3)
    bfp = dict(type='BFP', in_channels=16, num_levels=3, refine_level=1)
    shapes = [(16, 32, 32), (16, 16, 16), (16, 8, 8)]
    assert neck_shapes([fpn, bfp], Maps((4, 8), (8, 16)), 'mmdet') == shapes


def test_a_neck_that_needs_larger_images():
    """SSD's last layers have no padding: of 256 pixels nothing is left for the last one."""
    ssd = dict(
        type='SSDNeck', in_channels=(4, 8), out_channels=(4, 8, 8, 8, 8, 8), l2_norm_scale=20,
        level_strides=(2, 2, 1, 1), level_paddings=(1, 1, 0, 0),
    )  # fmt: skip
    shapes = neck_shapes([ssd], Maps((4, 8), (8, 16)), 'mmdet')
    assert [shape[1] for shape in shapes] == [64, 32, 16, 8, 6, 4]
    with pytest.raises(RuntimeError):
        neck_shapes([ssd], Maps((4, 9), (8, 16)), 'mmdet')


def test_a_model_that_loads_no_weights_anywhere():
    model = dict(
        teacher=dict(backbone=dict(type='A', init_cfg=dict(type='Pretrained', checkpoint='x'))),
        necks=[dict(pretrained='x.pth'), dict(pretrained=True, init_cfg=dict(type='Kaiming'))],
        parts=(dict(init_cfg=[dict(type='Kaiming'), dict(type='PretrainedInit')]), 3),
    )
    before = repr(model)
    assert without_weights(model) == dict(
        teacher=dict(backbone=dict(type='A')),
        necks=[dict(pretrained=None), dict(pretrained=False, init_cfg=dict(type='Kaiming'))],
        parts=({}, 3),
    )
    assert repr(model) == before
