"""Networks: supernets, backbones, heads, and what they are made of."""

from .backbones import CreamNet
from .heads import CreamClsHead
from .supernets import CreamSupernet
from .unfit_weights import refuse_unfit

__all__ = [
    'CreamClsHead',
    'CreamNet',
    'CreamSupernet',
    'refuse_unfit',
]
