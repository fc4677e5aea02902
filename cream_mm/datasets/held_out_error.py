"""How finely the images that are held out of a training can tell networks apart."""

import math

USUAL_ACCURACY = 0.85  # of which the standard error is told; of a share nearer to 0.5 it is larger
MAX_ERROR = 3.0  # points; above it somebody should know
MIN_IMAGES, MIN_BOXES = 50, 150  # that a detector is measured on


def standard_error(num_images: int, accuracy: float = USUAL_ACCURACY) -> float:
    """Standard error of an accuracy that is measured on so many images, in points.

    >>> round(standard_error(372, 0.9), 2)
    1.56
    """
    return 100 * math.sqrt(accuracy * (1 - accuracy) / max(num_images, 1))


def told_apart(num_images: int) -> float:
    """Points by which the usual accuracies of two networks have to differ to be more than chance.

    Of networks that are tested once, with an error of 5 %, as if each had images of its own: on the
    same images both are often wrong together, so that less may be enough.

    >>> round(told_apart(372), 1)
    5.1
    """
    return 1.96 * math.sqrt(2) * standard_error(num_images)


def is_coarse(num_images: int, num_boxes: int | None = None) -> bool:
    """Whether what is measured on these images is too uncertain to go unsaid.

    Args:
        num_images (int): Images.
        num_boxes (int, optional): In all of them, where a detector is measured. Defaults to None:
            a classifier is.
    """
    if num_boxes is not None:
        return num_images < MIN_IMAGES or num_boxes < MIN_BOXES
    return standard_error(num_images) > MAX_ERROR
