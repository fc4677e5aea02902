import itertools

import pytest
from made_latency import by_hand, made_rows

from cream_mm.costs import Budget, CostTable, ElasticCosts, build_cost_model
from cream_mm.costs.layer_times import MissingTimes
from cream_mm.spaces import ElasticSpace
from cream_mm.testing import tiny_elastic, tiny_space
from cream_mm.testing.contracts import CostModelContract

SE_SPACE = ElasticSpace(tiny_space(strides=(2, 2)), [[0], [1, 0], [1], [0]], input_sizes=(33, 18))


def rows_of(space, sizes, num_classes=10):
    """Rows of all layers that paths may have, at each size."""
    whole = space.network(space.full_path)[1]
    return [row for size in sizes for row in made_rows(whole, size, num_classes)]


class TestElasticCosts(CostModelContract):
    @pytest.fixture(params=['sizes', 'no classifier', 'one size', 'times', 'one table of times'])
    def cost_model(self, request):
        space, args = SE_SPACE, {}
        if request.param == 'no classifier':
            args = dict(head=None)
        elif request.param == 'one size':
            space = tiny_elastic(input_sizes=())
        elif request.param == 'times':
            args = dict(latency=dict(rows=rows_of(space, (33, 18))))
        elif request.param == 'one table of times':
            space = SE_SPACE.at_size()
            times = build_cost_model(space, 33, 10, latency=dict(rows=rows_of(space, (33,))))
            choices = [[c.latency_ms for c in times.tables[0].choice_costs(i)] for i in range(3)]
            choices = [choices[:2], choices[2:]]
            latency = dict(fixed_ms=times.tables[0].fixed.latency_ms, choices_ms=choices)
            model = build_cost_model(space, 33, 10, latency=latency)
            assert model.extremes() == times.extremes()
            return model
        return build_cost_model(space, 33, 10, **args)


class TestTables(CostModelContract):
    @pytest.fixture(params=[0, 1])
    def cost_model(self, request):
        return build_cost_model(SE_SPACE, 33, 10).tables[request.param]


def paths(space, step=1):
    every = itertools.product(*map(range, space.sizes))
    return [space.decode(flat) for flat in itertools.islice(every, 0, None, step)]


@pytest.mark.parametrize('head', ['classifier', None])
def test_a_path_costs_what_its_network_does(head):
    costs = build_cost_model(SE_SPACE, 33, 10, head=head)
    for path in paths(SE_SPACE, 5):
        network, plain = SE_SPACE.network(path)
        alone = build_cost_model(plain, SE_SPACE.input_size(path), 10, head=head)
        assert costs.cost(path) == alone.cost(network)
        assert costs.layer_table(path) == alone.layer_table(network)
        named, table = costs.network(path)
        assert named == network and table.space == plain and table.cost(network) == costs.cost(path)
        assert table.input_size == alone.input_size and table.num_classes == alone.num_classes
        assert table.extremes() == alone.extremes() and table.layer_table(named)


def test_lite0_costs_what_is_known_of_it():
    full = [[0], [2, 2], [5, 5], [2] * 3, [5] * 3, [5] * 4, [2], [0]]
    space = ElasticSpace('lite0', full, input_sizes=(224, 128))
    costs = build_cost_model(space, 224)
    assert costs.cost(space.full_path).macs == 385_187_552  # 385.2 M, as published
    assert costs.cost(space.decode([*[0] * 15, 1])).macs == 126_637_568
    assert isinstance(costs, ElasticCosts) and len(costs.tables) == 2


def test_times_of_each_size():
    latency = dict(rows=rows_of(SE_SPACE, (33, 18)))
    costs = build_cost_model(SE_SPACE, 33, 10, latency=latency)
    for path in paths(SE_SPACE, 11):
        network, plain = SE_SPACE.network(path)
        size = SE_SPACE.input_size(path)
        assert costs.cost(path).latency_ms == pytest.approx(by_hand(plain, network, size), rel=1e-9)
        named, table = costs.network(path)
        assert table.cost(named) == costs.cost(path)
        low, high = (end['latency_ms'] for end in table.extremes())
        assert low <= costs.cost(path).latency_ms <= high
    assert 0 < len(costs.used_rows) < len(latency['rows'])
    assert Budget(costs, latency_ms=(None, 1e3)).is_feasible(SE_SPACE.full_path)
    # A row less that only smaller images need: all that is missing is named.
    less = [row for row in latency['rows'] if row['op'] != 'mbconv' or row['in_size'] != [9, 9]]
    assert len(less) < len(latency['rows'])
    with pytest.raises(MissingTimes, match='in_size=9x9') as error:
        build_cost_model(SE_SPACE, 33, 10, latency=dict(rows=less))
    assert all('in_size=9x9' in layer for layer in error.value.layers)
    # Rows of layers that no path has need not be there.
    used = [row for i, row in enumerate(latency['rows'], start=1) if i in costs.used_rows]
    again = build_cost_model(SE_SPACE, 33, 10, latency=dict(rows=used))
    assert again.extremes() == costs.extremes()


def test_times_of_one_size_do_for_no_other():
    one = dict(fixed_ms=1.0, choices_ms=[[[1.0] * 8, [1.0] * 4], [[1.0] * 8]])
    with pytest.raises(ValueError, match='is of one input size, and the space has 2.*in_size'):
        build_cost_model(SE_SPACE, 33, 10, latency=one)
    path = SE_SPACE.at_size().full_path
    assert build_cost_model(SE_SPACE.at_size(), 33, 10, latency=one).cost(path).latency_ms == 4.0


def test_costs_count_at_the_largest_size():
    with pytest.raises(ValueError, match=r'input_size=32 is not the first of .*\[33, 18\]'):
        build_cost_model(SE_SPACE, 32, 10)
    assert build_cost_model(SE_SPACE, (33, 33), 10).input_size == (33, 33)
    assert all(isinstance(table, CostTable) for table in build_cost_model(SE_SPACE, 33).tables)
