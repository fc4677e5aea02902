"""The end of a Cream search: its board is rated, too, and is the answer where it has to be."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...engine.loops import SearchLoop
from ...engine.loops.search_loop import Choice
from ...evaluation import ArchEvaluator, Rating
from ...files import write_json
from ...files.board_file import board_content
from ...registry import LOOPS
from ...structures import Arch


@LOOPS.register_module()
class BoardRatingLoop(SearchLoop):
    """A :class:`SearchLoop` that rates the board's paths, too, and writes ``board.json``.

    With ``compat.answer='effects'`` and no ``strategy`` the answer is the usual one of a search:
    the path whose training effects are best, unless ratings veto it. Where the training's log says
    too little, and with ``compat.answer='board'``, it is the best-rated path of the board.

    Args:
        num_finalists (int): Paths of the best training effects to rate. Defaults to 11.
        **kwargs: Arguments of :class:`SearchLoop`; ``num`` is for a ``strategy`` of its own.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list | None = None,
        *,
        num_finalists: int = 11,
        **kwargs: Any,
    ):
        kwargs.setdefault('num', num_finalists)
        super().__init__(runner, dataloader, evaluator, **kwargs)

    def prepare(self) -> list[str]:
        if self.strategy_cfg is None and self.model.compat.answer == 'board':
            return []
        return super().prepare()

    def num_rated(self) -> int:
        board = self.model.board
        on_board = 0 if board is None or self.strategy_cfg is not None else board.capacity
        return super().num_rated() + on_board

    def others(self, asked: Sequence[Arch]) -> dict[Arch, str]:
        on_board = [] if self.strategy_cfg is not None else self.paths_of_the_board()
        known = dict.fromkeys([*asked, *on_board])
        others = dict.fromkeys(on_board, 'board')
        others |= dict.fromkeys(self.random_paths(exclude=list(known)), 'random')
        if not asked and not on_board:
            self._warn_of_an_empty_board()
        return others

    def paths_of_the_board(self) -> list[Arch]:
        """Each once, within the budget: what a board keeps beyond that depends on ``compat``."""
        board = self.model.board
        if board is None:
            return []
        paths = list(dict.fromkeys(entry.arch for entry in board.entries))
        return [arch for arch in paths if self.budget.is_feasible(arch)]

    def op_prob(self) -> Sequence[float] | None:
        return None if self.model.compat.sampling == 'uniform' else super().op_prob()

    def choose(
        self, asked: Sequence[Arch], others: Mapping[Arch, str], ratings: Mapping[Arch, Rating]
    ) -> Choice:
        on_board = [arch for arch, source in others.items() if source == 'board']
        if not asked and on_board:
            return Choice(self.best_rated(on_board, ratings), 'board', [])
        return super().choose(asked, others, ratings)

    def write(
        self,
        evaluator: ArchEvaluator,
        ratings: Mapping[Arch, Rating],
        sources: Mapping[Arch, str],
        choice: Choice,
    ) -> None:
        board = self.model.board
        entries, capacity = ([], 0) if board is None else (board.entries, board.capacity)
        rated = self.records(ratings, sources, choice.arch)
        content = board_content(entries, capacity, self.budget, rated)
        write_json(Path(self.runner.work_dir) / 'board.json', content)
        super().write(evaluator, ratings, sources, choice)

    def _warn_of_an_empty_board(self) -> None:
        outside = self.model.board is not None and len(self.model.board) > 0
        why = f'no path of the board has {self.budget}' if outside else 'the board is empty'
        mend = 'widen the budget' if outside else 'lower the warm-up of BoardHook'
        self.runner.logger.warning(
            f'{why}, so the answer is the best of the random paths. Train longer, or {mend}'
        )
