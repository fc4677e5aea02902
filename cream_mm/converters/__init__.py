"""Checkpoints: reading them safely, and pure functions from one state dict to another."""

from .convert_checkpoint import convert_checkpoint
from .load_weights import find_misfit, load_weights
from .official import from_official, infer_arch, to_official
from .safe_load import load_checkpoint_file
from .supernet_to_backbone import cut_path

__all__ = [
    'convert_checkpoint',
    'cut_path',
    'find_misfit',
    'from_official',
    'infer_arch',
    'load_checkpoint_file',
    'load_weights',
    'to_official',
]
