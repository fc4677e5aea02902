"""Pure functions from one state dict to another."""

from .supernet_to_backbone import cut_path

__all__ = ['cut_path']
