"""Networks: supernets, backbones, heads, and what they are made of."""

from typing import TYPE_CHECKING, Any

from .backbones import CreamNet, NAONet, NASBench201Net
from .supernets import (
    BlockSupernet,
    CreamSupernet,
    ElasticSupernet,
    NAOSupernet,
    NASBench201Supernet,
)
from .unfit_weights import refuse_unfit

if TYPE_CHECKING:
    from .classifiers import DistilledClassifier
    from .heads import CreamClsHead, CreamMultiLabelClsHead, NAOClsHead

__all__ = [
    'BlockSupernet',
    'CreamClsHead',
    'CreamMultiLabelClsHead',
    'CreamNet',
    'CreamSupernet',
    'DistilledClassifier',
    'ElasticSupernet',
    'NAOClsHead',
    'NAONet',
    'NAOSupernet',
    'NASBench201Net',
    'NASBench201Supernet',
    'refuse_unfit',
]


def __getattr__(name: str) -> Any:
    if name in ('CreamClsHead', 'CreamMultiLabelClsHead', 'NAOClsHead'):
        from . import heads  # a backbone alone needs no mmpretrain

        return getattr(heads, name)
    if name == 'DistilledClassifier':
        from .classifiers import DistilledClassifier

        return DistilledClassifier
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
