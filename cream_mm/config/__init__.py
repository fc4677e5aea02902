"""Config files: read, overridden, checked, and fitted to the data that they name."""

from .carry import set_values
from .load import load_config

__all__ = ['load_config', 'set_values']
