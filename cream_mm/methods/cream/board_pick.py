"""Cream's own way to end a search: rate what is on the board."""

from collections.abc import Sequence
from typing import Any

from ...costs import Budget
from ...registry import TASK_UTILS
from ...search.strategies.strategy import Strategy
from ...spaces import Space
from ...structures import Arch


@TASK_UTILS.register_module(name=['BoardPick', 'board'])
class BoardPick(Strategy):
    """Asks for the paths of a board in their order, then for nothing more.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        archs (Sequence[Arch | list]): The board's paths, best first. Those outside the budget
            are passed over.

    Reference:
        Cream, released code: the network to retrain is picked from the prioritized board.
    """

    by_a_run = frozenset({'archs'})
    learns = False

    def __init__(
        self, space: Space, budget: Budget, *, archs: Sequence[Arch | list], **kwargs: Any
    ):
        super().__init__(space, budget, **kwargs)
        self._archs = [space.parse(arch) for arch in archs]
        self.settings['archs'] = [arch.to_list() for arch in self._archs]

    @classmethod
    def for_run(cls, run: Any, **settings: Any) -> 'BoardPick':
        """The paths of the board of the run's model."""
        board = getattr(run.model, 'board', None)
        archs = [entry.arch for entry in board.entries] if board is not None else []
        return super().for_run(run, archs=list(dict.fromkeys(archs)), **settings)

    def _propose(self, n: int) -> list[Arch]:
        archs = []
        for arch in self._archs:
            if len(archs) < n and self.budget.is_feasible(arch) and self._is_new(arch):
                archs.append(self._mark(arch))
        return archs
