"""Ways to pick the teacher that nothing is learned for: the rows of Cream's ablation."""

import torch
import torch.nn as nn
from mmengine.dist import broadcast
from torch import Tensor

from ...registry import MODELS


@MODELS.register_module()
class RandomMatching(nn.Module):
    """Any entry of the board teaches, with equal probability.

    Args:
        num_features (int): Not used.
        rate (float): Weight of distillation against the labels. Defaults to 0.5.

    Shapes:
        input: (K, num_features).

    Reference:
        Cream, ablation of the matching function: random.
    """

    def __init__(self, num_features: int, rate: float = 0.5):
        super().__init__()
        self.rate = rate

    def forward(self, features: Tensor) -> tuple[int, Tensor]:
        """Index of the teacher, and the rate, a scalar."""
        index = self.pick(features)
        broadcast(index)  # the same teacher on every rank
        return int(index), features.new_tensor(self.rate)

    def pick(self, features: Tensor) -> Tensor:
        # The Runner seeds torch by (seed, step), so a resumed run draws the same.
        return torch.randint(len(features), (), device=features.device)


@MODELS.register_module()
class NearestMatching(RandomMatching):
    """The entry teaches whose probabilities on its own images the path differs from least.

    Args and shapes are those of :class:`RandomMatching`.
    """

    def pick(self, features: Tensor) -> Tensor:
        return features.norm(dim=1).argmin()
