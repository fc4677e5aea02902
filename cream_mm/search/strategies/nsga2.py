"""Searches all trade-offs of score and cost at once, by pymoo's NSGA-II."""

from typing import Any

import numpy as np

from ...costs import Budget
from ...registry import TASK_UTILS
from ...spaces import Space
from ...structures import Arch
from .strategy import Strategy, collect


@TASK_UTILS.register_module(name=['NSGA2', 'nsga2'])
class NSGA2(Strategy):
    """NSGA-II over (score, cost); :meth:`front` is its answer.

    Selection and survival are pymoo's. Children come from uniform crossover, then each position
    changes with probability 1 / positions. A child outside the budget is moved into it, and a
    known one is mutated. The next generation is asked for when all scores of this one were told.

    Args:
        space, budget, **kwargs: See :class:`Strategy`; ``cost`` is the second objective.
        population (int): Paths per generation. Defaults to 40.

    Raises:
        ImportError: If pymoo is not installed.
        ValueError: If ``population`` < 2.

    Reference:
        Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II (2002); pymoo.
        Differs: paths that were told before the first ``ask`` are part of the first generation.
    """

    def __init__(self, space: Space, budget: Budget, *, population: int = 40, **kwargs: Any):
        super().__init__(space, budget, **kwargs)
        if population < 2:
            raise ValueError(f'NSGA-II needs a population of at least 2; got {population}')
        self.settings['population'] = population
        self._algorithm = None
        self._pymoo = _import_pymoo()
        self._generation = None  # pymoo's Population, its paths in _paths
        self._paths: list[Arch] = []
        self._queue: list[Arch] = []
        self._exhausted = False

    def _propose(self, n: int) -> list[Arch]:
        archs = []
        while len(archs) < n:
            if not self._queue and archs:
                break  # the next generation depends on the scores of these
            # A generation may be known from the start, where many paths were told.
            while not self._queue and self._next_generation():
                pass
            if not self._queue:
                break
            archs.append(self._queue.pop(0))
        return archs

    def _next_generation(self) -> bool:
        """Go on to it; False when there is none because no path is left."""
        if self._algorithm is None:
            self._start()
        else:
            missing = [arch for arch in self._paths if self._key(arch) not in self._scored]
            if missing:
                raise ValueError(
                    f'tell the scores of {len(missing)} paths first: the next generation of '
                    f'NSGA-II depends on them. One is {missing[0]}'
                )
            if not self._paths:
                return False
            items = [self._scored[self._key(arch)] for arch in self._paths]
            objectives = np.array([[-item.score, item.cost_m] for item in items])
            problem = self._pymoo.StaticProblem(self._algorithm.problem, F=objectives)
            self._pymoo.Evaluator().eval(problem, self._generation)
            self._algorithm.tell(infills=self._generation)
        self._generation = self._algorithm.ask()
        rows = [] if self._generation is None else self._generation.get('X')
        self._paths = [self.space.decode([int(choice) for choice in row]) for row in rows]
        self._queue = [arch for arch in self._paths if self._key(arch) not in self._scored]
        return bool(self._paths)

    def _start(self) -> None:
        size, last = len(self.space.sizes), np.array(self.space.sizes) - 1
        first = [
            item.arch for item in self.scored
            if self.budget.is_feasible(item.arch) and len(self.space.encode(item.arch)) == size
        ]  # fmt: skip
        first += collect(self._random_path, self.settings['population'] - len(first))
        self._algorithm = self._pymoo.NSGA2(
            pop_size=self.settings['population'],
            sampling=np.array([self.space.encode(arch) for arch in first], dtype=int),
            crossover=self._pymoo.UniformCrossover(),
            mutation=self._pymoo.mutation(self._change),
            eliminate_duplicates=False,  # the children are new as they are made
        )
        problem = self._pymoo.Problem(n_var=size, n_obj=2, xl=0, xu=last, vtype=int)
        endless = self._pymoo.NoTermination()
        seed = int(self.rng.integers(2**31))
        self._algorithm.setup(problem, termination=endless, seed=seed, verbose=False)

    def _change(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make new paths within the budget of the children (N, positions)."""
        changed, sizes = [], np.array(self.space.sizes)
        several = np.maximum(sizes, 2)  # where there is one choice, a step of one leads back
        for row in [] if self._exhausted else rows:
            steps = rng.integers(1, several)
            steps *= rng.random(len(row)) < 1 / len(row)
            arch = self.space.reduced(self.space.decode(((row + steps) % sizes).tolist()))
            if not self._is_allowed(arch):
                arch = self.sampler.repair(arch, rng)
            arch = self._mark(arch) if self._is_new(arch) else self._mutant(arch, rng)
            if arch is None:
                self._exhausted = True
                break
            changed.append(self.space.encode(arch))
        return np.array(changed, dtype=int).reshape(len(changed), rows.shape[1])


def _import_pymoo():
    """The parts of pymoo that are used here; it takes a second to import."""
    from types import SimpleNamespace

    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.mutation import Mutation
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.ux import UniformCrossover
        from pymoo.problems.static import StaticProblem
    except ImportError as error:
        raise ImportError(
            f'NSGA-II needs pymoo ({error}); install it with: pip install "pymoo>=0.6.2"'
        ) from error

    class Change(Mutation):
        """Our change of children as an operator of pymoo."""

        def __init__(self, change):
            super().__init__()
            self.change = change

        def do(self, problem, pop, *args, random_state=None, **kwargs):
            return Population.new('X', self.change(pop.get('X'), random_state))

    return SimpleNamespace(
        NSGA2=NSGA2,
        Evaluator=Evaluator,
        mutation=Change,
        Problem=Problem,
        NoTermination=NoTermination,
        UniformCrossover=UniformCrossover,
        StaticProblem=StaticProblem,
    )
