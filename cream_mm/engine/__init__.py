"""Where search and models meet: loops, hooks, optimizers, schedules."""

from .hooks import CheckpointHook, NormStatsHook, SeedHook
from .loops import SearchLoop, SupernetTrainLoop, SupernetValLoop
from .optimizers import RMSpropTF
from .path_data_parallel import PathDataParallel
from .runner import Runner
from .schedulers import (
    CosinePhasesLR,
    TrainLossPlateauLR,
    TwoCosinesLR,
    WarmupCosineLR,
    WarmupStepLR,
)

__all__ = [
    'CheckpointHook',
    'CosinePhasesLR',
    'NormStatsHook',
    'PathDataParallel',
    'RMSpropTF',
    'Runner',
    'SearchLoop',
    'SeedHook',
    'SupernetTrainLoop',
    'SupernetValLoop',
    'TrainLossPlateauLR',
    'TwoCosinesLR',
    'WarmupCosineLR',
    'WarmupStepLR',
]
