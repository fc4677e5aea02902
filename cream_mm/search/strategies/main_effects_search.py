"""Rates random paths, learns what each choice adds, and goes where the sum is best."""

import hashlib

from ...registry import TASK_UTILS
from ...structures import Arch
from ..main_effects import MainEffects
from .strategy import Scored, Strategy, collect


@TASK_UTILS.register_module()
class MainEffectsSearch(Strategy):
    """After some random paths, asks for those within the budget whose fitted effects add up best.

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

    def __init__(
        self,
        space,
        budget,
        *,
        num_random: int = 100,
        known: MainEffects | None = None,
        **kwargs,
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

    def _values(self, items: list[Scored]) -> list[float]:
        if self._known is None and len(self.scored) < 2:
            return super()._values(items)
        return self._fitted([item.arch for item in items])

    def _propose(self, n: int) -> list[Arch]:
        missing = self._num_random - len(self._seen)
        if self._known is None and (missing > 0 or len(self.scored) < 2):
            return collect(self._random_path, min(n, max(missing, 1)))
        archs = [self._mark(arch) for arch in self._promising(n)]
        return archs + collect(self._random_path, n - len(archs))

    def _promising(self, n: int, rounds: int = 5, children: int = 30) -> list[Arch]:
        """New paths of the best fitted scores, found by mutating the best known ones."""
        fit = self.effects()
        start = [item.arch for item in self.scored if self.budget.is_feasible(item.arch)]
        if self._known is not None:  # nothing needs to be rated to have a start
            start += [self.sampler.sample(2**40 + i) for i in range(100)]
            rounds *= 4
        pool = {self._key(arch): arch for arch in start}

        def ranked() -> list[Arch]:
            archs = list(pool.values())
            fitted = dict(zip(archs, self._fitted(archs, fit)))
            return sorted(archs, key=lambda arch: (-fitted[arch], arch.stages))

        for _ in range(rounds if pool else 0):
            parents = ranked()[:10]
            for _ in range(children):
                arch = parents[self.rng.integers(len(parents))]
                for _ in range(self.rng.geometric(0.5)):
                    arch = self.space.mutate(arch, self.rng)
                if self.budget.is_feasible(arch):
                    pool.setdefault(self._key(arch), arch)
        return [arch for arch in ranked() if self._is_new(arch)][:n]

    def effects(self) -> MainEffects:
        """The effects of choices on the scores so far, or the known ones."""
        if self._known is not None:
            return self._known
        return MainEffects([i.arch for i in self.scored], [i.score for i in self.scored])

    def _fitted(self, archs: list[Arch], fit: MainEffects | None = None) -> list[float]:
        # Sums of the same numbers in another order may differ in the last digit.
        return (fit or self.effects()).predict(archs).round(9).tolist()
