"""The contract of a search strategy."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from ...costs import Budget
from ...search import Strategy
from ...spaces import Space
from ...structures import Arch


class StrategyContract:
    """Subclasses give a fixture ``make``, and say what kind of strategy it is.

    Attributes:
        num (int): Paths that a test rates.
        compares_scores (bool): Whether ``best`` and ``front`` compare the scores that were told,
            and not, for instance, a fit to them. Defaults to True.
    """

    num = 24
    compares_scores = True

    @pytest.fixture
    def make(self) -> Callable[..., Strategy]:
        """``make(seed=0)`` gives a new strategy; all have the same space and budget."""
        raise NotImplementedError

    def score(self, arch: Arch, space: Space) -> float:
        """A score that its choices decide, alone and in pairs."""
        value, before = 0.0, 0
        for position, choice in enumerate(space.encode(arch)):
            rng = np.random.default_rng([position, choice, before])
            value, before = value + rng.normal(), choice
        return value

    def run(self, strategy: Strategy, num: int, batch: int = 3) -> list[Arch]:
        """Rate up to ``num`` paths, in the order in which they were asked for."""
        asked: list[Arch] = []
        while len(asked) < num:
            archs = strategy.ask(min(batch, num - len(asked)))
            if not archs:
                break
            strategy.tell(archs, [self.score(arch, strategy.space) for arch in archs])
            asked += archs
        return asked

    def test_asks_for_new_paths_within_the_budget(self, make: Callable[..., Strategy]) -> None:
        for batch in (1, 7):
            strategy = make()
            asked = self.run(strategy, self.num, batch)
            assert asked and len(set(map(strategy._key, asked))) == len(asked)
            for arch in asked:
                assert strategy.budget.is_feasible(strategy.space.validate(arch))
                assert strategy.space.proposes(arch)
            assert [item.arch for item in strategy.scored] == asked

    def test_is_a_function_of_the_seed(self, make: Callable[..., Strategy]) -> None:
        assert self.run(make(seed=3), self.num) == self.run(make(seed=3), self.num)

    def test_ask_is_for_at_least_one(self, make: Callable[..., Strategy]) -> None:
        with pytest.raises(ValueError, match='at least one path; got 0'):
            make().ask(0)

    def test_ends_when_nothing_is_left(self, make: Callable[..., Strategy]) -> None:
        strategy = make()
        strategy.max_repeats = 200
        asked = self.run(strategy, 40, batch=40)
        number = math.prod(strategy.space.sizes)
        if number <= 40:
            assert len(asked) <= number and strategy.ask(5) == []

    def test_what_was_told_is_not_asked_for(self, make: Callable[..., Strategy]) -> None:
        strategy = make()
        told = self.run(make(), 3)
        strategy.tell(told, [self.score(arch, strategy.space) for arch in told])
        assert not set(self.run(strategy, self.num - 3)) & set(told)

    def test_tell_refuses(self, make: Callable[..., Strategy]) -> None:
        strategy = make()
        archs = strategy.ask(1)
        arch = archs[0]
        for wrong, scores, message in (
            (archs, [1.0, 2.0], '1 paths, but 2 scores'),
            (archs, [math.nan], 'is not finite: nan'),
            (archs, [-math.inf], 'is not finite: -inf'),
            ([arch, arch], [1.0, 2.0], 'has a score already'),
            ([Arch(arch.stages, 'no such space')], [1.0], 'belongs to space'),
        ):
            with pytest.raises(ValueError, match=message):
                strategy.tell(wrong, scores)
        assert strategy.scored == []  # nothing of a call that failed is kept
        strategy.tell(archs, [1.0])
        with pytest.raises(ValueError, match='has a score already'):
            strategy.tell(archs, [1.0])
        with pytest.raises(ValueError, match='has a score already'):
            strategy.tell([arch, arch], [1.0, 2.0], renew=True)

    def test_best(self, make: Callable[..., Strategy]) -> None:
        strategy = make()
        with pytest.raises(ValueError, match='has a score yet'):
            strategy.best()
        self.run(strategy, self.num)
        best, items = strategy.best(), strategy.scored
        assert best in items and strategy.budget.is_feasible(best.arch)
        if self.compares_scores:
            assert best.score == max(item.score for item in items)
        costs = sorted(item.cost_m for item in items)
        tighter = Budget(strategy.budget.cost_model, macs_m=(None, costs[len(costs) // 2]))
        inside = [item for item in items if tighter.is_feasible(item.arch)]
        assert strategy.best(tighter) in inside
        if self.compares_scores:
            assert strategy.best(tighter).score == max(item.score for item in inside)

    def test_front(self, make: Callable[..., Strategy]) -> None:
        strategy = make()
        assert strategy.front() == []
        self.run(strategy, self.num)
        front, items = strategy.front(), strategy.scored
        assert front and set(front) <= set(items)
        costs = [item.cost_m for item in front]
        assert all(a < b for a, b in zip(costs, costs[1:]))
        assert costs[0] == min(item.cost_m for item in items)
        if self.compares_scores:
            unbeaten = {
                (item.cost_m, item.score) for item in items
                if not any(
                    other.score >= item.score and other.cost_m <= item.cost_m
                    and (other.score, other.cost_m) != (item.score, item.cost_m)
                    for other in items
                )
            }  # fmt: skip
            assert {(item.cost_m, item.score) for item in front} == unbeaten
            strategy.tell([item.arch for item in items], [1.0] * len(items), renew=True)
            assert [item.cost_m for item in strategy.front()] == [costs[0]]  # no more for no gain

    def test_goes_on_from_its_state(self, make: Callable[..., Strategy]) -> None:
        strategy = make(seed=5)
        told = self.run(strategy, self.num // 2)
        strategy.tell(told[:2], [5.0, -5.0], renew=True)
        state = json.loads(json.dumps(strategy.state_dict()))
        again = make(seed=5)
        again.load_state_dict(state)
        assert again.scored == strategy.scored and again.best() == strategy.best()
        assert again.state_dict() == strategy.state_dict()
        assert self.run(again, self.num // 2) == self.run(strategy, self.num // 2)
        with pytest.raises(ValueError, match='was used before'):
            again.load_state_dict(state)
        with pytest.raises(ValueError, match='the state is of'):
            make(seed=6).load_state_dict(state)

    def test_scores_are_renewed(self, make: Callable[..., Strategy]) -> None:
        strategy = make()
        told = self.run(strategy, min(self.num, 6))
        before = strategy.scored
        scores = [float(-i) for i in range(len(told))]
        strategy.tell(told, scores, renew=True)
        assert [item.arch for item in strategy.scored] == told
        assert [item.score for item in strategy.scored] == scores != [i.score for i in before]
        if self.compares_scores:
            assert strategy.best().arch == told[0]
        again = make()
        again.load_state_dict(json.loads(json.dumps(strategy.state_dict())))
        assert again.scored == strategy.scored  # a replay renews them, too
