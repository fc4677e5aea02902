import itertools
import json
import timeit
from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import FairPathSampler, MainEffects, PathSampler
from cream_mm.spaces import MBConvSpace, NAOSpace, NASBench201Space, build_space
from cream_mm.spaces.nao import IDENTITY, NUM_NODES, OPERATIONS, first_way, unused_states
from cream_mm.structures import Arch
from cream_mm.testing import ToySpace
from cream_mm.testing.contracts import SpaceContract

GOLDEN = json.loads((Path(__file__).parents[1] / 'data/nao/space.json').read_text())
SPACE = NAOSpace()
V2 = (
    '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
)  # fmt: skip


class TestNAOSpace(SpaceContract):
    @pytest.fixture
    def space(self):
        return NAOSpace(channels=4, num_cells=1, stem_stride=2)


def cells(number, seed=0, few=False):
    """Cells at random; with few inputs and operations, so that many nodes are alike."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        cell = []
        for node in range(NUM_NODES):
            states = [0, *range(max(2, node), 2 + node)] if few else range(2 + node)
            for _ in range(2):
                cell += [int(rng.choice(states)), int(rng.integers(2 if few else 5))]
        yield tuple(cell)


def all_ways(cell):
    """Every way to write a cell, by its definition: orders of nodes, and of each one's pairs."""
    nodes = [cell[at : at + 4] for at in range(0, 20, 4)]
    for order in itertools.permutations(range(NUM_NODES)):
        number = {0: 0, 1: 1, **{2 + node: 2 + place for place, node in enumerate(order)}}
        rows = [
            ((number[nodes[node][0]], nodes[node][1]), (number[nodes[node][2]], nodes[node][3]))
            for node in order
        ]
        if any(state >= 2 + place for place, row in enumerate(rows) for state, _ in row):
            continue  # a node before one that it takes
        for pairs in itertools.product(*((row, row[::-1]) for row in rows)):
            yield tuple(value for row in pairs for pair in row for value in pair)


def graph(cell):
    found = nx.MultiDiGraph()
    for state in range(2 + NUM_NODES):
        found.add_node(state, input=state if state < 2 else None)
    for place, (state, op) in enumerate(zip(cell[::2], cell[1::2])):
        found.add_edge(state, 2 + place // 2, op=op)
    return found


def are_isomorphic(cell, other):
    return nx.is_isomorphic(
        graph(cell),
        graph(other),
        node_match=lambda a, b: a['input'] == b['input'],
        edge_match=lambda a, b: (
            Counter(e['op'] for e in a.values()) == Counter(e['op'] for e in b.values())
        ),
    )


def shuffled(cell, rng):
    """The same cell in another order, where its edges leave one."""
    ways = list(all_ways(cell))
    return ways[rng.integers(len(ways))]


# ---- what is written -------------------------------------------------------------------------


def test_published_text():
    arch = SPACE.parse(V2)
    golden = GOLDEN['naonet_v2']
    assert SPACE.encode(arch) == golden['arch']
    assert SPACE.format(arch) == SPACE.write(arch) == SPACE.spell(arch) == V2
    assert [list(part) for part in SPACE.concat(arch)] == golden['concat']
    assert arch.to_list() == [golden['arch'][:20], golden['arch'][20:]]
    digits = V2.replace(' | ', ' ').replace(' ', '')
    rows = f'{digits[:20]} {digits[20:]}'
    for value in (V2.replace(' | ', ' '), f'\n {V2}\t', V2.replace(' | ', '|'), digits, rows,
                  V2.replace(' ', ''), golden['arch'], tuple(golden['arch'])):  # fmt: skip
        assert SPACE.parse(value) == arch


def test_sizes():
    assert len(SPACE.sizes) == 40 and SPACE.sizes[:20] == SPACE.sizes[20:]
    assert SPACE.sizes[:20] == (2, 5, 2, 5, 3, 5, 3, 5, 4, 5, 4, 5, 5, 5, 5, 5, 6, 5, 6, 5)
    assert SPACE.positions_per_step == 2 and len(SPACE.sizes) % 2 == 0
    assert SPACE.factors(0) == [(0,), (1,)] and SPACE.factors(39) == [(i,) for i in range(5)]
    # Of other spaces, a position is a step.
    assert MBConvSpace().positions_per_step == NASBench201Space().positions_per_step == 1


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        (V2.replace(' | 0', ' '), 'not an architecture: .* of 5 nodes; got 39$'),
        (V2.replace(' | ', ' | 1 '), "not an architecture: .*; in 'nao' .* got 20 | 21"),
        (V2.replace('1 1 0 1 2', '1 1 0 | 1 2', 1).replace('0 0 | 0', '0 0 0'), 'not an archit'),
        (V2 + ' | ' + V2, 'not an architecture'),
        ('|', 'not an architecture'),
        (V2.replace('1 1', '2 1', 1), 'choice 2 at position 0 of .* is not one of 0..1'),
        (V2.replace('1 1', '1 5', 1), 'choice 5 at position 1 of .* is not one of 0..4'),
        (V2.replace('1 1', f'1 {"9" * 5000}', 1), 'choice 1000 at position 1'),
        (V2.replace('1 1', '1 -1', 1), 'not an architecture'),
        (V2.replace('1 1', '1 ١', 1), 'not an architecture'),
        ('1 ' * 6000, 'not an architecture: a text of 12000 characters'),
        ('|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|', 'not an architecture'),
        ([[1] * 20], 'is not nested as in'),
    ],
)
def test_what_is_no_architecture(value, words):
    with pytest.raises(ValueError, match=words) as error:
        SPACE.parse(value)
    assert len(str(error.value)) < 600


def test_each_class_claims_its_own_texts():
    cell = '|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|'
    ours = [V2, V2.replace(' | ', ' '), V2.replace(' | ', '|'), '1 1 | 0 2', V2 + ' 0',
            V2.replace(' ', ''), V2.replace(' | ', '').replace(' ', '')]  # fmt: skip
    for text in ours:
        assert NAOSpace.claims(text) and not NASBench201Space.claims(text)
    for text in (cell, cell.replace('|+|', '| + |')):
        assert NASBench201Space.claims(text) and not NAOSpace.claims(text)
    for text in ('', ' ', '|', '01201201', '430 3340 2340 1441 14441 0', '1 1 0 1', 'cream-14m',
                 '0' * 41, 'a | b', '[[0],[1]]', 'x.json'):  # fmt: skip
        assert not any(cls.claims(text) for cls in (NAOSpace, NASBench201Space, MBConvSpace))


# ---- the same network ------------------------------------------------------------------------


def test_pairs_exchanged():
    for golden in GOLDEN['exchange']:
        before = SPACE.decode(golden['before'])
        after = SPACE.exchange(before, *golden['nodes'])
        assert SPACE.encode(after) == golden['arch'] and SPACE.canonical(after) == (
            SPACE.canonical(before)
        )
        assert SPACE.exchange(after, *golden['nodes']) == before
    for nodes in ((5, 0), (0, -1)):
        with pytest.raises(ValueError, match='a node is 0 to 4; got'):
            SPACE.exchange(before, *nodes)


def test_rewritten():
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    arch = SPACE.decode(GOLDEN['exchange'][0]['before'])
    every = {SPACE.exchange(arch, *nodes) for nodes in itertools.product(range(5), repeat=2)}
    drawn = [SPACE.rewrite(arch, rng) for _ in range(400)]
    assert set(drawn) == every and len(every) == 25
    assert max(Counter(drawn).values()) < 40  # 16 expected
    assert drawn == [SPACE.rewrite(arch, again) for _ in drawn]
    # Where there is no other way it is the same.
    cell = NASBench201Space().decode([3] * 6)
    assert NASBench201Space().rewrite(cell, rng) is cell


@pytest.mark.parametrize('few', [False, True])
def test_the_canonical_cell_is_the_first_way(few):
    for cell in cells(40, few=few):
        ways = set(all_ways(cell))
        assert first_way(cell) == min(ways)
        assert {first_way(way) for way in sorted(ways)[::7]} == {min(ways)}


def test_equal_forms_are_isomorphic_graphs():
    rng, equal, same = np.random.default_rng(1), 0, 0
    pool = list(cells(150, seed=2, few=True)) + list(cells(50, seed=3))
    for cell in pool:
        others = [shuffled(cell, rng)]
        # One input taken from elsewhere: now and then that is the same graph.
        others += [
            cell[:at] + (value,) + cell[at + 1 :]
            for at in range(4, 20, 2) for value in range(2 + at // 4) if value != cell[at]
        ]  # fmt: skip
        for other in others:
            isomorphic = are_isomorphic(cell, other)
            assert (first_way(cell) == first_way(other)) == isomorphic
            equal += isomorphic
            same += isomorphic and other is not others[0]
    assert equal > len(pool) and same > 10  # not all by the shuffle


def test_canonical_keeps_what_is_written_well():
    form = SPACE.canonical(SPACE.parse(V2))
    assert SPACE.canonical(form) is form and SPACE.reduced(form) is form
    # Published networks are written otherwise: searches keep that.
    assert form != SPACE.parse(V2) and SPACE.proposes(SPACE.parse(V2))
    assert list(map(len, SPACE.concat(form))) == [4, 4]


def test_states_that_are_concatenated():
    for golden in GOLDEN['search_scale']:
        arch = SPACE.decode(golden['arch'])
        assert [list(part) for part in SPACE.concat(arch)] == golden['concat']
    assert unused_states((0, 0) * 10) == (1, 2, 3, 4, 5, 6)
    chain = [value for node in range(5) for value in (node, 0, node + 1, 0)]
    assert unused_states(tuple(chain)) == (6,)


def test_a_mutant_is_another_network():
    rng = np.random.default_rng(0)
    twins = SPACE.decode([*[0, 0, 1, 0] * 4, 2, 1, 3, 1] * 2)  # input 2, 3, 4 or 5: all the same
    for _ in range(300):
        mutant = SPACE.mutate(twins, rng)
        assert SPACE.canonical(mutant) != SPACE.canonical(twins)
        assert sum(a != b for a, b in zip(SPACE.encode(mutant), SPACE.encode(twins))) == 1


def test_layers_are_separable_convolutions():
    arch = SPACE.parse(V2)
    assert SPACE.count_layers(arch) == 7 + 7 - 1
    assert SPACE.count_layers(SPACE.decode([0, 1] * 20)) == 20
    assert SPACE.count_layers(SPACE.decode([0, 2] * 20)) == 0


def test_names_are_of_operations():
    assert SPACE.named_choices == dict(zip(OPERATIONS, range(5)))
    assert list(SPACE.named_positions) == list(range(1, 40, 2))
    assert {SPACE.sizes[i] for i in SPACE.named_positions} == {len(OPERATIONS)}
    assert SPACE.named_choices['identity'] == IDENTITY
    assert list(ToySpace().named_positions) == list(range(len(ToySpace().sizes)))


# ---- beside what searches --------------------------------------------------------------------


def test_settings():
    space = NAOSpace(channels=36, num_cells=6, stem_stride=4)
    assert space.stage_channels == (36, 72, 144) and space.stage_strides == (4, 8, 16)
    assert build_space(space.to_dict()) == space != SPACE
    for wrong in (dict(channels=0), dict(channels=16.0), dict(num_cells=0), dict(num_cells=True),
                  dict(stem_stride=3), dict(stem_stride=16), dict(stem_stride=True),
                  dict(stem_stride=4.0)):  # fmt: skip
        with pytest.raises(ValueError, match='|'.join(wrong)):
            NAOSpace(**wrong)
    with pytest.raises(ValueError, match="no \\['depth'\\]; it has name, channels, num_cells"):
        build_space(dict(type='NAOSpace', depth=3))


def test_what_belongs_to_another_space():
    other = Arch(SPACE.parse(V2).stages, 'another')
    with pytest.raises(ValueError, match='belongs to space'):
        SPACE.canonical(other)
    with pytest.raises(ValueError, match='belongs to space'):
        SPACE.mutate(other, np.random.default_rng(0))


def test_samplers_and_effects():
    budget = Budget(build_cost_model(SPACE, 32, 10), params_m=(0.5, 0.6))
    fair = FairPathSampler(SPACE, budget, seed=2)
    assert fair.round_length == 60
    round_ = [fair.sample(step) for step in range(60)]
    for size, column in zip(SPACE.sizes, zip(*map(SPACE.encode, round_))):
        assert Counter(column) == dict.fromkeys(range(size), 60 // size)
    plain = PathSampler(SPACE, budget, seed=1)
    archs = [plain.sample(step) for step in range(40)]
    assert len(set(archs)) == 40 and all(map(budget.is_feasible, archs))
    with pytest.raises(ValueError, match="op_prob weighs the same choices at .* 'nao' has 2 to 6"):
        PathSampler(SPACE, budget, op_prob=[1] * 5)
    # What each operation adds to a sum, found again.
    rated = [SPACE.sample(np.random.default_rng(seed)) for seed in range(600)]
    effects = MainEffects(rated, list(map(SPACE.count_layers, rated)))
    assert effects.predict(archs) == pytest.approx(list(map(SPACE.count_layers, archs)), abs=0.1)


def test_fast_enough_to_be_a_key():
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(50)]
    first_way.cache_clear()
    anew = min(
        timeit.repeat(lambda: [*map(SPACE.canonical, archs)], first_way.cache_clear, number=1)
    )
    again = min(timeit.repeat(lambda: [*map(SPACE.canonical, archs)], number=1))
    assert anew / 50 < 1e-3 and again / 50 < 3e-4  # 90 and 30 microseconds
    # Every node alike: many orders, and one form.
    twins = (0, 0, 1, 0) * 5
    assert first_way(twins) == twins
    assert min(timeit.repeat(lambda: first_way.__wrapped__(twins), number=1, repeat=9)) < 2e-3
