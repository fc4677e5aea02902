"""Classification head of NAO's networks, with a second classifier in training."""

from typing import Any

import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import norm_act
from ...registry import MODELS
from ..layers import build_norm
from ..layers.nao_ops import init_he_weights
from .cream_cls_head import CreamClsHead

HIDDEN = (128, 768)


class AuxiliaryHead(nn.Module):
    """ReLU, average pool 5x5 with stride 3, conv1x1, BN, ReLU, conv2x2, BN, ReLU, linear.

    Maps of 8 pixels, those of images of 32, have 2 behind the pool and 1 behind the second
    convolution. What is more is averaged; smaller maps are pooled to 2 x 2 instead.

    Shapes:
        input: (N, in_channels, H, W). output: (N, num_classes).
    """

    def __init__(self, in_channels: int, num_classes: int, norm_cfg: dict):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, HIDDEN[0], 1, bias=False)
        self.bn1 = build_norm(norm_cfg, HIDDEN[0])
        self.conv2 = nn.Conv2d(HIDDEN[0], HIDDEN[1], 2, bias=False)
        self.bn2 = build_norm(norm_cfg, HIDDEN[1])
        self.classifier = nn.Linear(HIDDEN[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        large = min(x.shape[2:]) >= 8
        x = F.avg_pool2d(x, 5, 3) if large else F.adaptive_avg_pool2d(x, 2)
        x = norm_act(self.conv1(x), self.bn1, 'relu', source=self.conv1)
        x = norm_act(self.conv2(x), self.bn2, 'relu', source=self.conv2)
        return self.classifier(x.mean((2, 3)))


@MODELS.register_module()
class NAOClsHead(CreamClsHead):
    """Global pool, dropout, linear; in training a second classifier on an earlier map, too.

    The backbone has to give out that map just before its last: ``NAONet(auxiliary=True)``.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the last feature map.
        aux_channels (int): Channels of the map behind the second reduction cell; 0 has no second
            classifier, for inference.
        aux_weight (float): Of its loss. Defaults to 0.4.
        dropout (float): Rate before the linear layer. Defaults to 0.
        norm_cfg (dict, optional): Norm layers of the second classifier. Defaults to
            ``dict(type='BN')``.
        **kwargs: Others of a :class:`CreamClsHead`: ``loss``, ``topk``, ``init_cfg``.

    Shapes:
        input: tuple whose last item is (N, in_channels, H, W) and whose item before, in training,
        is (N, aux_channels, h, w). output: (N, num_classes).

    Reference:
        NAO-V2, released code; keys ``classifier`` and ``auxiliary_head`` are its.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        aux_channels: int,
        aux_weight: float = 0.4,
        dropout: float = 0.0,
        norm_cfg: dict | None = None,
        hidden_channels: int | None = None,
        **kwargs: Any,
    ):
        if hidden_channels:
            raise ValueError(f'a NAOClsHead has no hidden layer; got {hidden_channels} channels')
        super().__init__(num_classes, in_channels, None, dropout, **kwargs)
        self.aux_channels, self.aux_weight = aux_channels, aux_weight
        if aux_channels:
            norm_cfg = norm_cfg or dict(type='BN')
            self.auxiliary_head = AuxiliaryHead(aux_channels, num_classes, norm_cfg)

    def init_weights(self) -> None:
        """He initialisation, normal with the fan-in, then ``init_cfg`` over it."""
        init_he_weights(self)
        nn.init.zeros_(self.classifier.bias)
        if self.aux_channels:
            nn.init.zeros_(self.auxiliary_head.classifier.bias)
        BaseModule.init_weights(self)

    def loss(self, feats: tuple[Tensor, ...], data_samples: list, **kwargs: Any) -> dict:
        """Loss of the classifier, and ``aux_loss`` of the second one with its weight.

        Raises:
            ValueError: If the backbone gives out no map for it.
        """
        losses = super().loss(feats, data_samples, **kwargs)
        if self.aux_channels:
            if len(feats) < 2 or feats[-2].shape[1] != self.aux_channels:
                found = [feat.shape[1] for feat in feats]
                raise ValueError(
                    f'the second classifier takes a map of {self.aux_channels} channels before '
                    f'the last; the backbone gives maps of {found}. Set '
                    'model.backbone.auxiliary=True and model.head.aux_channels to '
                    'NAONet.auxiliary_channels, or model.head.aux_channels=0'
                )
            logits = self.auxiliary_head(feats[-2])
            losses['aux_loss'] = self.aux_weight * self.loss_by_logits(logits, data_samples)
        return losses
