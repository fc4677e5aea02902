"""Batches of images at another size."""

import torch.nn.functional as F
from torch import Tensor


def resize_images(x: Tensor, size: int) -> Tensor:
    """A batch at another side: bilinear, and antialiased where it shrinks, as data pipelines do.

    (N, C, S, S) -> (N, C, size, size); the batch itself where that is its side.

    Args:
        x (Tensor): (N, C, S, S), floating point.
        size (int): Side in pixels.

    Raises:
        ValueError: If the images are no squares, whose shape a resize to one would change.
    """
    height, width = x.shape[-2:]
    if height != width:
        raise ValueError(
            f'images of {height} x {width} are not resized to a square of {size}: an input size '
            'is the side of square images. Crop them to squares in the pipeline'
        )
    if height == size:
        return x
    return F.interpolate(x, size=(size, size), mode='bilinear', antialias=True)
