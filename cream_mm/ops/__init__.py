"""Operators that are worth code of their own."""

from .allocator import keep_freed_memory
from .functional import depthwise_conv, norm_act, squeeze_excite
from .ordinary import is_ordinary

__all__ = ['depthwise_conv', 'is_ordinary', 'keep_freed_memory', 'norm_act', 'squeeze_excite']
