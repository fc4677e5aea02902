"""Draws paths of all costs alike: small and large networks are trained as often as others."""

import numpy as np

from ..costs import Budget, CostTable
from ..registry import TASK_UTILS
from ..spaces import Space
from ..structures import Arch
from ..structures.randomness import named_rng
from .front import front_cost
from .pareto_merge import unit_tables
from .path_sampler import PathSampler

LARGEST_TILT, NUM_TILTS = 60.0, 241  # exponents at the whole range of costs, from minus to plus


@TASK_UTILS.register_module()
class CostPathSampler(PathSampler):
    """First draws what a path shall cost, evenly over the range, then a path of about that cost.

    Where each choice is drawn on its own, the costs of most paths lie close together: of the
    slices of EfficientNet-Lite0 nine tenths lie within a third of the range. Networks near its ends
    would hardly be trained, and an answer there would be a guess.

    The odds of each choice (:meth:`Space.odds`) are weighted by ``exp(t * cost)``, with the ``t``
    at which the mean cost is the drawn one: of all ways to draw each position on its own with that
    mean, the one that stays nearest to the space's odds. Where costs add up only once the last
    choices are known, as at several input sizes, these are drawn first, each as often as any other.

    Args:
        space, budget, within_budget, seed, max_draws: See :class:`PathSampler`. The cost is that
            of :func:`front_cost`.

    Raises:
        ValueError: If costs do not add up.

    Reference:
        Own choice. The weights are those of an exponential family, as in importance sampling
        (Siegmund 1976).
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        within_budget: bool = True,
        seed: int = 0,
        max_draws: int = 100,
    ):
        super().__init__(space, budget, within_budget=within_budget, seed=seed, max_draws=max_draws)
        key = front_cost(self.budget)
        tables = budget.cost_model.tables_by_end()
        if not tables:
            raise ValueError(
                f'the costs of {space.name!r} do not add up, so that none can be drawn first; '
                'take PathSampler'
            )
        bounds = self.budget.bounds.get(key, (None, None))
        parts = [_Part(space, end, table, key, bounds) for end, table in tables]
        self._parts = [part for part in parts if part.low <= part.high]

    def sample(self, step: int) -> Arch:
        """The path of one step, a pure function of (seed, step).

        Raises:
            ValueError: If no path within the budget could be found.
        """
        rng = named_rng('cost path', self.seed, step)
        for _ in range(self.max_draws):
            part = self._parts[rng.integers(len(self._parts))]
            arch = self.space.reduced(self.space.decode(part.draw(rng)))
            if self.budget.is_feasible(arch) and self.space.is_trainable(arch):
                return arch
        return self.repair(arch, rng)


class _Part:
    """Paths with the same last choices, whose costs add up."""

    def __init__(
        self,
        space: Space,
        end: tuple[int, ...],
        table: CostTable,
        key: str,
        bounds: tuple[float | None, float | None],
    ):
        self.end = end
        costs, fixed = unit_tables(table, [key])[key], table.fixed.in_units()[key]
        least, most = (end[key] for end in table.extremes())
        self.low = max(least, -np.inf if bounds[0] is None else bounds[0])
        self.high = min(most, np.inf if bounds[1] is None else bounds[1])
        scale = (most - least) or 1.0
        self._costs = [cost / scale for cost in costs]
        self._odds = [np.log(space.odds(position)) for position in range(len(costs))]
        self._tilts = np.linspace(-LARGEST_TILT, LARGEST_TILT, NUM_TILTS)
        means = np.full(NUM_TILTS, fixed)
        for cost, odds in zip(self._costs, self._odds):
            means += scale * (_shares(odds, cost, self._tilts[:, None]) * cost).sum(axis=1)
        self._means = means

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Choices of a path whose cost is about one that is drawn evenly."""
        tilt = np.interp(rng.uniform(self.low, self.high), self._means, self._tilts)
        shares = [_shares(odds, cost, tilt) for odds, cost in zip(self._odds, self._costs)]
        return [*(int(rng.choice(len(p), p=p)) for p in shares), *self.end]


def _shares(odds: np.ndarray, cost: np.ndarray, tilt: float | np.ndarray) -> np.ndarray:
    weights = odds + tilt * cost
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
