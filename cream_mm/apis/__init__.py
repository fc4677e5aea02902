"""What other code calls: a model by name, a trained search, an export, a count."""

from .create_model import create_model, list_models
from .open_search import open_search

__all__ = ['create_model', 'list_models', 'open_search']
