"""Strategies: which paths are worth rating next, given the scores so far."""

from .board_pick import BoardPick
from .nsga2 import NSGA2
from .random_search import RandomSearch
from .regularized_evolution import RegularizedEvolution
from .strategy import Scored, Strategy

__all__ = ['NSGA2', 'BoardPick', 'RandomSearch', 'RegularizedEvolution', 'Scored', 'Strategy']
