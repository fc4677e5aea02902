"""Networks whose weights many architectures share."""

from .block_supernet import BlockSupernet
from .cut_path import cut_path
from .cut_weights import cut_weights
from .elastic_supernet import ElasticSupernet
from .mbconv_supernet import CreamSupernet
from .nao_supernet import NAOSupernet
from .nas_bench_201_supernet import NASBench201Supernet
from .path_layer import PathLayer
from .router import Router, TableRouter
from .supernet import Supernet

__all__ = [
    'BlockSupernet',
    'CreamSupernet',
    'ElasticSupernet',
    'NAOSupernet',
    'NASBench201Supernet',
    'PathLayer',
    'Router',
    'Supernet',
    'TableRouter',
    'cut_path',
    'cut_weights',
]
