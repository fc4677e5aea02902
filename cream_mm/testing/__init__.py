"""Tiny real parts for tests: a space, a search model, a folder of images."""

from .tiny import tiny_cream, tiny_samples, tiny_space, write_image_folder

__all__ = ['tiny_cream', 'tiny_samples', 'tiny_space', 'write_image_folder']
