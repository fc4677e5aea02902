"""What may be chosen. No weights and no torch here."""

from .mbconv import IDENTITY, LayerSpec, MBConvSpace, make_divisible, squeeze_channels
from .presets import SPACE_PRESETS

__all__ = [
    'IDENTITY',
    'SPACE_PRESETS',
    'LayerSpec',
    'MBConvSpace',
    'make_divisible',
    'squeeze_channels',
]
