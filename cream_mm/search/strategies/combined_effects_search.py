"""Effects on ratings and on the training's losses together decide what is rated next."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...costs import Budget
from ...registry import TASK_UTILS
from ...spaces import Space
from ...structures import Arch
from ..combined_effects import Combined, combined_effects, cost_effects
from ..main_effects import Effects, MainEffects
from ..training_effects import training_effects
from .effects_search import EffectsSearch
from .strategy import collect

SHARE_RANDOM = 2 / 3  # of the paths that a run rates, at most: the others are the best sums


@TASK_UTILS.register_module(name=['CombinedEffectsSearch', 'combined_effects'])
class CombinedEffectsSearch(EffectsSearch):
    """Rates random paths, learns what each choice adds, and rates the best sums for each budget.

    The random paths are of all costs within the budget. What is learned from their ratings is
    shrunk towards the effects on the training's losses and towards those of size, where these help
    to predict ratings that were left out; see :func:`combined_effects`.

    Args:
        space, budget, **kwargs: See :class:`Strategy`.
        num_random (int): Random paths to rate first. Defaults to 40; a run rates at most two thirds
            of its paths as such, which is the default there.
        known (Mapping[str, Effects]): Effects from elsewhere, by the name of their source.

    Raises:
        ValueError: If ``num_random`` < 2.

    Reference:
        Own choice, see :class:`MainEffects`; the training's losses: docs/results/ranking.md.
    """

    of_a_run = frozenset({'path_log'})
    by_a_run = frozenset({'known'})

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        num_random: int = 40,
        known: Mapping[str, Effects] | None = None,
        **kwargs: Any,
    ):
        super().__init__(space, budget, **kwargs)
        if num_random < 2:
            raise ValueError(f'effects need at least 2 random paths; got num_random={num_random}')
        self.settings['num_random'] = num_random
        self.known = dict(known or {})
        if self.known:
            rounded = [
                (name, key, round(value, 9))
                for name, effects in self.known.items()
                for key, value in sorted(effects.items())
            ]
            self.settings['known'] = hashlib.sha256(str(rounded).encode()).hexdigest()[:12]
        if sizes := cost_effects(space, budget.cost_model):
            self.known['size'] = sizes
        self._num_random = num_random
        self._why_no_log: str | None = None

    @classmethod
    def for_run(
        cls, run: Any, *, path_log: str | Path | None = None, **settings: Any
    ) -> 'CombinedEffectsSearch':
        """Read the log of the training that ``run`` rates; ``path_log`` names another file.

        Without a log that can be used, effects are learned from ratings and sizes alone.
        """
        most = max(2, round(SHARE_RANDOM * run.num))
        settings['num_random'] = min(settings.get('num_random', most), most)
        why = None
        try:
            log = Path(path_log or run.path_log)
            trained = run.on_main_process(
                training_effects, log, run.supernet.space, end=run.num_steps
            )
            settings['known'] = dict(training=trained.effects())
        except (FileNotFoundError, ValueError) as error:
            why = str(error)
        strategy = super().for_run(run, **settings)
        strategy._why_no_log = why
        return strategy

    def _first_paths(self, n: int) -> list[Arch] | None:
        missing = self._num_random - len(self._seen)
        if missing > 0 or len(self.scored) < 2:
            return collect(self._random_path, min(n, max(missing, 1)))
        return None

    def combined(self) -> Combined:
        """The effects of choices so far, and which sources they make use of."""
        archs, scores = zip(*((item.arch, item.score) for item in self.scored))
        return combined_effects(archs, scores, self.known)

    def effects(self) -> MainEffects:
        """The effects of choices so far."""
        return self.combined().effects

    def notes(self) -> list[str]:
        """What the answer rests on, in sentences."""
        if len(self.scored) < 2:
            return []
        effects, used = self.combined()
        names = ' and '.join(['ratings', *(_WORDS.get(name, name) for name in used)])
        told = [
            f'Effects of {names} predict ratings that were left out with R2 = '
            f'{effects.loo_r2:.2f} (of {effects.num_paths} paths; 1: exactly, 0: no better than '
            'their mean)'
        ]
        if self._why_no_log is not None:
            told.append(f'No effects of the training: {self._why_no_log}')
        elif 'training' in self.known and 'training' not in used:
            told.append("The training's losses did not help to predict ratings: they were left out")
        return told


_WORDS = dict(training="the training's losses", size='size')
