"""What strategies share that learn effects of choices, and rate the best sums for each budget."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from ...costs import Budget
from ...spaces import Space
from ...structures import Arch
from ..cost_path_sampler import CostPathSampler
from ..front import budget_steps
from ..pareto_merge import PathEffects, best_paths
from .strategy import Strategy


class EffectsSearch(Strategy):
    """First paths to learn the effects of choices from, then those whose effects add up best.

    The latter are found exactly (:func:`best_paths`), in turn for each of the steps through the
    budget's range (:func:`budget_steps`), from the loosest to the tightest, so that a front comes
    out; the effects are learned anew before each. :meth:`best` is the best-rated of all.
    """

    rule = 'combined'

    def __init__(self, space: Space, budget: Budget, **kwargs: Any):
        super().__init__(space, budget, **kwargs)
        if budget.cost_model.tables_by_end():  # paths of all costs tell more of their effects
            self.sampler = CostPathSampler(space, budget, seed=self.settings['seed'])
        self._steps = [step for _, step in reversed(budget_steps(budget))] or [budget]
        self._turn = 0

    @abstractmethod
    def effects(self) -> PathEffects:
        """What is known so far of the effects of choices."""

    @abstractmethod
    def _first_paths(self, n: int) -> list[Arch] | None:
        """Up to ``n`` of the paths to learn from, each marked as seen; None: all were asked for."""

    def _propose(self, n: int) -> list[Arch]:
        archs = self._first_paths(n)
        if archs is not None:
            return archs
        effects, archs = self.effects(), []
        while len(archs) < n and (arch := self._best_sum(effects)) is not None:
            archs.append(self._mark(arch))
        return archs

    def _best_sum(self, effects: PathEffects) -> Arch | None:
        """A new path for the step whose turn it is, or for the next one that has any."""
        for _ in self._steps:
            budget = self._steps[self._turn % len(self._steps)]
            self._turn += 1
            for arch in _sums(effects, self.space, budget):
                if self._is_new(arch):
                    return arch
        return self._random_path()


def _sums(effects: PathEffects, space: Space, budget: Budget) -> Iterator[Arch]:
    try:
        for _, arch in best_paths(effects, space, budget):
            yield arch
    except ValueError:  # bounds so tight together that hardly anything meets them
        return
