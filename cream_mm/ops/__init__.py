"""Operators that are worth code of their own."""

from .allocator import keep_freed_memory
from .functional import depthwise_conv, norm_act, squeeze_excite

__all__ = ['depthwise_conv', 'keep_freed_memory', 'norm_act', 'squeeze_excite']
