from .board_hook import BoardHook
from .checkpoint_hook import CheckpointHook
from .data_time_hook import DataTimeHook
from .ema_hook import EMAHook
from .finite_loss_hook import FiniteLossHook
from .label_range_hook import LabelRangeHook
from .meta_matching_hook import MetaMatchingHook
from .norm_stats_hook import NormStatsHook
from .path_log_hook import PathLogHook
from .seed_hook import SeedHook

__all__ = [
    'BoardHook',
    'CheckpointHook',
    'DataTimeHook',
    'EMAHook',
    'FiniteLossHook',
    'LabelRangeHook',
    'MetaMatchingHook',
    'NormStatsHook',
    'PathLogHook',
    'SeedHook',
]
