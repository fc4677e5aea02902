"""How good is a path?"""

from .accuracy_table import AccuracyTable, TableRow, parse_arch
from .arch_evaluator import ArchEvaluator, Rating
from .bn_policy import batch_stats, recalibrated
from .path_log import PATH_LOG, combined, cut_path_log, training_effects, training_effects_until
from .proxies import naswot, naswot_images, naswot_scores, num_layers
from .rank_correlation import compare, correlation, regret, top_k_precision
from .rank_report import RankReport
from .veto import best_rated, first_not_vetoed, paired_difference, sampling_notes

__all__ = [
    'PATH_LOG',
    'AccuracyTable',
    'ArchEvaluator',
    'RankReport',
    'Rating',
    'TableRow',
    'batch_stats',
    'best_rated',
    'combined',
    'compare',
    'correlation',
    'cut_path_log',
    'first_not_vetoed',
    'naswot',
    'naswot_images',
    'naswot_scores',
    'num_layers',
    'paired_difference',
    'parse_arch',
    'recalibrated',
    'regret',
    'sampling_notes',
    'top_k_precision',
    'training_effects',
    'training_effects_until',
]
