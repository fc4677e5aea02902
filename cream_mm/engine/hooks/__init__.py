from .checkpoint_hook import CheckpointHook
from .class_weights_hook import ClassWeightsHook
from .data_time_hook import DataTimeHook
from .drop_path_hook import DropPathHook
from .early_stopping_hook import EarlyStoppingHook
from .ema_hook import EMAHook
from .errors_hook import ErrorsHook
from .finite_loss_hook import FiniteLossHook
from .fold_hook import FoldHook
from .label_range_hook import LabelRangeHook
from .loop_state_hook import LoopStateHook
from .norm_stats_hook import NormStatsHook
from .part_costs_hook import PartCostsHook
from .path_log_hook import PathLogHook
from .seed_hook import SeedHook
from .small_batch_norm_hook import SmallBatchNormHook
from .summary_hook import SummaryHook
from .train_loss_hook import TrainLossHook

__all__ = [
    'CheckpointHook',
    'ClassWeightsHook',
    'DataTimeHook',
    'DropPathHook',
    'EMAHook',
    'EarlyStoppingHook',
    'ErrorsHook',
    'FiniteLossHook',
    'FoldHook',
    'LabelRangeHook',
    'LoopStateHook',
    'NormStatsHook',
    'PartCostsHook',
    'PathLogHook',
    'SeedHook',
    'SmallBatchNormHook',
    'SummaryHook',
    'TrainLossHook',
]
