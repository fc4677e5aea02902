"""Networks and the algorithms that train them."""

from .backbones import CreamNet
from .classifiers import Compat, Cream, MetaMatching, NearestMatching, RandomMatching
from .heads import CreamClsHead
from .supernets import CreamSupernet
from .unfit_weights import refuse_unfit

__all__ = [
    'Compat',
    'Cream',
    'CreamClsHead',
    'CreamNet',
    'CreamSupernet',
    'refuse_unfit',
    'MetaMatching',
    'NearestMatching',
    'RandomMatching',
]
