"""Config files: read, overridden, checked, and fitted to the data that they name."""

from .load import load_config

__all__ = ['load_config']
