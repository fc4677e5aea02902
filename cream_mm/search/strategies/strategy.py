"""What all strategies have in common: memory, novelty, and a state that can be replayed."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...costs import Budget
from ...spaces import Space
from ...structures import Arch
from ...structures.randomness import named_rng
from ..path_sampler import PathSampler

STATE_FORMAT = 'cream_mm.strategy/1'


class Scored(NamedTuple):
    """A path with what is known about it."""

    arch: Arch
    score: float
    cost_m: float


class Strategy(ABC):
    """Proposes paths and is told their scores; whoever rates them owns the loop.

    ``ask`` gives paths within the budget that were neither asked nor told before. Everything is a
    function of the seed and of the calls so far, so the state is the list of these calls: loading
    it makes them again. (One for which that would take long has a snapshot for a state.) Paths
    that were rated elsewhere may be told too, and serve as a start.

    Args:
        space (Space): The search space.
        budget (Budget): Bounds every asked path obeys.
        seed (int): Of all random choices. Defaults to 0.
        cost (str, optional): The cost that :meth:`front` weighs against the score, and by which
            :meth:`best` breaks ties. Defaults to 'latency_ms' where that has bounds, else 'macs_m'.
        key (callable, optional): Paths with the same key are the same network. Defaults to
            ``space.canonical``.

    Units:
        score: any finite number, higher is better. cost: millions, or milliseconds.
    """

    of_a_run = frozenset()  # arguments of `for_run` beside those of the class
    by_a_run = frozenset()  # arguments of the class that `for_run` finds itself
    rule = 'given'  # how its answer was chosen: a key of `files.arch_file.RULES`
    learns = True  # what it asks for depends on what it was told
    predicts = False  # `best_within` may be a path that was never rated
    ratings_veto = False  # its order is the answer's; ratings only rule paths out

    # A random draw that was met before is drawn again; so many in a row mean that none is left.
    max_repeats = 1000

    def __init__(
        self,
        space: Space,
        budget: Budget,
        *,
        seed: int = 0,
        cost: str | None = None,
        key: Callable[[Arch], Arch] | None = None,
    ):
        self.space = space
        self.budget = budget
        cost = cost or ('latency_ms' if 'latency_ms' in budget.bounds else 'macs_m')
        known = budget.cost_model.cost(space.decode([0] * len(space.sizes))).in_units()
        if cost not in known:
            raise ValueError(f'there is no cost {cost!r} here; there are {", ".join(known)}')
        self.settings = dict(seed=seed, cost=cost)
        self.rng = named_rng(type(self).__name__, seed, 0)
        self.sampler = PathSampler(space, budget, seed=seed)
        self._cost = cost
        self._key = key or space.canonical
        self._draws = 0
        self._seen: set[Arch] = set()
        self._scored: dict[Arch, Scored] = {}
        self._calls: list[dict] = []

    @classmethod  # noqa: B027
    def check_run(cls, run: Any) -> None:
        """Whether it can work in a run, as far as that is known before any training.

        Args:
            run (SearchLoop): See :meth:`for_run`.

        Raises:
            ValueError: If it cannot; what to change.
        """

    @classmethod
    def for_run(cls, run: Any, **settings: Any) -> 'Strategy':
        """Make one for the supernet of a run.

        Args:
            run (SearchLoop): Has ``model``, ``supernet``, ``path_log`` and ``num_steps``; a
                strategy that needs something of a run takes it from there.
            **settings: Arguments of the class.

        Raises:
            FileNotFoundError, ValueError: If the run lacks what the strategy needs.
        """
        return cls(run.supernet.space, run.supernet.budget, **settings)

    # ---- the interface -----------------------------------------------------------------------

    def ask(self, n: int) -> list[Arch]:
        """Up to ``n`` new paths within the budget; fewer, or none, when no more are left.

        Raises:
            ValueError: If ``n`` < 1, or no path within the budget could be found.
        """
        if n < 1:
            raise ValueError(f'ask for at least one path; got {n}')
        archs = self._propose(n)
        self._note(dict(ask=n, archs=[arch.to_list() for arch in archs]))
        return archs

    def tell(self, archs: Sequence[Arch], scores: Sequence[float], renew: bool = False) -> None:
        """Give scores to paths, asked ones or others.

        Args:
            archs (Sequence[Arch]): The paths.
            scores (Sequence[float]): Their scores.
            renew (bool): Whether paths that were scored before take the new score, as when all
                are rated anew after more training. Their place in :attr:`scored` stays. Defaults
                to False.

        Raises:
            ValueError: If the lengths differ, a score is not finite, a path stands twice among
                ``archs``, or one was scored before and is not to be renewed.
        """
        archs, scores = list(archs), [float(score) for score in scores]
        if len(archs) != len(scores):
            raise ValueError(f'{len(archs)} paths, but {len(scores)} scores')
        keys = [self._key(self.space.validate(arch)) for arch in archs]
        told: set[Arch] = set() if renew else set(self._scored)
        for key, arch, score in zip(keys, archs, scores):
            if not math.isfinite(score):
                raise ValueError(f'the score of {arch} is not finite: {score}')
            if key in told:
                raise ValueError(f'{arch} has a score already')
            told.add(key)
        for key, arch, score in zip(keys, archs, scores):
            self._seen.add(key)
            self._scored[key] = Scored(arch, score, self._cost_m(arch))
        pairs = [[arch.to_list(), score] for arch, score in zip(archs, scores)]
        self._note(dict(tell=pairs, renew=True) if renew else dict(tell=pairs))

    @property
    def scored(self) -> list[Scored]:
        """All paths that have a score, in the order in which they were told."""
        return list(self._scored.values())

    def best(self, budget: Budget | None = None) -> Scored:
        """The path with the highest score, the cheaper one on a tie.

        Args:
            budget (Budget, optional): Another one than the search's.

        Raises:
            ValueError: If no path within the budget has a score.
        """
        budget = budget or self.budget
        inside = [item for item in self.scored if budget.is_feasible(item.arch)]
        if not inside:
            raise ValueError(f'no path with {budget} has a score yet')
        values = dict(zip(inside, self._values(inside)))
        return max(inside, key=lambda item: (values[item], -item.cost_m))

    def best_within(self, budget: Budget) -> Arch | None:
        """The path that it would answer with under another budget; None if it knows none."""
        try:
            return self.best(budget).arch
        except ValueError:
            return None

    def predicted(self, arch: Arch) -> float | None:
        """What is expected of a path without its rating, higher is better; None: nothing."""
        return None

    def front(self) -> list[Scored]:
        """Paths that no other beats in score without costing more, cheapest first."""
        values = dict(zip(self.scored, self._values(self.scored)))
        front: list[Scored] = []
        for item in sorted(self.scored, key=lambda item: (item.cost_m, -values[item])):
            if not front or values[item] > values[front[-1]]:
                front.append(item)
        return front

    def notes(self) -> list[str]:
        """What its answer rests on, in sentences for a log."""
        return []

    def _values(self, items: list[Scored]) -> list[float]:
        """By what :meth:`best` and :meth:`front` compare paths, higher is better."""
        return [item.score for item in items]

    # ---- state -------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """All calls so far, as plain JSON values."""
        return dict(
            format=STATE_FORMAT,
            type=type(self).__name__,
            settings=dict(self.settings),
            calls=[dict(call) for call in self._calls],
        )

    def load_state_dict(self, state: dict) -> None:
        """Make all calls of a saved state again; the next ``ask`` is the one that would have been.

        Raises:
            ValueError: If this strategy was used before, the state is of another one, or what is
                asked differs, because of another space, budget, or version of a library.
        """
        self._check_state(state)
        for i, call in enumerate(state['calls']):
            if 'tell' in call:
                archs = [self.space.parse(nested) for nested, _ in call['tell']]
                scores = [score for _, score in call['tell']]
                self.tell(archs, scores, renew=call.get('renew', False))
                continue
            asked = [arch.to_list() for arch in self.ask(call['ask'])]
            if asked != call['archs']:
                raise ValueError(
                    f'call {i} of the saved search asked for {call["archs"]}, now it is {asked}: '
                    'the space, the budget or a library is another. Start the search anew; '
                    'scores that are known can be told'
                )

    def _check_state(self, state: dict, fmt: str = STATE_FORMAT) -> None:
        """Whether it is one of this strategy's, which was not used before."""
        if self._calls:
            raise ValueError('load a state into a new strategy; this one was used before')
        ours = (fmt, type(self).__name__, self.settings)
        if not isinstance(state, Mapping):
            raise ValueError(f'the state of a strategy is a dictionary, not {type(state).__name__}')
        theirs = tuple(state.get(name) for name in ('format', 'type', 'settings'))
        if ours != theirs:
            raise ValueError(f'the state is of {theirs}, this is {ours}')

    # ---- for the strategies ------------------------------------------------------------------

    def _note(self, call: dict) -> None:
        """Keep what was asked or told, for a state that is replayed."""
        self._calls.append(call)

    @abstractmethod
    def _propose(self, n: int) -> list[Arch]:
        """Up to ``n`` new paths, each marked as seen."""

    def _cost_m(self, arch: Arch) -> float:
        return self.budget.cost_model.cost(arch).in_units()[self._cost]

    def _is_allowed(self, arch: Arch) -> bool:
        return self.budget.is_feasible(arch) and self.space.is_trainable(arch)

    def _is_new(self, arch: Arch) -> bool:
        return self._key(arch) not in self._seen

    def _mark(self, arch: Arch) -> Arch:
        self._seen.add(self._key(arch))
        return arch

    def _random_path(self) -> Arch | None:
        """A new path, drawn uniformly; None when there seem to be no more."""
        for _ in range(self.max_repeats):
            # Steps beyond any training run's, so that these are not paths it was trained on last.
            arch = self.sampler.sample(2**40 + self._draws)
            self._draws += 1
            if self._is_new(arch):
                return self._mark(arch)
        return None

    def _mutant(self, parent: Arch, rng: np.random.Generator) -> Arch | None:
        """A new path that differs in one layer, or in a few where all such are known or too costly.

        Far from any, a random one; None when there seem to be no more.
        """
        for attempt in range(100):
            arch = parent
            for _ in range(1 + attempt // 20):
                arch = self.space.mutate(arch, rng)
            if self._is_allowed(arch) and self._is_new(arch):
                return self._mark(arch)
        return self._random_path()


def collect(make: Callable[[], Arch | None], n: int) -> list[Arch]:
    """Call ``make`` up to ``n`` times, until it gives None."""
    archs = []
    while len(archs) < n and (arch := make()) is not None:
        archs.append(arch)
    return archs
