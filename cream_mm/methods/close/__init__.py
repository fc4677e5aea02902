"""CLOSE (ECCV 2022): positions share banks of weights, and the banks in use grow in training."""

from .curriculum_hook import CurriculumHook
from .gate import GATESRouter
from .glow_bank import inherit
from .shared_stage_supernet import SharedStageSupernet
from .split_table import SplitTable
from .split_table_router import SplitTableRouter

__all__ = [
    'CurriculumHook',
    'GATESRouter',
    'SharedStageSupernet',
    'SplitTable',
    'SplitTableRouter',
    'inherit',
]
