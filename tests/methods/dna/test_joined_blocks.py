"""Against all networks, one by one."""

import itertools

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.methods.dna.joined_blocks import JoinedBlocks
from cream_mm.spaces import build_space

CELLS = [[(1, 24), (2, 24), (2, 32)], [(1, 40), (2, 48)], [(1, 56), (1, 64)]]
SPACE = build_space(dict(type='BlockSpace', preset='dna', strides=(2, 1, 2), cells=CELLS,
                         choices=[(3, 3), (5, 6)]))  # fmt: skip
COSTS = build_cost_model(SPACE, 32, 10)


@pytest.fixture(params=[0, 1, 2])
def tables(request):
    rng = np.random.default_rng(request.param)
    return {(b, c): rng.random(2 ** SPACE.cells[b][c].layers).tolist() for b, c in SPACE.all_cells}


def networks(tables):
    """(score, costs, architecture) of all, by brute force."""
    rows = []
    for cells in itertools.product(*(range(len(block)) for block in SPACE.cells)):
        lists = [list(enumerate(SPACE.candidates(b, c))) for b, c in enumerate(cells)]
        for chosen in itertools.product(*lists):
            arch = SPACE.answer(cells, [choices for _, choices in chosen])
            score = sum(tables[b, c][i] for (b, c), (i, _) in zip(enumerate(cells), chosen))
            rows.append((score, COSTS.cost(arch).in_units(), arch))
    return rows


def test_best_is_the_best_of_all_within_any_budget(tables):
    rows = networks(tables)
    macs = sorted(cost['macs_m'] for _, cost, _ in rows)
    params = sorted(cost['params_m'] for _, cost, _ in rows)
    n = len(rows)
    budgets = [{}, dict(macs_m=(None, macs[n // 3])), dict(macs_m=(macs[n // 2], None)),
               dict(params_m=(params[n // 4], params[n // 2])), dict(macs_m=(0, macs[0])),
               dict(macs_m=(macs[n // 8], macs[n // 2]), params_m=(0, params[n // 3]))]  # fmt: skip
    for bounds in budgets:
        budget = Budget(COSTS, **bounds)
        joined = JoinedBlocks(budget, tables)
        inside = [(score, arch) for score, _, arch in rows if budget.is_feasible(arch)]
        found = joined.best()
        assert (found is None) == (not inside)
        if inside:
            assert joined.score(found) == pytest.approx(min(inside)[0], abs=1e-12)
            assert budget.is_feasible(found)
            costs = [COSTS.cost(arch).macs for _, arch in inside]
            ends = [COSTS.cost(joined.end(sign)).macs for sign in (1, -1)]
            assert ends == pytest.approx([min(costs), max(costs)], rel=0.02)
            if not bounds:
                assert ends == [min(costs), max(costs)]


def test_what_diverged_hides_no_differences_of_the_others(tables):
    """A rating of 1e9 beside those of about 1: the join counts in shares of the largest sum."""
    tables[0, 1][2] = tables[2, 1][0] = 1e9
    rows = sorted(networks(tables), key=lambda row: row[0])
    joined = JoinedBlocks(Budget(COSTS), tables)
    assert joined.best() == rows[0][2] and joined.score(rows[-1][2]) > 1e9
    least, expected = np.inf, []
    for score, cost, _ in sorted(rows, key=lambda row: (row[1]['macs_m'], row[0])):
        if score < min(least, 1e8):
            least = score
            expected.append((cost['macs_m'], score))
    found = joined.front()
    assert [x for row in found for x in row[:2]] == pytest.approx([x for r in expected for x in r])
    tables.update({(2, cell): [1e9] * len(tables[2, cell]) for cell in (0, 1)})
    with pytest.raises(ValueError, match='all 4 candidates of block 3 diverged'):
        JoinedBlocks(Budget(COSTS), tables)


def test_columns_are_what_networks_cost(tables):
    joined = JoinedBlocks(Budget(COSTS), tables)
    for key in ('macs_m', 'params_m', 'published_flops_m'):
        for score, cost, arch in networks(tables)[::5]:
            total, group = 0.0, 0
            for block, cell in enumerate(SPACE.cells_of(arch)):
                choices = arch.stages[SPACE.place(block, cell)]
                i = joined.candidates[block].index((cell, choices))
                total += joined.column(key)[block][group, i]
                group = joined.groups[block][i]
            assert total == pytest.approx(cost[key], rel=1e-12)
            assert joined.score(arch) == pytest.approx(score)


def test_front_is_what_no_other_beats(tables):
    rows = sorted((cost['params_m'], score) for score, cost, _ in networks(tables))
    least, expected = np.inf, []
    for cost, score in rows:
        if score < least:
            least = score
            expected.append((cost, score))
    found = JoinedBlocks(Budget(COSTS), tables).front('params_m')
    assert [x for row in found for x in row[:2]] == pytest.approx([x for r in expected for x in r])
    for cost, _, arch in found:
        assert COSTS.cost(arch).in_units()['params_m'] == pytest.approx(cost)


def test_a_sample_is_a_network(tables):
    joined = JoinedBlocks(Budget(COSTS), tables)
    rng = np.random.default_rng(0)
    drawn = {joined.sample(rng) for _ in range(200)}
    assert len(drawn) > 60 and {SPACE.cells_of(arch) for arch in drawn} == set(
        itertools.product(range(3), range(2), range(2))
    )
