"""Goes where the effects of choices on the training's own losses add up best."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...costs import Budget
from ...registry import TASK_UTILS
from ...spaces import Space
from ...structures import Arch
from ..main_effects import MainEffects
from ..pareto_merge import best_paths
from ..training_effects import training_effects
from .main_effects_search import MainEffectsSearch

MIN_GAIN = 2.0
"""Standard errors by which effects have to predict losses better than their mean does."""


@TASK_UTILS.register_module(name=['TrainingEffectsSearch', 'training_effects'])
class TrainingEffectsSearch(MainEffectsSearch):
    """Asks for the paths within the budget whose :func:`training_effects` add up best, in order.

    They are found exactly, and nothing has to be rated for them: ratings of the first few only
    veto. Ranks best of all in docs/results/ranking.md.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        known (MainEffects): Effects of choices on minus the training loss.

    Raises:
        ValueError: If the effects tell nothing: fewer than two losses for each, or no better than
            chance.
    """

    of_a_run = frozenset({'path_log'})
    by_a_run = frozenset({'known', 'num_random'})
    rule = 'effects'
    learns = False
    ratings_veto = True

    def __init__(self, space: Space, budget: Budget, *, known: MainEffects, **kwargs: Any):
        if known.num_paths < 2 * known.num_effects:
            raise ValueError(
                f'the log of the training has {known.num_paths} steps to learn from, too few for '
                f'{known.num_effects} choices (two for each at least): train more epochs'
            )
        if known.gain < MIN_GAIN:
            raise ValueError('the losses of the training do not tell which choices are better')
        super().__init__(space, budget, known=known, **kwargs)
        self._paths: Iterator[tuple[float, Arch]] | None = None

    @classmethod
    def for_run(
        cls, run: Any, *, path_log: str | Path | None = None, **settings: Any
    ) -> 'TrainingEffectsSearch':
        """Read the log of the training that ``run`` rates; ``path_log`` names another file."""
        log = Path(path_log or run.path_log)
        settings['known'] = run.on_main_process(
            training_effects, log, run.supernet.space, end=run.num_steps
        )
        return super().for_run(run, **settings)

    def predicted(self, arch: Arch) -> float:
        """Minus the training loss that its effects add up to, in nats."""
        return float(self._known.predict([arch])[0])

    def _propose(self, n: int) -> list[Arch]:
        self._paths = self._paths or best_paths(self._known, self.space, self.budget)
        archs: list[Arch] = []
        try:
            for _, arch in self._paths:
                if self._is_new(arch):
                    archs.append(self._mark(arch))
                if len(archs) == n:
                    break
        except ValueError:  # bounds too tight together: what was found before is the best there is
            if not archs and not self._seen:
                raise
        return archs
