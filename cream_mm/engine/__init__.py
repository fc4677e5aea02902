"""Where search and models meet: loops, hooks, optimizers."""

from .hooks import BoardHook, MetaMatchingHook
from .loops import BoardRatingLoop, SupernetTrainLoop, SupernetValLoop
from .optimizers import RMSpropTF

__all__ = [
    'BoardHook',
    'BoardRatingLoop',
    'MetaMatchingHook',
    'RMSpropTF',
    'SupernetTrainLoop',
    'SupernetValLoop',
]
