import itertools
import json
import timeit
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cream_mm.costs import Budget, build_cost_model
from cream_mm.search import FairPathSampler, PathSampler
from cream_mm.search.front import ends
from cream_mm.spaces import NASBench201Space, build_space
from cream_mm.spaces.nas_bench_201 import EDGES, OPERATIONS
from cream_mm.structures import Arch

GOLDEN = json.loads((Path(__file__).parents[1] / 'data/close/space.json').read_text())
SPACE = NASBench201Space()
COSTS = build_cost_model(SPACE, 32, 10)
ALL = [SPACE.decode(flat) for flat in itertools.product(range(5), repeat=6)]


def test_classes_are_those_of_the_benchmark():
    classes = SPACE.classes()
    assert len(ALL) == GOLDEN['n_all'] == 15_625
    assert len(classes) == len(set(classes)) == GOLDEN['n_unique_consider_zero_true'] == 6466
    assert SPACE.num_networks == 6466
    sizes = Counter(Counter(map(SPACE.canonical, ALL)).values())
    assert {str(size): n for size, n in sizes.items()} == GOLDEN['class_size_histogram']
    assert sum(n for size, n in sizes.items() if size > 1) == 1350


def test_the_canonical_cell_is_the_first_of_its_class():
    first = {}
    for arch in ALL:  # in the order of the operations
        assert SPACE.canonical(arch) == first.setdefault(SPACE.canonical(arch), arch)
    assert list(first) == SPACE.classes()


def test_released_lines():
    # Each stands for another class, and is written as we write it.
    lines = [*GOLDEN['released_first3'], GOLDEN['released_last']]
    assert len({SPACE.canonical(SPACE.parse(line)) for line in lines}) == 4
    for line in lines:
        assert SPACE.format(SPACE.parse(line)) == line
    assert len(set(map(SPACE.format, ALL))) == 15_625


def test_which_cells_can_be_trained():
    found = [SPACE.is_trainable(arch) for arch in ALL]
    assert sum(found) == GOLDEN['n_all_with_conv_on_live_path'] == 13_642
    classes = SPACE.classes(trainable=True)
    assert len(classes) == GOLDEN['released_with_conv_on_live_path'] == 6321
    # No class is mixed.
    assert all(SPACE.is_trainable(SPACE.canonical(a)) == yes for a, yes in zip(ALL, found))
    assert all(map(SPACE.is_trainable, classes))


def leads_through(ops):
    """Whether anything gets from node 0 to node 3: every way by hand."""
    op = dict(zip(EDGES, ops))
    ways = [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]
    return any(all(op[edge] for edge in zip(way, way[1:])) for way in ways)


def test_cells_through_which_nothing_gets():
    connected = [leads_through(SPACE.encode(arch)) for arch in ALL]
    assert sum(connected) == GOLDEN['n_connected_input_output'] == 15_284
    classes = SPACE.classes()
    out = [arch for arch in classes if not leads_through(SPACE.encode(arch))]
    assert len(out) == GOLDEN['released_disconnected'] == 5
    assert not any(map(SPACE.is_trainable, out))


@pytest.mark.parametrize('rule', GOLDEN['skip_rule'], ids=lambda rule: rule['arch'])
def test_live_edges(rule):
    live = SPACE.live_edges(SPACE.parse(rule['arch']))
    names = [f'{source}->{target}' for source, target in EDGES]
    assert sorted(n for n, yes in zip(names, live) if yes) == sorted(rule['edges_computed'])
    assert sorted(n for n, yes in zip(names, live) if not yes) == sorted(rule['edges_skipped'])


def test_layers_are_live_convolutions():
    text = '|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|none~2|'
    assert SPACE.count_layers(SPACE.parse(text)) == 2  # what enters node 2 goes nowhere
    assert SPACE.count_layers(SPACE.decode([3] * 6)) == 6
    assert all((SPACE.count_layers(arch) > 0) == SPACE.is_trainable(arch) for arch in ALL[::7])


def test_samples_are_all_networks_that_train():
    rng = np.random.default_rng(0)
    drawn = Counter(SPACE.sample(rng) for _ in range(40_000))
    assert set(drawn) <= set(SPACE.classes(trainable=True))
    # 40,000 draws of 6,321: each 6.3 times, Poisson; 11 are expected not to be met
    assert len(drawn) > 6321 - 30 and max(drawn.values()) < 25
    assert np.var(list(drawn.values())) == pytest.approx(6.33, rel=0.1)


def test_a_mutant_is_another_network_that_trains():
    rng = np.random.default_rng(1)
    for arch in [*ALL[::50], *SPACE.classes()[::50]]:
        mutant = SPACE.mutate(arch, rng)
        assert SPACE.is_trainable(mutant) and SPACE.canonical(mutant) == mutant
        assert mutant != SPACE.canonical(arch)
        # one edge away, from the cell itself to some cell of the mutant's class
        flat = SPACE.encode(arch)
        changed = [
            SPACE.canonical(SPACE.decode([*flat[:i], c, *flat[i + 1 :]]))
            for i in range(6) for c in range(5)
        ]  # fmt: skip
        assert mutant in changed


def test_searches_propose_canonical_cells_that_train():
    proposed = [arch for arch in ALL if SPACE.proposes(arch)]
    assert proposed == SPACE.classes(trainable=True)
    idle = SPACE.parse('|none~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|none~2|')
    assert str(SPACE.reduced(idle)) == '[[0],[0,0],[2,0,0]]'
    assert COSTS.cost(idle).params - COSTS.cost(SPACE.reduced(idle)).params == 243_040


def test_isomorphic_cells_may_cost_more_or_less():
    dearer = cheaper = 0
    for arch in ALL:
        params, least = (COSTS.cost(a).params for a in (arch, SPACE.canonical(arch)))
        dearer += params > least
        cheaper += params < least
    assert (dearer, cheaper) == (4229, 206)


def test_references_can_be_trained():
    cheapest, costliest = ends(Budget(COSTS))
    assert str(cheapest) == '[[0],[0,0],[2,0,0]]'  # one conv1x1
    assert str(costliest) == '[[3],[3,3],[3,3,3]]'
    cheapest, costliest = ends(Budget(COSTS, params_m=(0.2, 0.6)))
    assert all(map(SPACE.proposes, (cheapest, costliest)))
    inside = [a for a in SPACE.classes(True) if 0.2 <= COSTS.cost(a).in_units()['params_m'] <= 0.6]
    params = [COSTS.cost(a).params for a in inside]
    found = [COSTS.cost(a).params for a in (cheapest, costliest)]
    assert found == [min(params), max(params)]


def test_samplers_train_what_can_be_trained():
    fair = FairPathSampler(SPACE, Budget(COSTS), seed=2)
    for start in range(0, 100, 5):
        archs = [fair.sample(start + step) for step in range(5)]
        assert all(map(SPACE.is_trainable, archs))
        for column in zip(*map(SPACE.encode, archs)):
            assert sorted(column) == [0, 1, 2, 3, 4]
    prior = PathSampler(SPACE, Budget(COSTS), op_prob=[10, 10, 1, 0, 10])
    drawn = [prior.sample(step) for step in range(100)]
    assert all(map(SPACE.is_trainable, drawn))
    assert not any(3 in SPACE.encode(arch) for arch in drawn)


def test_cells_are_written_as_the_benchmark_does():
    text = '|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|'
    arch = SPACE.parse(text)
    assert arch.to_list() == [[3], [0, 4], [1, 2, 0]] and SPACE.encode(arch) == [3, 0, 4, 1, 2, 0]
    assert SPACE.format(arch) == text
    # operations of a node in any order, spaces around, digits, lists
    mixed = '|nor_conv_3x3~0|+|avg_pool_3x3~1|none~0|+|none~2|nor_conv_1x1~1|skip_connect~0|'
    for value in (mixed, f'  {text}\n', text.replace('+', ' + '), '304120', '[3,0,4,1,2,0]', arch):
        assert SPACE.parse(value) == arch


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        ('|none~0|', 'not an architecture'),
        ('|none~0|+|none~0|none~1|', 'not an architecture'),
        ('|none~0|+|none~0|none~0|+|none~0|none~1|none~2|', 'not an architecture'),
        ('|none~0|+|none~0|none~2|+|none~0|none~1|none~2|', 'not an architecture'),
        ('|none~0|+|none~0|none~1|+|none~0|none~1|', 'not an architecture'),
        ('|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|', 'not an architecture'),
        ('none~0|+|none~0|none~1|+|none~0|none~1|none~2|', 'not an architecture'),
        ('|none~0|none~1|+|none~0|+|none~0|none~1|none~2|', 'not an architecture'),
        ('|skip~0|+|none~0|none~1|+|none~0|none~1|none~2|', "'skip' .* is no operation of .* none"),
        ('|sep_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|', 'there are none, skip_connect'),
        ('||||', 'not an architecture'),
        ('|none~0|' * 2000, 'not an architecture: a text of 16000 characters'),
        ('[[3],[0,5],[1,2,0]]', 'choice 5 at position 2'),
        ('[[3],[0],[1,2,0,4]]', 'is not nested as in'),
        ('30412', "'30412' has 5 digits"),
    ],
)
def test_what_is_no_cell(value, words):
    with pytest.raises(ValueError, match=words) as error:
        SPACE.parse(value)
    assert len(str(error.value)) < 500


def test_what_is_no_cell_of_this_space():
    other = Arch(SPACE.decode([3] * 6).stages, 'another')
    for method in (SPACE.canonical, SPACE.is_trainable, SPACE.live_edges, SPACE.reduced,
                   SPACE.count_layers):  # fmt: skip
        with pytest.raises(ValueError, match='belongs to space'):
            method(other)
    with pytest.raises(ValueError, match='belongs to space'):
        SPACE.mutate(other, np.random.default_rng(0))


def test_settings():
    space = NASBench201Space(channels=8, num_cells=1, stem_stride=4)
    assert space.stage_channels == (8, 16, 32)
    assert build_space(space.to_dict()) == space != SPACE
    for wrong in (dict(channels=0), dict(channels=16.0), dict(num_cells=0), dict(num_cells=True),
                  dict(stem_stride=3), dict(stem_stride=16), dict(stem_stride=True),
                  dict(stem_stride=4.0)):  # fmt: skip
        with pytest.raises(ValueError, match='|'.join(wrong)):
            NASBench201Space(**wrong)
    with pytest.raises(ValueError, match="no \\['depth'\\]; it has name, channels, num_cells"):
        build_space(dict(type='NASBench201Space', depth=3))


def test_what_operations_are_made_of():
    assert SPACE.named_choices == dict(zip(OPERATIONS, range(5)))
    # an edge and an operation, as a controller is told
    assert SPACE.factors(0) == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]
    assert SPACE.factors(5) == [(5, choice) for choice in range(5)]


def test_fast_enough_to_be_asked_at_every_step():
    arch, rng = ALL[12_345], np.random.default_rng(0)
    for ask in (lambda: SPACE.canonical(arch), lambda: SPACE.is_trainable(arch),
                lambda: SPACE.mutate(arch, rng)):  # fmt: skip
        assert min(timeit.repeat(ask, number=20, repeat=20)) / 20 < 1e-3
