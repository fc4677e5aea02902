"""A detector of mmdet with one stage as one graph: pixels in, boxes out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
import torch.nn.functional as F

from .detector_heads import HEADS, Candidates, check_head
from .nms_graph import best_boxes

if TYPE_CHECKING:
    from mmdet.models import SingleStageDetector

OUTPUTS = {
    'boxes': 'x1 y1 x2 y2 in pixels of the input; (N, K, 4)',
    'scores': '0 to 1, falling; 0 where a row has no box; (N, K)',
    'labels': 'index into classes; -1 where a row has no box; (N, K)',
}
_NMS_KEYS = ('type', 'iou_threshold', 'iou_thr', 'class_agnostic', 'split_thr')


def graph_of(
    model: SingleStageDetector, *, dynamic_size: bool = False
) -> tuple[nn.Module, tuple[str, ...]]:
    """A detector as a module that takes images and gives rows of boxes.

    It takes (N, 3, H, W), float32, RGB from 0 to 255, and gives boxes (N, K, 4) in pixels of that
    image, scores (N, K), falling, and labels (N, K), with K the ``max_per_img`` of the model's
    ``test_cfg``. Mean, deviation and the padding to a multiple of ``pad_size_divisor`` are in it,
    decoding, thresholds and the suppression of boxes too, all as ``model.predict`` does it.

    Args:
        model (SingleStageDetector): RetinaNet, FCOS or RTMDet, in eval mode.
        dynamic_size (bool): Whether a trace leaves height and width open. Defaults to False.

    Returns:
        tuple: The module, and the names of what it gives.

    Raises:
        ValueError: If the detector, its head or its ``test_cfg`` is none of those that work.
    """
    return _Graph(model, fixed_size=not dynamic_size).eval(), tuple(OUTPUTS)


class _Graph(nn.Module):
    """What :func:`graph_of` gives."""

    def __init__(self, model, *, fixed_size):
        super().__init__()
        check_detector(model)
        self.suppression = _suppression(model.bbox_head)
        self.model, self.fixed_size = model, fixed_size
        self.candidates = Candidates(model.bbox_head, fixed_size=fixed_size)
        pre = model.data_preprocessor
        self.normalises = pre._enable_normalize
        # Images are read as BGR, so that a preprocessor that swaps gives the model RGB.
        self.takes_bgr = not pre._channel_conversion
        self.pad_value, self.divisor = float(pre.pad_value), pre.pad_size_divisor
        if not fixed_size:
            self.divisor = _open_divisor(model, self.divisor)

    def forward(self, image):
        height, width = image.shape[-2:]
        if self.fixed_size:
            height, width = int(height), int(width)
            corner = image.new_tensor([width, height, width, height])
        else:
            corner = torch.onnx.operators.shape_as_tensor(image)[[3, 2, 3, 2]].to(image)
        if self.takes_bgr:
            image = image[:, [2, 1, 0]]
        if self.normalises:
            image = (image - self.model.data_preprocessor.mean) / self.model.data_preprocessor.std
        sides = (0, -width % self.divisor, 0, -height % self.divisor)
        image = F.pad(image, sides, value=self.pad_value)
        maps = self.model.bbox_head(self.model.extract_feat(image))
        return best_boxes(*self.candidates(maps, corner), **self.suppression)


def check_detector(model: nn.Module) -> None:
    """Refuse a detector that predicts in another way than those that work here.

    Raises:
        ValueError: If it has more than one stage, a ``predict`` or preprocessor of its own, or a
            head that :func:`check_head` refuses.
    """
    from mmdet.models import DetDataPreprocessor, SingleStageDetector

    name = type(model).__name__
    if not isinstance(model, SingleStageDetector) or (
        type(model).predict is not SingleStageDetector.predict
    ):
        raise ValueError(
            f'{name} does not become ONNX; detectors that do are RetinaNet, FCOS and RTMDet, with '
            f'the heads {", ".join(HEADS)}'
        )
    check_head(model.bbox_head)
    if type(model.data_preprocessor) is not DetDataPreprocessor:
        raise ValueError(
            f'{name} with {type(model.data_preprocessor).__name__} does not become ONNX; the '
            'data_preprocessor that does is DetDataPreprocessor'
        )


def _suppression(head) -> dict:
    """Arguments of :func:`best_boxes`, of a head's ``test_cfg``."""
    cfg, nms = head.test_cfg, dict(head.test_cfg.get('nms') or {})
    kind, other = nms.get('type', 'nms'), sorted(set(nms) - set(_NMS_KEYS))
    if not nms or kind != 'nms' or other:
        what = f'nms=dict({other[0]}=...)' if other else f'nms of type {kind}' if nms else 'no nms'
        raise ValueError(
            f'test_cfg with {what} does not become ONNX; what does is '
            "test_cfg.nms=dict(type='nms', iou_threshold=...), with class_agnostic where wanted"
        )
    return dict(
        num_classes=head.num_classes,
        iou_threshold=float(nms.get('iou_threshold', nms.get('iou_thr'))),
        max_per_image=int(cfg['max_per_img']),
        class_agnostic=bool(nms.get('class_agnostic', False)),
    )


@torch.no_grad()
def _open_divisor(model, divisor: int) -> int:
    """Of what images of any size have to be padded to a multiple, at least ``divisor``.

    Some necks need more than the preprocessor says: they double maps and add them up.
    """
    weight = next(model.parameters())
    for multiple in (divisor, math.lcm(divisor, 32), math.lcm(divisor, 64)):
        try:
            model.extract_feat(weight.new_zeros(1, 3, 64 + multiple, 64 + multiple))
        except RuntimeError:
            continue
        return multiple
    raise ValueError(
        f'{type(model).__name__} does not take images of any size; leave --dynamic-size away'
    )
