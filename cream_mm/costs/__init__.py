"""What an architecture costs. Pure functions of shapes; no torch here."""

from .blocks import BlockCosts
from .budget import Budget
from .cells import CellCosts, nas_bench_201_costs
from .cost import BUDGET_KEYS, Cost
from .cost_model import CostModel, CostTable, build_cost_model
from .elastic import ElasticCosts, elastic_costs
from .mbconv import mbconv_costs
from .nao_cells import NAOCosts, nao_costs

__all__ = [
    'BUDGET_KEYS',
    'BlockCosts',
    'Budget',
    'CellCosts',
    'Cost',
    'CostModel',
    'CostTable',
    'ElasticCosts',
    'NAOCosts',
    'build_cost_model',
    'elastic_costs',
    'mbconv_costs',
    'nao_costs',
    'nas_bench_201_costs',
]
