"""Small detectors with random weights that find some boxes in anything."""

import torch
from mmengine.config import ConfigDict
from torch import nn

STRIDES, CLASSES = (8, 16), 3
TEST_CFG = dict(
    nms_pre=200, min_bbox_size=0, score_thr=0.3, max_per_img=20,
    nms=dict(type='nms', iou_threshold=0.5),
)  # fmt: skip
ANCHORS = dict(
    type='AnchorGenerator', octave_base_scale=2, scales_per_octave=1, ratios=[0.5, 2.0],
    strides=STRIDES,
)  # fmt: skip
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=STRIDES)
DISTANCES = dict(type='DistancePointBBoxCoder')
BN = dict(type='BN')
HEADS = {
    'RetinaHead': dict(
        anchor_generator=ANCHORS, loss_cls=dict(type='FocalLoss', use_sigmoid=True)
    ),
    'RetinaSepBNHead': dict(
        num_ins=2, anchor_generator=ANCHORS, norm_cfg=BN,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True),
    ),
    'FCOSHead': dict(
        strides=STRIDES, norm_on_bbox=True, regress_ranges=((-1, 32), (32, 1e8)), norm_cfg=BN
    ),
    'RTMDetHead': dict(anchor_generator=POINTS, bbox_coder=DISTANCES, norm_cfg=BN),
    'RTMDetSepBNHead': dict(
        anchor_generator=POINTS, bbox_coder=DISTANCES, with_objectness=False, exp_on_reg=False
    ),
}  # fmt: skip


class TwoMaps(nn.Module):
    """Maps of strides 8 and 16."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 9, 8, padding=4), nn.Conv2d(8, 8, 3, 2, padding=1)

    def forward(self, x):
        x = self.first(x).relu()
        return x, self.second(x).relu()


def made_detector(kind, *, neck=None, test_cfg=None, preprocessor=None):
    """A detector with a head of that class, in eval mode."""
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    name = {'R': 'RetinaNet', 'F': 'FCOS'}['F' if kind == 'FCOSHead' else 'R']
    name = 'RTMDet' if kind.startswith('RTM') else name
    preprocessor = dict(
        dict(mean=[120, 110, 100], std=[60, 50, 40], bgr_to_rgb=True, pad_size_divisor=16),
        **(preprocessor or {}),
    )
    cfg = dict(
        type=name, data_preprocessor=dict(type='DetDataPreprocessor', **preprocessor),
        backbone=dict(type='ResNet', depth=18),
        neck=neck or dict(type='FPN', in_channels=[8, 8], out_channels=8, num_outs=2),
        bbox_head=dict(
            type=kind, num_classes=CLASSES, in_channels=8, feat_channels=8, stacked_convs=1,
            **HEADS[kind],
        ),
        test_cfg=dict(TEST_CFG, **(test_cfg or {})),
    )  # fmt: skip
    model = MODELS.build(ConfigDict(cfg))
    model.backbone = TwoMaps()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            inputs = weights[0].numel() if weights.ndim > 1 else 4
            weights.copy_(torch.randn(weights.shape, generator=generator) * (2 / inputs) ** 0.5)
            if name.endswith(('rtm_reg.bias', 'rtm_reg.0.bias', 'rtm_reg.1.bias', 'conv_reg.bias')):
                weights += 2  # boxes, not their opposites
            if 'cls.' in name and weights.ndim > 1 and 'conv.' not in name:
                weights *= 0.5
    model.dataset_meta = dict(classes=('a', 'b', 'c'))
    return model.eval()
