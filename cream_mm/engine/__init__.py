"""Where search and models meet: loops, hooks, optimizers, schedules."""

from .hooks import BoardHook, CheckpointHook, MetaMatchingHook, SeedHook
from .loops import BoardRatingLoop, SupernetTrainLoop, SupernetValLoop
from .optimizers import RMSpropTF
from .runner import Runner
from .schedulers import WarmupCosineLR, WarmupStepLR
from .trained_search import open_search

__all__ = [
    'BoardHook',
    'BoardRatingLoop',
    'CheckpointHook',
    'MetaMatchingHook',
    'RMSpropTF',
    'Runner',
    'SeedHook',
    'SupernetTrainLoop',
    'SupernetValLoop',
    'WarmupCosineLR',
    'WarmupStepLR',
    'open_search',
]
