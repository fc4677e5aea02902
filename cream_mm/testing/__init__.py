"""For tests: tiny real parts, and whether two runs are the same."""

from .runs import differences, logged_scalars, run_differences
from .tiny import tiny_cream, tiny_elastic, tiny_samples, tiny_space, write_image_folder
from .toy import ToySpace

__all__ = [
    'ToySpace',
    'differences',
    'logged_scalars',
    'run_differences',
    'tiny_cream',
    'tiny_elastic',
    'tiny_samples',
    'tiny_space',
    'write_image_folder',
]
