"""Cream's own way to end a search: rate what is on the board."""

from collections.abc import Sequence

from ...registry import TASK_UTILS
from ...structures import Arch
from .strategy import Strategy


@TASK_UTILS.register_module()
class BoardPick(Strategy):
    """Asks for the paths of a board in their order, then for nothing more.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        archs (Sequence[Arch | list]): The board's paths, best first. Those outside the budget
            are passed over.

    Reference:
        Cream, released code: the network to retrain is picked from the prioritized board.
    """

    def __init__(self, space, budget, *, archs: Sequence[Arch | list], **kwargs):
        super().__init__(space, budget, **kwargs)
        self._archs = [space.parse(arch) for arch in archs]
        self.settings['archs'] = [arch.to_list() for arch in self._archs]

    def _propose(self, n: int) -> list[Arch]:
        archs = []
        for arch in self._archs:
            if len(archs) < n and self.budget.is_feasible(arch) and self._is_new(arch):
                archs.append(self._mark(arch))
        return archs
