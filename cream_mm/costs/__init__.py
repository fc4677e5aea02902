"""What an architecture costs. Pure functions of shapes; no torch here."""

from .budget import Budget
from .cost_model import Cost, CostModel
from .depth_layout import DepthLayout, depth_layout

__all__ = ['Budget', 'Cost', 'CostModel', 'DepthLayout', 'depth_layout']
