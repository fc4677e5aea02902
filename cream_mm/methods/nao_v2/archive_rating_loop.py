"""The end of a search in phases: its archive is rated, and the best of it is the answer."""

from collections.abc import Mapping, Sequence

from ...checkpoints import load_checkpoint_file
from ...engine.loops import SearchLoop
from ...engine.loops.search_loop import Choice
from ...evaluation import Rating
from ...registry import LOOPS
from ...structures import Arch
from .alternating_loop import AlternatingLoop, archive_of


@LOOPS.register_module()
class ArchiveRatingLoop(SearchLoop):
    """A :class:`SearchLoop` that rates all paths of an :class:`AlternatingLoop`'s pools.

    The answer is the best-rated of them. With a ``strategy`` of its own it is a plain
    :class:`SearchLoop`.

    Args:
        **kwargs: Arguments of :class:`SearchLoop`.
    """

    def prepare(self) -> list[str]:
        return [] if self.strategy_cfg is None else super().prepare()

    def num_rated(self) -> int:
        if self.strategy_cfg is not None:
            return super().num_rated()
        archive = self.runner.train_loop.archive_size(self.runner.train_loop.phases)
        return archive + self.num_random + len(self.reference_paths())

    def others(self, asked: Sequence[Arch]) -> dict[Arch, str]:
        archive = [] if self.strategy_cfg is not None else self.archive()
        others = dict.fromkeys(archive, 'archive')
        return others | dict.fromkeys(self.random_paths(exclude=[*asked, *archive]), 'random')

    def archive(self) -> list[Arch]:
        """All paths of the pools that are within the budget.

        Raises:
            ValueError: If the checkpoint is of a training without pools.
        """
        loop = self.runner._train_loop  # the property would build it, and read the training set
        if isinstance(loop, AlternatingLoop) and self.runner.iter > 0:
            archive = loop.archive
        else:
            loops = load_checkpoint_file(self.checkpoint).get('loops')
            state = loops.get('train_loop') if isinstance(loops, dict) else None
            archive = archive_of(state, self.supernet.space) if isinstance(state, dict) else []
            if not archive:
                raise ValueError(
                    f'{self.checkpoint} holds no archive: its supernet was not trained by an '
                    "AlternatingLoop. Give test_cfg a strategy, or type='cream_mm.SearchLoop'"
                )
        return [arch for arch in archive if self.budget.is_feasible(arch)]

    def choose(
        self, asked: Sequence[Arch], others: Mapping[Arch, str], ratings: Mapping[Arch, Rating]
    ) -> Choice:
        in_archive = [arch for arch, source in others.items() if source == 'archive']
        if in_archive:
            return Choice(self.best_rated(in_archive, ratings), 'archive', [])
        return super().choose(asked, others, ratings)
