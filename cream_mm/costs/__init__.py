"""What an architecture costs. Pure functions of shapes; no torch here."""

from .budget import Budget
from .cost_model import Cost, CostModel

__all__ = ['Budget', 'Cost', 'CostModel']
