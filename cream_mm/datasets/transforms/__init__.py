from .load_image import LoadImage
from .random_resized_crop import RandomResizedCrop

__all__ = ['LoadImage', 'RandomResizedCrop']
