"""Which path next? Everything here sees architectures and scores, never the model."""

from .cost_path_sampler import CostPathSampler
from .fair_path_sampler import FairPathSampler
from .main_effects import MainEffects
from .pareto_merge import best_paths, best_sums, pareto_merge
from .path_sampler import PathSampler
from .strategies import (
    NSGA2,
    CombinedEffectsSearch,
    MainEffectsSearch,
    RandomSearch,
    RegularizedEvolution,
    SingleChangesSearch,
    Strategy,
)
from .training_effects import combined, training_effects, training_effects_until

__all__ = [
    'CombinedEffectsSearch',
    'CostPathSampler',
    'FairPathSampler',
    'NSGA2',
    'MainEffects',
    'MainEffectsSearch',
    'PathSampler',
    'RandomSearch',
    'RegularizedEvolution',
    'SingleChangesSearch',
    'Strategy',
    'best_paths',
    'best_sums',
    'combined',
    'pareto_merge',
    'training_effects',
    'training_effects_until',
]
