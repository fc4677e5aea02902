"""Operators that are worth code of their own."""

from .functional import depthwise_conv, norm_act, squeeze_excite

__all__ = ['depthwise_conv', 'norm_act', 'squeeze_excite']
