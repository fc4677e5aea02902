"""The contract of a cost model."""

import itertools
import math
import timeit

import numpy as np
import pytest

from ...costs import Budget, Cost, CostModel, CostTable
from ...structures import Arch

MAX_ARCHS = 5000  # gone through one by one


class CostModelContract:
    """Subclasses give a fixture ``cost_model``. What its extremes say is checked on all
    architectures of a small space, and on drawn ones of a large one.
    """

    @pytest.fixture
    def cost_model(self) -> CostModel:
        """The cost model to test."""
        raise NotImplementedError

    @pytest.fixture
    def archs(self, cost_model: CostModel) -> list[Arch]:
        """All architectures of its space, or some."""
        space = cost_model.space
        if math.prod(space.sizes) <= MAX_ARCHS:
            return [space.decode(flat) for flat in itertools.product(*map(range, space.sizes))]
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(300)]

    def test_counts(self, cost_model: CostModel, archs: list[Arch]) -> None:
        keys = set(cost_model.cost(archs[0]).in_units())
        for arch in archs:
            cost = cost_model.cost(arch)
            assert isinstance(cost, Cost) and cost == cost_model.cost(arch)
            assert all(type(count) is int and count >= 0 for count in cost[:4])
            units = cost.in_units()
            assert set(units) == keys and units['macs_m'] == cost.macs / 1e6
            assert all(math.isfinite(value) for value in units.values())

    def test_the_same_network_costs_the_same(
        self, cost_model: CostModel, archs: list[Arch]
    ) -> None:
        """Of what a search proposes: idle choices, which :meth:`Space.reduced` drops, may cost."""
        for arch in filter(cost_model.space.proposes, archs):
            form = cost_model.cost(cost_model.space.canonical(arch))
            assert form[:4] == cost_model.cost(arch)[:4]

    def test_extremes_are_those_of_the_space(
        self, cost_model: CostModel, archs: list[Arch]
    ) -> None:
        ends = cost_model.extremes()
        if ends is None:
            pytest.skip('this model knows none')
        units = [cost_model.cost(arch).in_units() for arch in archs]
        assert set(ends[0]) == set(ends[1]) == set(units[0])
        whole = math.prod(cost_model.space.sizes) <= MAX_ARCHS
        for key in units[0]:
            values = [unit[key] for unit in units]
            assert ends[0][key] <= min(values) and max(values) <= ends[1][key]
            if whole:
                assert (ends[0][key], ends[1][key]) == (min(values), max(values))

    def test_a_table_adds_up(self, cost_model: CostModel, archs: list[Arch]) -> None:
        if not isinstance(cost_model, CostTable):
            pytest.skip('its costs do not add up')
        for arch in archs:
            choices = enumerate(cost_model.space.encode(arch))
            parts = [cost_model.choice_costs(i)[c] for i, c in choices]
            cost = cost_model.cost(arch)
            assert sum(parts, cost_model.fixed)[:4] == cost[:4]
            rows = cost_model.layer_table(arch)
            assert sum(row['macs'] for row in rows) == cost.macs
            assert sum(row['params'] for row in rows) == cost.params
            if cost.latency_ms is not None:
                times = [part.latency_ms for part in parts]
                assert cost_model.fixed.latency_ms + sum(times) == pytest.approx(cost.latency_ms)

    def test_a_lookup_takes_no_time(self, cost_model: CostModel, archs: list[Arch]) -> None:
        if not isinstance(cost_model, CostTable):
            pytest.skip('its costs are in no table')
        times = timeit.repeat(lambda: cost_model.cost(archs[-1]), number=100, repeat=50)
        assert min(times) / 100 < 20e-6

    def test_a_budget_is_obeyed(self, cost_model: CostModel, archs: list[Arch]) -> None:
        units = {arch: cost_model.cost(arch).in_units() for arch in archs}
        for key in next(iter(units.values())):
            values = sorted(unit[key] for unit in units.values())
            low, high = values[len(values) // 4], values[len(values) * 3 // 4]
            for bound in ((low, high), (None, low), [high, None], (values[0], values[-1])):
                budget = Budget(cost_model, **{key: bound})
                for arch, unit in units.items():
                    inside = bound[0] is None or bound[0] <= unit[key]
                    inside &= bound[1] is None or unit[key] <= bound[1]
                    assert budget.is_feasible(arch) == inside == (budget.violation(arch) == 0)

    def test_a_budget_that_nothing_meets(self, cost_model: CostModel, archs: list[Arch]) -> None:
        key = 'params_m'
        with pytest.raises(ValueError, match='cannot be met'):
            Budget(cost_model, **{key: (2, 1)})
        if cost_model.extremes() is not None:
            above = cost_model.extremes()[1][key] + 1
            with pytest.raises(ValueError, match='the networks of this search space lie between'):
                Budget(cost_model, **{key: (above, None)})
        if cost_model.cost(archs[0]).latency_ms is None:
            with pytest.raises(ValueError, match='needs measured times'):
                Budget(cost_model, latency_ms=(None, 1e9))
