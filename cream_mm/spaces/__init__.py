"""What may be chosen. No weights here."""

from .blocks import BlockSpace, Cell
from .mbconv import IDENTITY, LayerSpec, MBConvSpace, make_divisible, squeeze_channels
from .presets import SPACE_PRESETS
from .space import Space, build_space

__all__ = [
    'IDENTITY',
    'SPACE_PRESETS',
    'BlockSpace',
    'Cell',
    'LayerSpec',
    'MBConvSpace',
    'Space',
    'build_space',
    'make_divisible',
    'squeeze_channels',
]
