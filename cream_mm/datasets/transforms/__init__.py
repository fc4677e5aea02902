from .load_image import LoadImage, LoadImageFromFile
from .random_resized_crop import RandomResizedCrop

__all__ = ['LoadImage', 'LoadImageFromFile', 'RandomResizedCrop']
