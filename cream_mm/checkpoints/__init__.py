"""Checkpoints: written whole, read without trusting them, resumed only where they fit."""

from .load_weights import find_mismatch, load_weights
from .official import from_official, infer_arch
from .safe_load import load_checkpoint_file

__all__ = ['find_mismatch', 'from_official', 'infer_arch', 'load_checkpoint_file', 'load_weights']
