from .board_hook import BoardHook
from .checkpoint_hook import CheckpointHook
from .finite_loss_hook import FiniteLossHook
from .label_range_hook import LabelRangeHook
from .meta_matching_hook import MetaMatchingHook
from .seed_hook import SeedHook

__all__ = [
    'BoardHook',
    'CheckpointHook',
    'FiniteLossHook',
    'LabelRangeHook',
    'MetaMatchingHook',
    'SeedHook',
]
