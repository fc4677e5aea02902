"""Image folders, COCO-style sets, splits of any dataset, and the data of the demo."""

from typing import Any

from ..registry import DATASETS
from .dataset_part import DatasetPart
from .image_folder import ImageFolder
from .transforms import LoadImage

__all__ = ['DatasetPart', 'ImageFolder', 'LoadImage']


@DATASETS.register_module(name='CocoDataset')
def _coco_dataset(*args: Any, **kwargs: Any) -> Any:
    from .coco_dataset import CocoDataset  # here: a search of classifiers needs no mmdet.datasets

    return CocoDataset(*args, **kwargs)
