import itertools

import pytest
from made_latency import by_hand, made_rows

from cream_mm.costs import BlockCosts, Budget, build_cost_model
from cream_mm.spaces import build_space
from cream_mm.testing.contracts import CostModelContract

CELLS = [[(1, 24), (2, 24), (2, 32)], [(1, 40), (2, 48)], [(1, 56)]]
CFG = dict(
    type='BlockSpace', preset='dna', strides=(2, 1, 2), cells=CELLS, choices=[(3, 3), (5, 6)]
)


@pytest.fixture
def costs():
    return build_cost_model(build_space(CFG), 32, 10)


def answers(space):
    for cells in itertools.product(*(range(len(block)) for block in space.cells)):
        for choices in itertools.product(
            *(space.candidates(block, cell) for block, cell in enumerate(cells))
        ):
            yield space.answer(cells, choices)


class TestBlockCosts(CostModelContract):
    @pytest.fixture
    def cost_model(self, costs):
        return costs

    @pytest.fixture
    def archs(self, cost_model):
        return list(answers(cost_model.space))


class TestTimedBlockCosts(TestBlockCosts):
    @pytest.fixture
    def cost_model(self, costs):
        return build_cost_model(
            costs.space, 32, 10, latency=dict(rows=made_rows(costs.space, 32, 10))
        )


def test_a_cell_takes_longer_behind_a_wider_block(costs):
    space = costs.space
    timed = build_cost_model(space, 32, 10, latency=dict(rows=made_rows(space, 32, 10)))
    for arch in list(answers(space))[::3]:
        network, plain = space.network(arch)
        assert timed.cost(arch).latency_ms == pytest.approx(by_hand(plain, network, 32), rel=1e-12)
    narrow, wide = (timed.candidate_costs(1, 0, 'latency_ms', before) for before in (24, 32))
    assert (narrow < wide).all()
    rows = timed.layer_table(arch)
    assert sum(row['latency_ms'] for row in rows if 'latency_ms' in row) < timed.cost(arch)[4]


def test_an_answer_costs_what_its_network_does(costs):
    for arch in list(answers(costs.space))[::7]:
        network, plain = costs.space.network(arch)
        direct = build_cost_model(plain, 32, 10)
        assert costs.cost(arch) == direct.cost(network)
        assert costs.layer_table(arch) == direct.layer_table(network)
        assert costs.network(arch)[0] == network and costs.network(arch)[1].space == plain


def test_extremes_are_those_of_all_networks(costs):
    units = [costs.cost(arch).in_units() for arch in answers(costs.space)]
    for key in units[0]:
        values = [unit[key] for unit in units]
        assert [end[key] for end in costs.extremes()] == [min(values), max(values)]


def test_blocks_add_up_once_the_width_before_is_known(costs):
    for arch in answers(costs.space):
        before, total = None, None
        for block, cell in enumerate(costs.space.cells_of(arch)):
            choices = arch.stages[costs.space.place(block, cell)]
            rows = [row[c] for row, c in zip(costs.cell_costs(block, cell, before), choices)]
            total = sum(rows, total or rows[0]._replace(macs=0, params=0, board_flops=0,
                                                        published_flops=0))  # fmt: skip
            before = costs.space.cells[block][cell].width
        assert (total + costs.fixed(before))[:4] == costs.cost(arch)[:4]
    assert costs.widths(0) == [24, 32] and costs.widths(2) == [56]


def test_a_path_through_several_cells_is_no_network(costs):
    with pytest.raises(ValueError, match='no network'):
        costs.cost(costs.space.decode([0] * len(costs.space.sizes)))


def test_a_budget_is_of_the_joined_networks(costs):
    """Its extremes are those, and not those of all cells together."""
    low, high = (end['macs_m'] for end in costs.extremes())
    Budget(costs, macs_m=(low, low))
    with pytest.raises(ValueError, match='lie between'):
        Budget(costs, macs_m=(high * 1.001, None))
    with pytest.raises(ValueError, match='measured times'):
        Budget(costs, latency_ms=(0, 1))
    assert isinstance(costs, BlockCosts) and (costs.num_classes, costs.input_size) == (10, (32, 32))
