"""Operators that are worth code of their own."""

from .allocator import keep_freed_memory
from .functional import (
    batch_norm_act,
    depthwise_by,
    depthwise_conv,
    norm_act,
    norm_act_squeeze_excite,
    squeeze_excite,
)
from .ordinary import is_ordinary, is_plain

__all__ = [
    'batch_norm_act',
    'depthwise_by',
    'depthwise_conv',
    'is_ordinary',
    'is_plain',
    'keep_freed_memory',
    'norm_act',
    'norm_act_squeeze_excite',
    'squeeze_excite',
]
