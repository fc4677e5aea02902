"""A classifier as one graph: pixels in, probabilities or maps out."""

import copy
from collections.abc import Sequence
from typing import Any

import torch.nn as nn
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from ..models.backbones.fixed_network import FixedNetwork

PROBABILITIES = 'probabilities'


def graph_of(model: BaseModel, *, maps: bool = False) -> tuple[nn.Module, tuple[str, ...]]:
    """A classifier, or the backbone of any model, as a module that takes images.

    It takes (N, 3, H, W), float32, RGB from 0 to 255. Mean, deviation and the order of the channels
    are those of the model's data preprocessor and in it; softmax too, or the sigmoid of a
    classifier for several labels.

    Args:
        model (BaseModel): Of :func:`cream_mm.apis.predict.open_model`.
        maps (bool): Give the maps of the backbone: of ours those that a detector takes, of others
            those that it is set to. Defaults to False.

    Returns:
        tuple: The module, and the names of what it gives: ``probabilities`` (N, classes), or
        ``map_0``, ``map_1``, ... each (N, C, h, w), the largest first.

    Raises:
        ValueError: If the model is none of those that this can be said of.
    """
    prepare = Normalise(model.data_preprocessor)
    if maps:
        backbone = backbone_of(model)
        names = tuple(f'map_{i}' for i in range(_count_maps(backbone)))
        return _Maps(prepare, backbone).eval(), names
    return _Probabilities(prepare, model).eval(), (PROBABILITIES,)


class Normalise(nn.Module):
    """What a data preprocessor does to pixels, for images in RGB.

    (N, 3, H, W) -> the same, or padded on the right and below to multiples of its
    ``pad_size_divisor``.

    Args:
        preprocessor (BaseDataPreprocessor): mmpretrain's, mmengine's or mmdet's.

    Attributes:
        bgr (bool): Whether the model takes blue first.

    Raises:
        ValueError: If it is of another kind, or for images of one channel.
    """

    def __init__(self, preprocessor: nn.Module):
        super().__init__()
        # mmpretrain's and mmengine's words for the same. Pipelines load BGR.
        swaps = getattr(preprocessor, 'to_rgb', getattr(preprocessor, '_channel_conversion', None))
        normalises = getattr(preprocessor, '_enable_normalize', None)
        if swaps is None or normalises is None:
            raise ValueError(
                f'{type(preprocessor).__name__} does not become ONNX: the data_preprocessor is '
                'ClsDataPreprocessor, ImgDataPreprocessor or DetDataPreprocessor'
            )
        self.bgr = not swaps
        self.divisor, self.value = preprocessor.pad_size_divisor, float(preprocessor.pad_value)
        self.mean = self.std = None
        if normalises:
            self.mean, self.std = preprocessor.mean.clone(), preprocessor.std.clone()
            if self.mean.numel() != 3:
                raise ValueError('only models that take three channels become ONNX')

    def forward(self, image: Tensor) -> Tensor:
        if self.bgr:
            image = image[:, [2, 1, 0]]
        if self.mean is not None:
            image = (image - self.mean) / self.std
        if self.divisor > 1:
            height, width = image.shape[-2:]
            zeros = (0, -width % self.divisor, 0, -height % self.divisor)
            image = F.pad(image, zeros, value=self.value)
        return image

    def in_words(self) -> dict[str, Any]:
        """Mean and deviation of R, G and B, as the metadata have them."""
        if self.mean is None:
            mean, std = [0.0] * 3, [1.0] * 3
        else:
            mean, std = self.mean.flatten().tolist(), self.std.flatten().tolist()
        if self.bgr:
            mean, std = mean[::-1], std[::-1]
        return dict(in_graph=True, mean=mean, std=std)

    def colour(self, value: float) -> list[float]:
        """(R, G, B) of pixels that have this value behind the normalisation, as padding has."""
        words = self.in_words()
        return [m + value * s for m, s in zip(words['mean'], words['std'], strict=True)]


def is_multi_label(model: BaseModel) -> bool:
    """Whether a classifier says of each label whether it is there."""
    from mmpretrain.models.heads import MultiLabelClsHead

    return isinstance(getattr(model, 'head', None), MultiLabelClsHead)


class _Probabilities(nn.Module):
    def __init__(self, prepare: Normalise, model: BaseModel):
        super().__init__()
        from mmpretrain.models import ImageClassifier
        from mmpretrain.models.heads import ClsHead

        several = is_multi_label(model)
        if not isinstance(model, ImageClassifier) or not (
            several or isinstance(model.head, ClsHead)
        ):
            head = type(getattr(model, 'head', None)).__name__
            raise ValueError(
                f'{type(model).__name__} with {head} does not become ONNX: a classifier that does '
                "is mmpretrain's ImageClassifier with a head that is a ClsHead or a "
                'MultiLabelClsHead; --maps takes the backbone of any model'
            )
        self.prepare, self.model, self.several = prepare, model, several

    def forward(self, image: Tensor) -> Tensor:
        logits = self.model.head(self.model.extract_feat(self.prepare(image)))
        return logits.sigmoid() if self.several else logits.softmax(dim=1)


class _Maps(nn.Module):
    def __init__(self, prepare: Normalise, backbone: nn.Module):
        super().__init__()
        self.prepare, self.backbone = prepare, backbone

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.backbone(self.prepare(image))
        return (maps,) if isinstance(maps, Tensor) else tuple(maps)


def backbone_of(model: BaseModel) -> nn.Module:
    """The backbone that gives the maps; of ours a copy that gives those that a detector takes."""
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise ValueError(f'{type(model).__name__} has no backbone, and so no maps')
    if isinstance(backbone, FixedNetwork) and hasattr(model, 'head'):
        backbone = copy.deepcopy(backbone)
        backbone.out_indices = tuple(backbone.feature_indices(backbone.arch, backbone.space))
    return backbone


def _count_maps(backbone: nn.Module) -> int:
    indices: Sequence[int] | int = getattr(backbone, 'out_indices', (0,))
    return len(indices) if isinstance(indices, (list, tuple)) else 1
