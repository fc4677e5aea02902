"""How good is a path?"""

from typing import Any

from ..registry import METRICS
from .accuracy_table import AccuracyTable, TableRow
from .arch_evaluator import ArchEvaluator, Rating
from .proxies import naswot, naswot_images, naswot_scores, num_layers
from .rank_correlation import compare, correlation, regret, top_k_precision
from .rank_report import RankReport
from .veto import best_rated, first_not_vetoed, is_constant, paired_difference, sampling_notes

__all__ = [
    'AccuracyTable',
    'ArchEvaluator',
    'RankReport',
    'Rating',
    'TableRow',
    'best_rated',
    'compare',
    'correlation',
    'first_not_vetoed',
    'naswot',
    'naswot_images',
    'naswot_scores',
    'num_layers',
    'is_constant',
    'paired_difference',
    'regret',
    'sampling_notes',
    'top_k_precision',
]


@METRICS.register_module(name='CocoMetric')
def _coco_metric(*args: Any, **kwargs: Any) -> Any:
    from .coco_metric import CocoMetric  # here: a search of classifiers needs no mmdet.evaluation

    return CocoMetric(*args, **kwargs)
