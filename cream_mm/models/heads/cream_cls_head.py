"""Classification head of Cream's networks."""

from typing import Any

import torch.nn as nn
from mmpretrain.models.heads import ClsHead
from torch import Tensor

from ...ops import norm_act
from ...registry import MODELS
from ..backbones.pretrained import init_head
from ..layers import build_norm
from ..layers.init import init_cream_weights

ACTIVATIONS = dict(silu=nn.SiLU, relu=nn.ReLU, relu6=nn.ReLU6)


@MODELS.register_module()
class CreamClsHead(ClsHead):
    """Global pool, biased conv1x1 without BN, Swish, dropout, linear; the conv1x1 can be left out.

    With a ``norm_cfg`` it is EfficientNet's: conv1x1 without bias, BN, activation, global pool,
    dropout, linear.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the last feature map. Defaults to 320.
        hidden_channels (int, optional): Channels after the conv1x1. Defaults to 1280; None or 0
            have no conv1x1 and no activation.
        dropout (float): Rate before the linear layer. Defaults to 0.
        loss (dict): Loss of the logits. Defaults to cross entropy.
        topk (tuple[int]): For accuracy while training. Defaults to (1,).
        norm_cfg (dict, optional): Norm layer of the conv1x1, in mmcv's notation, which then stands
            before the pool. Defaults to none, behind it.
        act (str): Activation of the conv1x1: ``'silu'`` (default), ``'relu'`` or ``'relu6'``.

    Shapes:
        input: tuple whose last item is (N, in_channels, H, W). output: (N, num_classes).

    Reference:
        Cream, released code; keys ``conv_head`` and ``classifier`` are its. ``bn2`` is timm's
        EfficientNet's.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 320,
        hidden_channels: int | None = 1280,
        dropout: float = 0.0,
        loss: dict | None = None,
        topk: tuple[int, ...] = (1,),
        norm_cfg: dict | None = None,
        act: str = 'silu',
        init_cfg: dict | None = None,
        **kwargs: Any,
    ):
        if num_classes < 2:
            raise ValueError(f'a classifier needs num_classes >= 2; got {num_classes}')
        if act not in ACTIVATIONS:
            raise ValueError(f'act is one of {tuple(ACTIVATIONS)}; got {act!r}')
        loss = loss or dict(type='mmpretrain.CrossEntropyLoss')
        super().__init__(loss=loss, topk=topk, init_cfg=init_cfg, **kwargs)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels or 0
        self.norm_first = bool(self.hidden_channels and norm_cfg)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        if self.norm_first:
            self.conv_head = nn.Conv2d(in_channels, hidden_channels, 1, bias=False)
            self.bn2 = build_norm(norm_cfg, hidden_channels)
            self.act_name = act
        elif self.hidden_channels:
            self.conv_head = nn.Conv2d(in_channels, hidden_channels, 1)
            self.act = ACTIVATIONS[act](inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_channels or in_channels, num_classes)

    def init_weights(self) -> None:
        """Cream's initialisation, then ``init_cfg`` over it.

        Raises:
            FileNotFoundError, ValueError: If ``init_cfg`` names a file that holds no such head; see
                :func:`load_head`.
        """
        init_head(self, init_cream_weights, super().init_weights)

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """(N, in_channels, H, W) -> (N, hidden_channels), or (N, in_channels) without those."""
        if self.norm_first:
            x = self.conv_head(feats[-1])
            x = norm_act(x, self.bn2, self.act_name, source=self.conv_head)
            return self.global_pool(x).flatten(1)
        pooled = self.global_pool(feats[-1])
        return (self.act(self.conv_head(pooled)) if self.hidden_channels else pooled).flatten(1)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        return self.classifier(self.dropout(self.pre_logits(feats)))

    def loss_by_logits(self, logits: Tensor, data_samples: list) -> Tensor:
        """The task loss, when the caller has computed the logits itself."""
        return self._get_loss(logits, data_samples)['loss']
