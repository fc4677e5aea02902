"""Checkpoints: reading them safely, and pure functions from one state dict to another."""

from .safe_load import load_checkpoint_file, load_weights
from .supernet_to_backbone import cut_path

__all__ = ['cut_path', 'load_checkpoint_file', 'load_weights']
