import itertools

import pytest

from cream_mm.spaces import BlockSpace, Cell, MBConvSpace, build_space
from cream_mm.structures import Arch

CELLS = [[(1, 24), (2, 24), (2, 32)], [(2, 40)]]


@pytest.fixture
def space():
    return BlockSpace.build(dict(preset='dna', strides=(2, 1), cells=CELLS))


def test_a_path_has_every_cell_and_an_answer_one_of_each_block(space):
    assert space.all_cells == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert space.sizes == (6,) * 7 and space.num_blocks == 2
    path = space.decode(range(6), like=space.decode([0] * 7))
    assert path.to_list() == [[0], [1, 2], [3, 4], [5]]
    answer = space.answer([1, 0], [[1, 2], [3, 4]])
    assert answer.to_list() == [[], [1, 2], [], [3, 4]] and space.cells_of(answer) == (1, 0)
    assert space.candidate(1, 0, [5, 0]).to_list() == [[], [], [], [5, 0]]
    assert space.validate(answer) == answer and space.parse(answer.to_list()) == answer


def test_an_answer_is_a_network_of_the_mbconv_space(space):
    network, plain = space.network(space.answer([2, 0], [[1, 2], [3, 4]]))
    assert network.to_list() == [[0], [1, 2], [3, 4], [0]]
    assert plain == MBConvSpace.build(
        dict(preset='dna', strides=(2, 1), depths=(2, 2), widths=(32, 40))
    )
    assert plain.validate(network) == network


def test_one_cell_per_block_is_the_space_itself():
    space = build_space(dict(type='BlockSpace', preset='dna'))
    assert space.skeleton == MBConvSpace.build('dna') and space.name == 'dna_blocks'
    sizes = [(2, 24), (4, 40), (4, 80), (4, 112), (4, 192), (1, 320)]
    assert space.cells == tuple((Cell(*size),) for size in sizes)
    arch = space.decode([1] * 19)
    assert space.network(arch) == (Arch(arch.stages, 'dna'), space.skeleton)


def test_number_of_networks():
    """The paper's space: 288 x 1548 x 1548 x 2808 x 16848 x 6 networks, 2e17 of them."""
    cells = [[(2, 24), (3, 24), (2, 32)], [(2, 40), (3, 40), (4, 40)], [(2, 80), (3, 80), (4, 80)],
             [(3, 112), (4, 112), (4, 96)], [(4, 192), (5, 192), (5, 160)], [(1, 320)]]  # fmt: skip
    space = BlockSpace.build(dict(preset='dna', cells=cells))
    assert space.num_networks == 288 * 1548 * 1548 * 2808 * 16848 * 6
    assert MBConvSpace.build('nas_bench_macro').num_networks == 6561


def test_layers_between_borders(space):
    layers = list(space.layers(0, 2, (16, 48)))
    assert [(x.in_channels, x.out_channels, x.stride) for x in layers] == [(16, 32, 2), (32, 48, 1)]
    (only,) = space.layers(0, 0, (16, 48))
    assert (only.in_channels, only.out_channels, only.stride, only.stage) == (16, 48, 2, 1)
    half = BlockSpace.build(dict(preset='dna', strides=(2, 1), cells=CELLS, width_mult=0.5))
    assert [x.out_channels for x in half.layers(0, 2, (16, 48))] == [16, 48]


def test_candidates_are_all_in_order(space):
    found = list(space.candidates(0, 1))
    assert found == list(itertools.product(range(6), repeat=2)) and len(found) == 36
    assert found[9] == (1, 3)  # read in base 6, first layer most significant


def test_what_is_no_network(space):
    for stages in ([[0], [1, 2], [3, 4], [5, 0]], [[], [], [], [5, 0]], [[0], [], [], []]):
        with pytest.raises(ValueError, match='one cell of each block'):
            space.cells_of(Arch(tuple(map(tuple, stages)), space.name))
    two = Arch(((0,), (1, 2), (), (5, 0)), space.name)
    with pytest.raises(ValueError, match='one cell of each block'):
        space.validate(two)
    with pytest.raises(ValueError, match='not nested'):
        space.validate(Arch(((0,), (1,), (3, 4), (5, 0)), space.name))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(cells=[[(1, 24)]]), 'cells of 1 blocks'),
        (dict(cells=[[], [(1, 24)]]), 'needs one cell'),
        (dict(cells=[[(1, 24), (1, 24)], [(1, 24)]]), 'different'),
        (dict(cells=[[(0, 24)], [(1, 24)]]), 'at least one layer|>= 1'),
        (dict(depths=(1, 2)), 'leave these out'),
        (dict(no_such=1), 'no_such'),
    ],
)
def test_what_is_wrong_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        BlockSpace.build(dict(dict(preset='dna', strides=(2, 1), cells=CELLS), **change))
