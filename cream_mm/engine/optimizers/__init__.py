"""Optimizers of the published recipes."""

from timm.optim import RMSpropTF

from ...registry import OPTIMIZERS
from .layer_decay import LayerDecayConstructor
from .merged_groups import MergedGroupsConstructor

OPTIMIZERS.register_module(module=RMSpropTF)

__all__ = ['LayerDecayConstructor', 'MergedGroupsConstructor', 'RMSpropTF']
