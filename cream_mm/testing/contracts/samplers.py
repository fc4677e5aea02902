"""The contract of a path sampler."""

import json
from collections.abc import Callable

import pytest

from ...search import PathSampler


class SamplerContract:
    """Subclasses give a fixture ``make``."""

    num_steps = 200

    @pytest.fixture
    def make(self) -> Callable:
        """``make(seed)`` gives a new sampler; all have the same space and budget."""
        raise NotImplementedError

    def test_is_a_function_of_seed_and_step(self, make: Callable[[int], PathSampler]) -> None:
        paths = [make(1).sample(step) for step in range(20)]
        assert [make(1).sample(step) for step in reversed(range(20))] == paths[::-1]
        one = make(1)
        assert [one.sample(step) for step in (7, 3, 7, 0)] == [paths[i] for i in (7, 3, 7, 0)]
        assert [make(2).sample(step) for step in range(20)] != paths

    def test_stays_in_space_and_budget(self, make: Callable[[int], PathSampler]) -> None:
        sampler = make(0)
        for step in range(self.num_steps):
            arch = sampler.space.validate(sampler.sample(step))
            assert sampler.budget.is_feasible(arch) and sampler.space.is_trainable(arch)

    def test_every_choice_is_trained(self, make: Callable[[int], PathSampler]) -> None:
        sampler = make(0)
        if sampler.budget.bounds:
            pytest.skip('which choices a budget allows is not known')
        steps = 50 * max(sampler.space.sizes)
        drawn = [sampler.space.encode(sampler.sample(step)) for step in range(steps)]
        for size, column in zip(sampler.space.sizes, zip(*drawn)):
            assert set(column) == set(range(size))

    def test_goes_on_from_its_state(self, make: Callable[[int], PathSampler]) -> None:
        sampler = make(0)
        for step in range(5):
            sampler.sample(step)
        state = json.loads(json.dumps(sampler.state_dict()))
        again = make(0)
        again.load_state_dict(state)
        assert again.state_dict() == state
        steps = range(5, 25)
        assert [again.sample(step) for step in steps] == [sampler.sample(step) for step in steps]
