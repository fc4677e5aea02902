"""Parts small enough that a test takes milliseconds, and real all the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from PIL import Image

from ..models.layers import head_settings
from ..models.layers.init import init_cream_weights
from ..registry import MODELS
from ..spaces import ElasticSpace, MBConvSpace


def tiny_space(**kwargs: Any) -> MBConvSpace:
    """Two stages of two layers, two choices, 8 to 24 channels."""
    settings = dict(
        depths=(2, 2), choices=((3, 4), (5, 6)), widths=(16, 24), strides=(2, 1),
        stem_channels=8, stem_stride=1, final_channels=32,
    )  # fmt: skip
    return MBConvSpace.build({**settings, **kwargs})


def tiny_elastic(**kwargs: Any) -> ElasticSpace:
    """Slices of a tiny network of four layers, at two sizes: a few thousand."""
    settings = dict(
        skeleton=tiny_space(), full=[[0], [1, 0], [0, 1], [0]], expansions=(6, 4, 2),
        input_sizes=(8, 6),
    )  # fmt: skip
    return ElasticSpace.build({**settings, **kwargs})


def tiny_cream(num_classes: int = 3, input_size: int = 8, **kwargs: Any) -> BaseModel:
    """A :class:`Cream` around the tiny space's supernet, with a board of 3 x 2 images."""
    space = kwargs.pop('space', tiny_space())
    settings = dict(
        type='cream_mm.Cream',
        input_size=input_size,
        backbone=dict(
            type='cream_mm.CreamSupernet',
            space=space.to_dict(),
            out_indices=(space.num_stages + 1,),
        ),
        head=dict(
            type='cream_mm.CreamClsHead',
            num_classes=num_classes,
            **head_settings(space, 16),
        ),
        board=dict(capacity=3, num_images=2),
        matching=dict(type='cream_mm.MetaMatching'),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build({**settings, **kwargs})
    init_cream_weights(model)
    return model


def tiny_samples(labels: Sequence[int]) -> list:
    """Data samples with these labels."""
    return [DataSample().set_gt_label(int(label)) for label in labels]


def write_image_folder(
    root: str | Path,
    *,
    classes: Sequence[str] = ('ant', 'bee'),
    train: int = 8,
    val: int = 4,
    size: tuple[int, int] = (20, 24),
    seed: int = 0,
) -> Path:
    """Photograph-like JPEGs as ``root/{train,val}/<class>/*.jpg``; classes differ in colour."""
    rng = np.random.default_rng(seed)
    for split, count in (('train', train), ('val', val)):
        for label, name in enumerate(classes):
            folder = Path(root, split, name)
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (*size, 3))
                pixels[..., label % 3] += 120
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{i:03d}.jpg')
    return Path(root)
