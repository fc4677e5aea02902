"""How good is a path?"""

from .arch_evaluator import ArchEvaluator, Rating
from .bn_policy import batch_stats, recalibrated

__all__ = ['ArchEvaluator', 'Rating', 'batch_stats', 'recalibrated']
