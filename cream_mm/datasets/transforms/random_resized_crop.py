"""The training crop of the published recipes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets.transforms import RandomResizedCrop as _RandomResizedCrop

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomResizedCrop(_RandomResizedCrop):
    """mmpretrain's, with the interpolation drawn anew for each image.

    Args:
        scale (int | Sequence[int]): Side, or height and width, of the result in pixels.
        interpolation (Sequence[str]): Drawn from these. Defaults to bilinear and bicubic.
        **kwargs: Further arguments of mmpretrain's transform; the backend defaults to pillow.

    Reference:
        Cream, released code: timm's ``interpolation='random'``.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        interpolation: Sequence[str] = ('bilinear', 'bicubic'),
        backend: str = 'pillow',
        **kwargs: Any,
    ):
        super().__init__(scale, interpolation=interpolation[0], backend=backend, **kwargs)
        self.interpolations = tuple(interpolation)

    def transform(self, results: dict) -> dict:
        self.interpolation = self.interpolations[np.random.randint(len(self.interpolations))]
        return super().transform(results)
