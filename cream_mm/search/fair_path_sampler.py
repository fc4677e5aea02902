"""Strict fairness: every choice of every layer is trained equally often."""

import math
from collections.abc import Sequence

import numpy as np

from ..costs import Budget
from ..registry import TASK_UTILS
from ..spaces import Space
from ..structures import Arch
from ..structures.randomness import named_rng
from .path_sampler import PathSampler


@TASK_UTILS.register_module()
class FairPathSampler(PathSampler):
    """As many steps as there are choices train every choice of every layer exactly once.

    For each such round the choices of each layer are shuffled, on their own. With
    ``optim_wrapper.accumulative_counts`` equal to the number of choices, the optimizer steps once
    a round, on the mean gradient of its paths: no order of training then favours any choice.

    A round in which some path cannot be trained (:meth:`Space.is_trainable`) is shuffled again.

    Where positions differ in their number of choices, a round takes their least common multiple,
    and each choice of a position stands in it equally often.

    Args:
        space (Space): The search space.
        budget (Budget): That of the answer. The rounds leave no room for one: every choice is
            trained, whatever its paths cost.
        within_budget (bool): Has to be False, the default.
        seed (int): Seed of the draws.

    Raises:
        ValueError: If ``within_budget`` is True, or there is an ``op_prob``.

    Reference:
        FairNAS, strict fairness. Differs: each path of a round is trained on a batch of its own,
        so that an image costs what it costs in single-path training.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        within_budget: bool = False,
        seed: int = 0,
        op_prob: Sequence[float] | None = None,
    ):
        super().__init__(space, budget, within_budget=False, seed=seed)
        if within_budget or op_prob is not None:
            raise ValueError(
                'a fair sampler trains every choice equally often, so it obeys neither a budget '
                f'nor op_prob; got within_budget={within_budget}, op_prob={op_prob}. Leave them '
                'out, or use PathSampler. The answer obeys the budget in any case'
            )

    @property
    def round_length(self) -> int:
        """Steps after which every choice of a position was trained equally often."""
        return math.lcm(*self.space.sizes)

    def sample(self, step: int) -> Arch:
        """The path of one step, a pure function of (seed, step)."""
        round_, turn = divmod(step, self.round_length)
        rng = named_rng('fair', self.seed, round_)
        order = np.stack([  # (positions, steps of a round)
            np.tile(np.arange(size), self.round_length // size) for size in self.space.sizes
        ])  # fmt: skip
        for _ in range(self.max_draws):
            archs = [self.space.decode(flat) for flat in rng.permuted(order, axis=1).T]
            if all(map(self.space.is_trainable, archs)):
                break
        return archs[turn]
