"""CLOSE (ECCV 2022): positions share banks of weights, and the banks in use grow in training."""

from .shared_stage_supernet import SharedStageSupernet
from .split_table import SplitTable
from .split_table_router import SplitTableRouter

__all__ = ['SharedStageSupernet', 'SplitTable', 'SplitTableRouter']
