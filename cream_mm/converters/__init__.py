"""Pure functions from one checkpoint to another, and their files."""

from .convert_checkpoint import convert_checkpoint
from .to_official import to_official

__all__ = ['convert_checkpoint', 'to_official']
