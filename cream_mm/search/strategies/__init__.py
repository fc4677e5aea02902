"""Strategies: which paths are worth rating next, given the scores so far."""

from .combined_effects_search import CombinedEffectsSearch
from .main_effects_search import MainEffectsSearch
from .nsga2 import NSGA2
from .random_search import RandomSearch
from .regularized_evolution import RegularizedEvolution
from .single_changes_search import SingleChangesSearch
from .strategy import Scored, Strategy
from .training_effects_search import TrainingEffectsSearch

__all__ = [
    'CombinedEffectsSearch',
    'NSGA2',
    'MainEffectsSearch',
    'RandomSearch',
    'RegularizedEvolution',
    'Scored',
    'SingleChangesSearch',
    'Strategy',
    'TrainingEffectsSearch',
]
