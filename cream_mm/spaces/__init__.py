"""What may be chosen. No weights here."""

from .blocks import BlockSpace, Cell
from .cell_graph import CellEdge, CellGraph
from .cell_space import CellSpace
from .elastic import ElasticSpace
from .mbconv import IDENTITY, LayerSpec, MBConvSpace, make_divisible, squeeze_channels
from .nao import NAOSpace
from .nas_bench_201 import NASBench201Space
from .presets import SPACE_PRESETS
from .space import Space, build_space, known_spaces

__all__ = [
    'IDENTITY',
    'SPACE_PRESETS',
    'BlockSpace',
    'Cell',
    'CellEdge',
    'CellGraph',
    'CellSpace',
    'ElasticSpace',
    'LayerSpec',
    'MBConvSpace',
    'NAOSpace',
    'NASBench201Space',
    'Space',
    'build_space',
    'known_spaces',
    'make_divisible',
    'squeeze_channels',
]
