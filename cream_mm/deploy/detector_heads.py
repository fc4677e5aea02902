"""What heads of mmdet with one stage say of an image, as candidates for non-maximum suppression.

The operations of ``BaseDenseHead.predict_by_feat``, for a whole batch at once and with nothing that
a trace would write down as a constant of the traced image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
from torch import Tensor

if TYPE_CHECKING:
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

HEADS = ('RetinaHead', 'RetinaSepBNHead', 'FCOSHead', 'RTMDetHead', 'RTMDetSepBNHead')
_PREDICTING = ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')
_CODERS = ('DeltaXYWHBBoxCoder', 'DistancePointBBoxCoder')


def check_head(head: nn.Module) -> None:
    """Refuse a head that predicts in another way than those that work here.

    Raises:
        ValueError: If it is none of :data:`HEADS` (nor of a class of the user's that leaves their
            prediction as it is), or its boxes are coded in another way.
    """
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    kinds = [cls.__name__ for cls in type(head).__mro__ if cls.__module__.startswith('mmdet.')]
    plain = isinstance(head, BaseDenseHead) and all(
        getattr(type(head), name) is getattr(BaseDenseHead, name) for name in _PREDICTING
    )
    if not plain or not set(kinds) & set(HEADS):
        raise ValueError(
            f'{type(head).__name__} does not become ONNX; the heads that do are {", ".join(HEADS)}'
        )
    coder = type(head.bbox_coder).__name__
    if coder not in _CODERS:
        raise ValueError(
            f'bbox_coder={coder} does not become ONNX; those that do are {", ".join(_CODERS)}'
        )
    if getattr(head.loss_cls, 'custom_cls_channels', False):
        raise ValueError(
            f'loss_cls={type(head.loss_cls).__name__} has scores of its own, which do not become '
            'ONNX; use a loss with sigmoid or softmax'
        )


class Candidates(nn.Module):
    """Raw outputs of a head -> boxes, scores and labels of its candidates.

    Of each level the best (prior, class) pairs whose score is above ``score_thr``, at most
    ``nms_pre`` of them or as many as there are. All is computed in float32.

    Args:
        head (BaseDenseHead): One that :func:`check_head` accepts, with its ``test_cfg``.
        fixed_size (bool): Whether images always have the size of the first one. Sizes of maps are
            then constants of a trace.
    """

    def __init__(self, head: BaseDenseHead, *, fixed_size: bool) -> None:
        super().__init__()
        check_head(head)
        self.fixed_size, cfg, coder = fixed_size, head.test_cfg, head.bbox_coder
        self.priors, self.sigmoid = head.prior_generator, head.use_sigmoid_cls
        self.num_classes, self.channels = head.num_classes, head.cls_out_channels
        self.above, self.most = cfg.get('score_thr', 0), cfg.get('nms_pre', -1)
        self.least_side = cfg.get('min_bbox_size', -1)
        self.clips, self.by_deltas = coder.clip_border, hasattr(coder, 'stds')
        if self.by_deltas:
            self.register_buffer('means', torch.tensor(coder.means, dtype=torch.float32))
            self.register_buffer('stds', torch.tensor(coder.stds, dtype=torch.float32))
            self.centre_clamp = coder.ctr_clamp if coder.add_ctr_clamp else None

    def forward(
        self, maps: Sequence[Sequence[Tensor]], corner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Candidates of all levels, (N, M, 4), (N, M) and (N, M).

        Args:
            maps (Sequence): What the head gives: of each kind (classes, boxes and, of some heads,
                a factor of the scores) a map per level.
            corner (Tensor): (4,), width, height, width, height of the images: boxes are cut there.

        A candidate with score 0 is none.
        """
        levels = [self._level(i, corner, *of_level) for i, of_level in enumerate(zip(*maps))]
        boxes, scores, labels = (torch.cat(parts, dim=1) for parts in zip(*levels))
        return boxes, scores, labels

    def _level(self, level, corner, classes, deltas, factors=None):
        height, width = classes.shape[-2:]
        if self.fixed_size:
            height, width = int(height), int(width)
        priors = self.priors.single_level_grid_priors(
            (height, width), level, dtype=torch.float32, device=classes.device
        )
        scores = classes.float().permute(0, 2, 3, 1)
        if self.sigmoid:
            scores = scores.flatten(1).sigmoid()
        else:  # the last class is the background
            scores = scores.reshape(scores.shape[0], -1, self.channels)
            scores = scores.softmax(dim=-1)[..., :-1].flatten(1)
        # Comparing, not multiplying: a NaN is no candidate either.
        scores = torch.where(scores > self.above, scores, scores.new_zeros(()))
        scores, places = scores.topk(self._limit(scores), dim=1)
        prior = torch.div(places, self.num_classes, rounding_mode='trunc')
        labels = places - prior * self.num_classes
        deltas = deltas.float().permute(0, 2, 3, 1)
        deltas = deltas.reshape(deltas.shape[0], -1, 4)
        deltas = deltas.gather(1, prior[..., None].expand(-1, -1, 4))
        boxes = self._decode(priors[prior], deltas)
        if self.clips:
            boxes = torch.minimum(boxes.clamp(min=0), corner)
        if factors is not None:
            factors = factors.float().permute(0, 2, 3, 1).flatten(1).sigmoid()
            scores = scores * factors.gather(1, prior)
        if self.least_side >= 0:
            large = (boxes[..., 2:] - boxes[..., :2] > self.least_side).all(dim=-1)
            scores = torch.where(large, scores, scores.new_zeros(()))
        return boxes, scores, labels

    def _limit(self, scores):
        """How many pairs of a level are taken, a number of the graph where sizes are open."""
        number = scores.shape[1]
        if self.fixed_size:
            number = int(number)
        if self.most <= 0:
            return number
        if isinstance(number, Tensor):  # in a trace
            return torch.minimum(number, torch.tensor(self.most))
        return min(self.most, number)

    def _decode(self, priors, deltas):
        if not self.by_deltas:  # distances of the sides to a point
            return torch.cat([priors - deltas[..., :2], priors + deltas[..., 2:]], dim=-1)
        deltas = deltas * self.stds + self.means
        sides = priors[..., 2:] - priors[..., :2]
        moved, grown = sides * deltas[..., :2], deltas[..., 2:]
        largest = abs(math.log(16 / 1000))  # mmdet's wh_ratio_clip
        if self.centre_clamp is None:
            grown = grown.clamp(min=-largest, max=largest)
        else:
            moved = moved.clamp(min=-self.centre_clamp, max=self.centre_clamp)
            grown = grown.clamp(max=largest)
        centre = (priors[..., :2] + priors[..., 2:]) * 0.5 + moved
        half = sides * grown.exp() * 0.5
        return torch.cat([centre - half, centre + half], dim=-1)
