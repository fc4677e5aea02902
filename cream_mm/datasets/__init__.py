"""Image folders, and the data of the demo."""

from .image_folder import ImageFolder
from .transforms import LoadImage

__all__ = ['ImageFolder', 'LoadImage']
