"""Search algorithms as classifiers: each owns its loss."""

from .compat import Compat
from .cream import Cream
from .meta_matching import MetaMatching
from .simple_matching import NearestMatching, RandomMatching

__all__ = ['Compat', 'Cream', 'MetaMatching', 'NearestMatching', 'RandomMatching']
