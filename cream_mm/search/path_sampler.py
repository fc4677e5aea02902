"""Draws the path that a training step trains."""

from collections.abc import Sequence

import numpy as np

from ..costs import Budget
from ..registry import TASK_UTILS
from ..spaces import Space
from ..structures import Arch
from ..structures.randomness import named_rng


@TASK_UTILS.register_module()
class PathSampler:
    """One path per step within the budget: each layer's choice drawn on its own.

    A path of which a training would change nothing is not drawn (:meth:`Space.is_trainable`).

    Args:
        space (Space): The search space.
        budget (Budget): Bounds every drawn path obeys; those of the answer.
        within_budget (bool): False trains paths outside of it, too: the answer obeys it all the
            same. Defaults to True.
        seed (int): Seed of the draws.
        op_prob (Sequence[float], optional): Probability of each choice, in a space with as many
            at every position. Uniform if None.
        max_draws (int): Independent draws before one is repaired. Defaults to 100.

    Raises:
        ValueError: If ``op_prob`` does not fit the space.

    Reference:
        Cream, released sampler. Differs: ``op_prob`` works (in the released code it never had
        an effect), and paths outside the budget are not trained.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        within_budget: bool = True,
        seed: int = 0,
        op_prob: Sequence[float] | None = None,
        max_draws: int = 100,
    ):
        if op_prob is not None:
            op_prob, sizes = np.asarray(op_prob, dtype=float), set(space.sizes)
            if len(sizes) > 1:
                raise ValueError(
                    f'op_prob weighs the same choices at every position; {space.name!r} has '
                    f'{min(sizes)} to {max(sizes)} of them. Leave it out'
                )
            if len(op_prob) not in sizes or (op_prob < 0).any() or op_prob.sum() <= 0:
                raise ValueError(
                    f'op_prob needs {sizes.pop()} weights >= 0, one per choice; got '
                    f'{op_prob.tolist()}'
                )
            op_prob = op_prob / op_prob.sum()
        self.space = space
        self.budget = budget if within_budget else Budget(budget.cost_model)
        self.seed = seed
        self.op_prob = op_prob
        self.max_draws = max_draws

    def sample(self, step: int) -> Arch:
        """The path of one step, a pure function of (seed, step).

        Raises:
            ValueError: If no path within the budget could be found.
        """
        rng = named_rng('path', self.seed, step)
        for _ in range(self.max_draws):
            arch = self._draw(rng)
            if self.budget.is_feasible(arch) and self.space.is_trainable(arch):
                return arch
        return self.repair(arch, rng)

    def state_dict(self) -> dict:
        """What the draws depend on besides seed and step, as plain JSON values: nothing here."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Go on with a saved state.

        Raises:
            ValueError: If there is something in it, so that it is another sampler's.
        """
        if state:
            raise ValueError(f'{type(self).__name__} has no state; got {sorted(state)}')

    def _draw(self, rng: np.random.Generator) -> Arch:
        prior = () if self.op_prob is None else (self.op_prob,)
        return self.space.sample(rng, *prior)

    def repair(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """Walk into the budget by changes of one or a few layers that do not lead away.

        Needed for tight ranges, which independent draws hardly ever meet. A walk that does not
        arrive begins anew from another draw.

        Raises:
            ValueError: If no path within the budget could be found.
        """
        closest, least = arch, self.budget.violation(arch)
        for _ in range(20):
            violation = self.budget.violation(arch)
            for _ in range(20 * len(self.space.sizes)):
                other = arch
                for _ in range(rng.geometric(0.5)):
                    other = self.space.mutate(other, rng)
                other_violation = self.budget.violation(other)
                if other_violation <= violation:
                    arch, violation = other, other_violation
                    if violation == 0.0 and self.space.is_trainable(arch):
                        return arch
                    if violation < least:
                        closest, least = arch, violation
            arch = self.space.sample(rng)
        raise ValueError(
            f'found no path with {self.budget}; the closest costs '
            f'{self.budget.cost_model.cost(closest).in_units()}. Widen the budget'
        )
