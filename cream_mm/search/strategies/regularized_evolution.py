"""Evolution by mutation in which the old die, not the weak."""

from typing import Any

from ...costs import Budget
from ...registry import TASK_UTILS
from ...spaces import Space
from ...structures import Arch
from .strategy import Scored, Strategy, collect


@TASK_UTILS.register_module(name=['RegularizedEvolution', 'evolution'])
class RegularizedEvolution(Strategy):
    """Mutates the best of a few random members of a population, whose oldest member then leaves.

    The first members are random. A mutation changes one layer.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        population (int): Members P. Defaults to 50.
        tournament (int): Members S of which the best becomes a parent. Defaults to 10.

    Raises:
        ValueError: Unless 1 <= tournament <= population.

    Reference:
        Real et al., Regularized Evolution for Image Classifier Architecture Search (AAAI 2019).
        Differs: P and S are smaller, for searches of hundreds of ratings; a child that is known
        or outside the budget is mutated again.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        population: int = 50,
        tournament: int = 10,
        **kwargs: Any,
    ):
        super().__init__(space, budget, **kwargs)
        if not 1 <= tournament <= population:
            raise ValueError(
                'evolution needs 1 <= tournament <= population; got '
                f'tournament={tournament}, population={population}'
            )
        self.settings.update(population=population, tournament=tournament)
        self._population = population
        self._tournament = tournament

    @property
    def members(self) -> list[Scored]:
        """The population, oldest first."""
        return self.scored[-self._population :]

    def _propose(self, n: int) -> list[Arch]:
        return collect(self._child, n)

    def _child(self) -> Arch | None:
        members = self.members
        if len(self._seen) < self._population or not members:
            return self._random_path()
        size = min(self._tournament, len(members))
        places = self.rng.choice(len(members), size=size, replace=False)
        parent = max((members[i] for i in places), key=lambda item: (item.score, -item.cost_m))
        return self._mutant(parent.arch, self.rng)
