"""Rates random paths, learns what each choice adds, and goes where the sum is best."""

import hashlib
from itertools import islice
from typing import Any

from ...costs import Budget
from ...registry import TASK_UTILS
from ...spaces import Space
from ...structures import Arch
from ..main_effects import MainEffects
from ..pareto_merge import best_paths
from .strategy import Scored, Strategy, collect


@TASK_UTILS.register_module(name=['MainEffectsSearch', 'main_effects'])
class MainEffectsSearch(Strategy):
    """After some random paths, asks for those within the budget whose fitted effects add up best.

    They are found exactly, see :func:`best_paths`: no path within the budget has a higher sum.

    :meth:`best` and :meth:`front` compare fitted scores, not the paths' own: among hundreds of
    ratings from a supernet, the highest is mostly the luckiest. See :class:`MainEffects`.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        num_random (int): Random paths to fit the first effects to. Defaults to 100.
        known (MainEffects, optional): Effects learned elsewhere, as by :func:`training_effects`.
            Then no random path is asked for, nothing is fitted, and paths come best first.

    Raises:
        ValueError: If ``num_random`` < 2.

    Reference:
        Own choice (docs/results/ranking.md).
    """

    predicts = True
    by_a_run = frozenset({'known'})

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        num_random: int = 100,
        known: MainEffects | None = None,
        **kwargs: Any,
    ):
        super().__init__(space, budget, **kwargs)
        if num_random < 2:
            raise ValueError(f'effects need at least 2 random paths; got num_random={num_random}')
        self.settings['num_random'] = num_random
        self._num_random = num_random
        self._known = known
        if known is not None:
            text = str([(key, round(value, 9)) for key, value in known.effects().items()])
            self.settings['known'] = hashlib.sha256(text.encode()).hexdigest()[:12]

    def best_within(self, budget: Budget) -> Arch | None:
        """The path within another budget whose effects add up best; exact."""
        if self._known is None and len(self.scored) < 2:
            return super().best_within(budget)
        paths = best_paths(self.effects(), self.space, budget)
        try:
            return next((arch for _, arch in paths), None)
        except ValueError:  # hardly any path meets the bounds: none was found in so many steps
            return super().best_within(budget)

    def _values(self, items: list[Scored]) -> list[float]:
        if self._known is None and len(self.scored) < 2:
            return super()._values(items)
        return self._fitted([item.arch for item in items])

    def _propose(self, n: int) -> list[Arch]:
        missing = self._num_random - len(self._seen)
        if self._known is None and (missing > 0 or len(self.scored) < 2):
            return collect(self._random_path, min(n, max(missing, 1)))
        paths = (arch for _, arch in best_paths(self.effects(), self.space, self.budget))
        archs = list(islice((self._mark(arch) for arch in paths if self._is_new(arch)), n))
        return archs + collect(self._random_path, n - len(archs))

    def effects(self) -> MainEffects:
        """The effects of choices on the scores so far, or the known ones."""
        if self._known is not None:
            return self._known
        return MainEffects([i.arch for i in self.scored], [i.score for i in self.scored])

    def _fitted(self, archs: list[Arch], fit: MainEffects | None = None) -> list[float]:
        # Sums of the same numbers in another order may differ in the last digit.
        return (fit or self.effects()).predict(archs).round(9).tolist()
