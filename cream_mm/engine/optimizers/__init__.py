"""Optimizers of the published recipes."""

from timm.optim import RMSpropTF

from ...registry import OPTIMIZERS

OPTIMIZERS.register_module(module=RMSpropTF)

__all__ = ['RMSpropTF']
