"""How good is a path?"""

from .accuracy_table import AccuracyTable, TableRow, parse_arch
from .arch_evaluator import ArchEvaluator, Rating
from .bn_policy import batch_stats, recalibrated
from .path_log import PATH_LOG, combined, cut_path_log, training_effects, training_effects_until
from .rank_correlation import compare, correlation, regret, top_k_precision
from .rank_report import RankReport

__all__ = [
    'PATH_LOG',
    'AccuracyTable',
    'ArchEvaluator',
    'RankReport',
    'Rating',
    'TableRow',
    'batch_stats',
    'combined',
    'compare',
    'correlation',
    'cut_path_log',
    'parse_arch',
    'recalibrated',
    'regret',
    'top_k_precision',
    'training_effects',
    'training_effects_until',
]
