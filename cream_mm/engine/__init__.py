"""Where search and models meet: loops, hooks, optimizers, schedules."""

from .hooks import BoardHook, MetaMatchingHook
from .loops import BoardRatingLoop, SupernetTrainLoop, SupernetValLoop
from .optimizers import RMSpropTF
from .schedulers import WarmupCosineLR, WarmupStepLR

__all__ = [
    'BoardHook',
    'BoardRatingLoop',
    'MetaMatchingHook',
    'RMSpropTF',
    'SupernetTrainLoop',
    'SupernetValLoop',
    'WarmupCosineLR',
    'WarmupStepLR',
]
