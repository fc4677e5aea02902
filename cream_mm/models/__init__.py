"""Networks: supernets, backbones, heads, and what they are made of."""

from typing import TYPE_CHECKING, Any

from .backbones import CreamNet, NASBench201Net
from .supernets import BlockSupernet, CreamSupernet, NASBench201Supernet
from .unfit_weights import refuse_unfit

if TYPE_CHECKING:
    from .heads import CreamClsHead

__all__ = [
    'BlockSupernet',
    'CreamClsHead',
    'CreamNet',
    'CreamSupernet',
    'NASBench201Net',
    'NASBench201Supernet',
    'refuse_unfit',
]


def __getattr__(name: str) -> Any:
    if name == 'CreamClsHead':
        from .heads import CreamClsHead  # a backbone alone needs no mmpretrain

        return CreamClsHead
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
