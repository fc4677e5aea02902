"""Which path next? Everything here sees architectures and scores, never the model."""

from .path_sampler import PathSampler
from .prioritized_board import PrioritizedBoard

__all__ = ['PathSampler', 'PrioritizedBoard']
