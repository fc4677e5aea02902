"""The baseline that every other strategy has to beat."""

from ...registry import TASK_UTILS
from ...structures import Arch
from .strategy import Strategy, collect


@TASK_UTILS.register_module(name=['RandomSearch', 'random'])
class RandomSearch(Strategy):
    """Random paths within the budget, each layer's choice drawn on its own.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
    """

    learns = False

    def _propose(self, n: int) -> list[Arch]:
        return collect(self._random_path, n)
