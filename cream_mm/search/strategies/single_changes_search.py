"""A search without training of the supernet: single changes of the full network, added up."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...costs import Budget
from ...registry import TASK_UTILS
from ...spaces import Space
from ...structures import Arch
from ..front import NUM_STEPS
from ..main_effects import places
from .effects_search import EffectsSearch

SUMS_EACH = 3  # of the best sums for each step through the budget, that a run should rate


class AddedChanges:
    """Scores of paths as the full network's, and what each change of it alone adds.

    Args:
        full (Arch): The full network's path.
        score (float): Its score.
        changes (dict): (stage, layer, choice) -> the score with this one change.
    """

    def __init__(self, full: Arch, score: float, changes: dict[tuple[int, int, int], float]):
        self._score = score
        own = [(*place, choice) for place, choice in zip(places(full), _flat(full))]
        self._added = {key: value - score for key, value in changes.items()} | dict.fromkeys(own, 0)

    def weight(self, key: tuple[int, int, int]) -> float:
        """What (stage, layer, choice) adds; -inf where it was not rated."""
        return self._added.get(key, -np.inf)

    def predict(self, archs: Sequence[Arch]) -> np.ndarray:
        """Score of each path, (n,)."""
        return np.array([
            self._score + sum(self.weight((*p, c)) for p, c in zip(places(arch), _flat(arch)))
            for arch in archs
        ])  # fmt: skip


@TASK_UTILS.register_module(name=['SingleChangesSearch', 'single_changes'])
class SingleChangesSearch(EffectsSearch):
    """Rates the full network and each single change of it, and then the best sums of changes.

    It needs no supernet that was trained, only the full network's weights: the baseline that
    such a training has to beat. There is one rating for each choice, and changes that do little
    harm alone may do much together.

    The single changes are rated whatever they cost: hardly any lies within a budget. The answer and
    all that are asked for behind them do.

    Args:
        space (Space): With a ``full_path``.
        budget, **kwargs: See :class:`Strategy`.

    Raises:
        ValueError: If the space has no full path, or the run rates too few paths for all changes.

    Reference:
        As the sensitivity analyses of pruning and mixed precision, e.g. Li et al., Pruning filters
        for efficient ConvNets (ICLR 2017).
    """

    def __init__(self, space: Space, budget: Budget, **kwargs: Any):
        super().__init__(space, budget, **kwargs)
        self._changes = single_changes(space)
        self._full = space.full_path

    @classmethod
    def check_run(cls, run: Any) -> None:
        """Whether a run rates more paths than there are changes."""
        number = 1 + len(single_changes(run.supernet.space))
        if run.num <= number:
            raise ValueError(
                f'single_changes rates the full network and its {number - 1} single changes '
                f'before it can add them up; the search is to rate num={run.num} paths: set '
                f'num (test_cfg.num, or --num) to {number + SUMS_EACH * NUM_STEPS} or more, or '
                'take another strategy'
            )

    @classmethod
    def for_run(cls, run: Any, **settings: Any) -> 'SingleChangesSearch':
        cls.check_run(run)
        return super().for_run(run, **settings)

    def _first_paths(self, n: int) -> list[Arch] | None:
        left = [a for a in (self._full, *self._changes.values()) if self._is_new(a)][:n]
        for arch in left:
            self._mark(arch)
        return left if left or self._key(self._full) not in self._scored else None

    def effects(self) -> AddedChanges:
        """What each change adds to the full network's score; those without one are in no sum."""
        scores = {
            key: self._scored[self._key(arch)].score
            for key, arch in self._changes.items()
            if self._key(arch) in self._scored
        }
        return AddedChanges(self._full, self._scored[self._key(self._full)].score, scores)


def single_changes(space: Space) -> dict[tuple[int, int, int], Arch]:
    """(stage, layer, choice) -> the full path with this choice, for all but its own.

    Raises:
        ValueError: If the space has no full path.
    """
    if getattr(space, 'full_path', None) is None:
        raise ValueError(
            f'single_changes are those of a full network, which {space.name!r} does not have: '
            'it is for slices of one, as of ElasticSupernet'
        )
    full = space.encode(space.full_path)
    return {
        (*place, choice): space.decode([*full[:position], choice, *full[position + 1 :]])
        for position, place in enumerate(places(space.full_path))
        for choice in range(space.sizes[position])
        if choice != full[position]
    }


def _flat(arch: Arch) -> list[int]:
    return [choice for stage in arch.stages for choice in stage]
