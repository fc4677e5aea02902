"""Cream of the Crop (NeurIPS 2020): the best paths so far teach the path being trained."""

from .board_hook import BoardHook
from .board_pick import BoardPick
from .board_rating_loop import BoardRatingLoop
from .compat import Compat
from .cream import Cream
from .meta_matching import MetaMatching
from .meta_matching_hook import MetaMatchingHook
from .prioritized_board import PrioritizedBoard
from .simple_matching import NearestMatching, RandomMatching

__all__ = [
    'BoardHook',
    'BoardPick',
    'BoardRatingLoop',
    'Compat',
    'Cream',
    'MetaMatching',
    'MetaMatchingHook',
    'NearestMatching',
    'PrioritizedBoard',
    'RandomMatching',
]
