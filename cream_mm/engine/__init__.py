"""Where search and models meet: loops, hooks, optimizers, schedules."""

from .hooks import BoardHook, CheckpointHook, MetaMatchingHook, NormStatsHook, SeedHook
from .loops import BoardRatingLoop, SupernetTrainLoop, SupernetValLoop
from .optimizers import RMSpropTF
from .path_data_parallel import PathDataParallel
from .runner import Runner
from .schedulers import WarmupCosineLR, WarmupStepLR

__all__ = [
    'BoardHook',
    'BoardRatingLoop',
    'CheckpointHook',
    'MetaMatchingHook',
    'NormStatsHook',
    'PathDataParallel',
    'RMSpropTF',
    'Runner',
    'SeedHook',
    'SupernetTrainLoop',
    'SupernetValLoop',
    'WarmupCosineLR',
    'WarmupStepLR',
]
