"""Which path next? Everything here sees architectures and scores, never the model."""

from .fair_path_sampler import FairPathSampler
from .path_sampler import PathSampler
from .prioritized_board import PrioritizedBoard
from .strategies import NSGA2, BoardPick, RandomSearch, RegularizedEvolution, Strategy

__all__ = [
    'FairPathSampler',
    'NSGA2',
    'BoardPick',
    'PathSampler',
    'PrioritizedBoard',
    'RandomSearch',
    'RegularizedEvolution',
    'Strategy',
]
