"""Candidates and what is left of them, against mmdet's own prediction of the same maps."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData

pytest.importorskip('mmdet')

from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from cream_mm.deploy.detector_heads import Candidates, check_head
from cream_mm.deploy.nms_graph import best_boxes

SIZE, STRIDES, CLASSES = (40, 56), (8, 16), 3
TEST_CFG = dict(
    nms_pre=60, min_bbox_size=2, score_thr=0.3, max_per_img=25,
    nms=dict(type='nms', iou_threshold=0.5),
)  # fmt: skip
ANCHORS = dict(
    type='AnchorGenerator', octave_base_scale=2, scales_per_octave=2, ratios=[0.5, 2.0],
    strides=STRIDES,
)  # fmt: skip
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=STRIDES)
DISTANCES, SIGMOID = dict(type='DistancePointBBoxCoder'), dict(type='FocalLoss', use_sigmoid=True)
COMMON = dict(num_classes=CLASSES, in_channels=8, feat_channels=8, stacked_convs=1)
HEADS = {
    'RetinaHead': dict(
        anchor_generator=ANCHORS,
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=[0.1, 0, 0, 0.2], target_stds=[0.5, 1, 2, 1]
        ),
    ),
    'RetinaSepBNHead': dict(
        num_ins=2, anchor_generator=ANCHORS, loss_cls=dict(type='CrossEntropyLoss'),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', clip_border=False),
    ),
    'FCOSHead': dict(
        strides=STRIDES, norm_on_bbox=True, centerness_on_reg=True, loss_cls=SIGMOID,
        regress_ranges=((-1, 32), (32, 1e8)), norm_cfg=dict(type='GN', num_groups=2),
    ),
    'RTMDetHead': dict(
        anchor_generator=POINTS, bbox_coder=DISTANCES, norm_cfg=dict(type='BN')
    ),
    'RTMDetSepBNHead': dict(
        anchor_generator=POINTS, bbox_coder=DISTANCES, with_objectness=False, exp_on_reg=False
    ),
}  # fmt: skip


def made(kind, **test_cfg):
    init_default_scope('mmdet')
    cfg = ConfigDict(dict(TEST_CFG, **test_cfg))
    return MODELS.build(dict(COMMON, type=kind, test_cfg=cfg, **copy.deepcopy(HEADS[kind])))


def maps(head, images):
    """As the head would give them: classes, boxes and, of FCOS, centres; a map per level each."""
    generator = torch.Generator().manual_seed(0)
    deltas = hasattr(head.bbox_coder, 'stds')
    priors = head.prior_generator.num_base_priors[0]
    kinds = [priors * head.cls_out_channels, priors * 4] + [1] * hasattr(head, 'conv_centerness')
    found = [
        [
            torch.randn(images, n, SIZE[0] // s, SIZE[1] // s, generator=generator) * 1.5
            for s in STRIDES
        ]
        for n in kinds
    ]
    if not deltas:  # distances in pixels, of which few are below zero
        found[1] = [8 + 4 * x for x in found[1]]
    return found


def expected(head, outs) -> list[InstanceData]:
    meta = dict(img_shape=SIZE, scale_factor=(1.0, 1.0))
    outs = [[x.clone() for x in part] for part in outs]
    return head.predict_by_feat(*outs, batch_img_metas=[meta] * len(outs[0][0]), rescale=True)


def got(head, outs):
    cfg, corner = head.test_cfg, torch.tensor([SIZE[1], SIZE[0]] * 2, dtype=torch.float32)
    candidates = Candidates(head, fixed_size=True)(outs, corner)
    return best_boxes(
        *candidates, num_classes=CLASSES, iou_threshold=cfg.nms.iou_threshold,
        max_per_image=cfg.max_per_img,
    )  # fmt: skip


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('most', [60, 100000])  # the latter is more than there are
def test_rows_are_those_of_mmdet(kind, most):
    head = made(kind, nms_pre=most)
    outs = maps(head, 2)
    boxes, scores, labels = got(head, outs)
    for i, theirs in enumerate(expected(head, outs)):
        n = len(theirs.scores)
        assert 3 < n <= 25
        torch.testing.assert_close(scores[i, :n], theirs.scores)
        torch.testing.assert_close(boxes[i, :n], theirs.bboxes, rtol=1e-5, atol=1e-3)
        assert labels[i, :n].tolist() == theirs.labels.tolist()
        assert not scores[i, n:].any()


def test_a_changed_threshold_changes_both():
    for threshold in (0.2, 0.9, 1.0):
        head = made('RetinaHead', score_thr=threshold)
        outs = maps(head, 1)
        (theirs,) = expected(head, outs)
        assert int((got(head, outs)[1] > 0).sum()) == len(theirs.scores)
    assert len(theirs.scores) == 0


def test_a_score_or_a_box_that_is_no_number_is_no_candidate():
    head = made('RetinaHead')
    outs = maps(head, 1)
    before = got(head, outs)
    # The first class of the first anchor in a corner, and a side of the last anchor in another.
    outs[0][0][0, 0, 0, 0] = float('nan')
    outs[1][0][0, -1, -1, -1] = float('nan')
    boxes, scores, labels = got(head, outs)
    assert torch.isfinite(boxes).all() and torch.isfinite(scores).all()
    assert 0 < int((labels >= 0).sum()) <= int((before[2] >= 0).sum()) + 2


def test_heads_that_do_not_work_are_told_those_that_do():
    init_default_scope('mmdet')
    head = MODELS.build(
        dict(type='YOLOXHead', num_classes=2, in_channels=8, feat_channels=8, strides=STRIDES)
    )
    with pytest.raises(ValueError, match='YOLOXHead does not become ONNX; .*RetinaHead, RetinaSep'):
        check_head(head)
    head = made('FCOSHead')
    assert check_head(head) is None

    class Mine(type(head)):
        def predict_by_feat(self, *args, **kwargs):
            return []

    head.__class__ = Mine
    with pytest.raises(ValueError, match='Mine does not become ONNX'):
        check_head(head)
