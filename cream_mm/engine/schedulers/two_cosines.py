"""A learning rate for a training in two phases of any lengths."""

import math
from typing import Any

from mmengine.optim.optimizer.base import BaseOptimWrapper
from torch.optim import Optimizer

from ...registry import PARAM_SCHEDULERS
from .closed_form import WarmupLR


def first_epochs(max_epochs: int, share: float) -> int:
    """Epochs of the first of two phases: a share of all, rounded; at least one for each phase.

    0 has no first phase, 1 no second.

    Args:
        max_epochs (int): Of both phases.
        share (float): 0 to 1.

    Raises:
        ValueError: If the share is no such number, or a single epoch is to be two phases.

    >>> first_epochs(16, 0.625), first_epochs(16, 0), first_epochs(3, 0.9), first_epochs(3, 1)
    (10, 0, 2, 3)
    """
    if not 0 <= share <= 1:
        raise ValueError(f'full_share is a share of all epochs, 0 to 1; got {share}')
    if share in (0, 1):
        return max_epochs if share else 0
    if max_epochs < 2:
        raise ValueError(
            f'max_epochs={max_epochs} cannot be two phases: take at least 2, or full_share=0 or '
            '1, which have one'
        )
    return min(max(1, round(share * max_epochs)), max_epochs - 1)


@PARAM_SCHEDULERS.register_module()
class TwoCosinesLR(WarmupLR):
    """A warm-up and half a cosine to ``eta_min``, and then the same once more.

    Of a training that fits the full network first and then its slices: the second phase begins
    where ``ElasticTrainLoop`` lets it begin, so give both the same ``full_share``.

    Args:
        optimizer (Optimizer | BaseOptimWrapper): Its learning rates are set.
        T_max (int): Epochs of both phases.
        full_share (float): Share of them that the first has, see :func:`first_epochs`; with 0
            or 1 there is one phase.
        second (float): The second phase's highest rate, in parts of the first's. Defaults to 1.
        warmup_epochs (float): Of each phase; it hides the beginning of the cosine. Defaults to 0.
        eta_min (float): Learning rate at the end of each phase. Defaults to 0.
        **kwargs: See :class:`WarmupLR`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer | BaseOptimWrapper,
        *,
        T_max: int,
        full_share: float,
        second: float = 1.0,
        eta_min: float = 0.0,
        **kwargs: Any,
    ):
        if eta_min < 0 or not second > 0:
            raise ValueError(f'eta_min >= 0 and second > 0; got {eta_min} and {second}')
        self.first = first_epochs(T_max, full_share)
        self.T_max, self.second, self.eta_min = T_max, second, eta_min
        super().__init__(optimizer, **kwargs)

    def value(self, t: float, base_lr: float) -> float:
        """Learning rate at time ``t``, in epochs since ``begin``."""
        # The number of steps of an epoch need not divide them exactly.
        is_first = t < self.first - 1e-9 or self.first == self.T_max
        start, length = (0, self.first) if is_first else (self.first, self.T_max - self.first)
        top = base_lr if is_first else self.second * base_lr
        since = max(0.0, t - start)
        if since < self.warmup_epochs:
            return self.warmup_lr + since * (top - self.warmup_lr) / self.warmup_epochs
        cosine = math.cos(math.pi * min(since / length, 1.0))
        return self.eta_min + (top - self.eta_min) / 2 * (1 + cosine)
