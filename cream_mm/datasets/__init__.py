"""Image folders, tables of labels, COCO-style sets, splits of any set, the data of the demo."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..registry import DATASETS

if TYPE_CHECKING:
    from .dataset_part import DatasetPart
    from .image_folder import ImageFolder
    from .labelled_images import LabelledImages
    from .transforms import LoadImage
    from .unlabelled_images import UnlabelledImages

__all__ = ['DatasetPart', 'ImageFolder', 'LabelledImages', 'LoadImage', 'UnlabelledImages']

# Imported when they are asked for: folders are listed, and digits written, without mmpretrain.
_WHERE = dict(
    DatasetPart='dataset_part',
    ImageFolder='image_folder',
    LabelledImages='labelled_images',
    LoadImage='transforms',
    UnlabelledImages='unlabelled_images',
)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f'.{_WHERE[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


@DATASETS.register_module(name='CocoDataset')
def _coco_dataset(*args: Any, **kwargs: Any) -> Any:
    from .coco_dataset import CocoDataset  # here: a search of classifiers needs no mmdet.datasets

    return CocoDataset(*args, **kwargs)
