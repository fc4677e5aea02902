"""Draws paths from a pool, large networks more often."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...costs import Budget
from ...costs.cost import BUDGET_KEYS
from ...registry import TASK_UTILS
from ...search import PathSampler
from ...spaces import Space
from ...structures import Arch
from ...structures.randomness import named_rng


@TASK_UTILS.register_module()
class SizeProportionalSampler(PathSampler):
    """Draws from a fixed pool of paths, each in proportion to the size of its network.

    A network with more weights needs more steps until its rating says how good it is; drawn
    uniformly, large networks would be rated too low.

    The pool is drawn at the start, a function of the seed, and is in every checkpoint;
    :meth:`set_pool` changes it between the phases of a search.

    Args:
        space (Space): The search space.
        budget (Budget): Bounds that every path of the pool obeys.
        pool_size (int): Paths to draw for the pool; where the space, or the budget, has fewer
            networks, all that were found. Defaults to 1000.
        proportional_to (str, optional): The cost that is a network's size. Defaults to
            'params_m', as published. None draws all alike, for comparison.
        official (bool): As the released code: paths of the pool may be the same network, or even
            be written alike, and probabilities are rounded to float32. Defaults to False.
        **kwargs: Arguments of :class:`PathSampler`, which draws the pool.

    Raises:
        ValueError: If ``pool_size`` < 1, there is no such cost, or some network of the pool has
            none of it.

    Reference:
        NAO-V2 (Luo et al., arXiv 1909.10815): balanced training; sizes are those of the
        stand-alone networks at the scale of the search.
    """

    max_repeats = 1000  # draws of known networks in a row that mean that none is left

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        pool_size: int = 1000,
        proportional_to: str | None = 'params_m',
        official: bool = False,
        **kwargs: Any,
    ):
        super().__init__(space, budget, **kwargs)
        if type(pool_size) is not int or pool_size < 1:
            raise ValueError(f'pool_size is a whole number of at least 1; got {pool_size!r}')
        if proportional_to is not None and proportional_to not in BUDGET_KEYS:
            raise ValueError(
                f'proportional_to is None or one of {", ".join(BUDGET_KEYS)}; got '
                f'{proportional_to!r}'
            )
        self.proportional_to, self.official = proportional_to, official
        self.set_pool(self._draw_pool(pool_size))

    @property
    def pool(self) -> list[Arch]:
        """The paths that are drawn from."""
        return list(self._pool)

    @property
    def probabilities(self) -> np.ndarray:
        """Of each path of the pool, (len(pool),); they add up to 1."""
        return self._probabilities.copy()

    def set_pool(self, archs: Sequence[Arch]) -> None:
        """Draw from these paths from now on.

        Raises:
            ValueError: If there is none, one is not of the space, or has no size.
        """
        if not archs:
            raise ValueError('a pool of no paths: nothing could be drawn from it')
        pool = [self.space.validate(arch) for arch in archs]
        sizes = np.array([self._size(arch) for arch in pool])
        if not (sizes > 0).all():
            raise ValueError(
                f'{pool[int((sizes <= 0).argmax())]} has no {self.proportional_to}: it would never '
                'be drawn. Name another cost, or None, in proportional_to'
            )
        if self.official:
            sizes = sizes.astype(np.float32)
        self._pool = pool
        self._probabilities = sizes / sizes.sum()
        self._upper = np.cumsum(self._probabilities, dtype=np.float64)

    def sample(self, step: int) -> Arch:
        """The path of one step, a function of (seed, step) and the pool."""
        place = named_rng('pool', self.seed, step).random() * self._upper[-1]
        return self._pool[int(np.searchsorted(self._upper, place, side='right'))]

    def state_dict(self) -> dict:
        """The pool, as plain JSON values."""
        return dict(pool=[arch.to_list() for arch in self._pool])

    def load_state_dict(self, state: Mapping) -> None:
        """Go on with a saved pool.

        Raises:
            ValueError: If there is none in it, or it is that of another space.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get('pool'), list):
            raise ValueError(f'the state of a {type(self).__name__} has a "pool"; this has none')
        self.set_pool([self.space.parse(nested) for nested in state['pool']])

    def _size(self, arch: Arch) -> float:
        if self.proportional_to is None:
            return 1.0
        units = self.budget.cost_model.cost(arch).in_units()
        if self.proportional_to not in units:
            raise ValueError(
                f'there is no {self.proportional_to} here; there are {", ".join(units)}'
            )
        return units[self.proportional_to]

    def _draw_pool(self, num: int) -> list[Arch]:
        # Steps that no training has: the pool is not what a plain sampler would draw in one.
        draws = (super(SizeProportionalSampler, self).sample(2**41 + i) for i in range(2**40))
        if self.official:
            return [next(draws) for _ in range(num)]
        pool: dict[Arch, Arch] = {}
        repeats = 0
        while len(pool) < num and repeats < self.max_repeats:
            arch = next(draws)
            known = pool.setdefault(self.space.canonical(arch), arch) is not arch
            repeats = repeats + 1 if known else 0
        return list(pool.values())
