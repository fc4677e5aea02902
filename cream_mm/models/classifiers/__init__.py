"""Search algorithms as classifiers: each owns its loss."""

from .cream import Cream
from .meta_matching import MetaMatching

__all__ = ['Cream', 'MetaMatching']
