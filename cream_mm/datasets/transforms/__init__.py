from typing import Any

from ...registry import TRANSFORMS
from .load_image import LoadImage, LoadImageFromFile
from .random_resized_crop import RandomResizedCrop

__all__ = ['LoadImage', 'LoadImageFromFile', 'RandomResizedCrop']


@TRANSFORMS.register_module(name='DetRandomCrop')
def _det_random_crop(*args: Any, **kwargs: Any) -> Any:
    from .det_random_crop import DetRandomCrop  # here: classifiers need no mmdet

    return DetRandomCrop(*args, **kwargs)
