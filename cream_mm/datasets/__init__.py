"""Image folders, splits of any dataset, and the data of the demo."""

from .dataset_part import DatasetPart
from .image_folder import ImageFolder
from .transforms import LoadImage

__all__ = ['DatasetPart', 'ImageFolder', 'LoadImage']
