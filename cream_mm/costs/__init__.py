"""What an architecture costs. Pure functions of shapes; no torch here."""

from .budget import Budget
from .cost import BUDGET_KEYS, Cost
from .cost_model import CostModel, CostTable, build_cost_model
from .mbconv import mbconv_costs

__all__ = [
    'BUDGET_KEYS',
    'Budget',
    'Cost',
    'CostModel',
    'CostTable',
    'build_cost_model',
    'mbconv_costs',
]
