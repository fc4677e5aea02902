"""What may be chosen. No weights and no torch here."""

from .mbconv import LayerSpec, MBConvSpace, make_divisible

__all__ = ['LayerSpec', 'MBConvSpace', 'make_divisible']
