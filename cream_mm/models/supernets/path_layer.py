"""One layer of a path, as whoever runs many paths layer by layer sees it."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch.nn as nn
from torch import Tensor


class PathLayer(NamedTuple):
    """What a path runs at one depth.

    Two layers with equal keys are the same on equal inputs: what one of them computes, and the
    batch norm statistics it is fitted to, are the other's too. Modules say nothing about that:
    sliced weights make one module of two choices, shared ones put one module at two depths.
    """

    key: Hashable
    run: Callable[[Tensor], Tensor]  # (N, C, H, W) -> (N, C', H', W')
    norms: tuple[nn.Module, ...]  # modules whose batch norm it holds
