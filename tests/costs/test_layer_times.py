import numpy as np
import pytest
from made_latency import by_hand, made_rows

from cream_mm.costs import Budget, build_cost_model
from cream_mm.costs.layer_times import LayerTimes, MissingTimes, named
from cream_mm.spaces import MBConvSpace, build_space

SPACES = dict(
    cream=MBConvSpace(depths=(2, 1, 2, 1, 1)),
    lite=MBConvSpace.build('lite0'),
    dna=MBConvSpace.build('dna_identity'),
    macro=MBConvSpace.build('nas_bench_macro'),
)


@pytest.mark.parametrize('name', SPACES)
def test_networks_take_the_sum_of_their_layers(name):
    space, size = SPACES[name], (33, 47)  # odd sides: a stride rounds up
    rows = made_rows(space, size, 7)
    costs = build_cost_model(space, size, 7, latency=dict(rows=rows))
    plain = build_cost_model(space, size, 7)
    rng = np.random.default_rng(0)
    for arch in [space.decode([0] * space.num_layers), *(space.sample(rng) for _ in range(20))]:
        found = costs.cost(arch)
        assert found.latency_ms == pytest.approx(by_hand(space, arch, size, 7), rel=1e-12)
        assert found[:4] == plain.cost(arch)[:4]
    low, high = (end['latency_ms'] for end in costs.extremes())
    Budget(costs, latency_ms=(low, high))


def test_a_backbone_alone_has_no_head():
    space = SPACES['cream']
    costs = build_cost_model(space, 32, head=None, latency=dict(rows=made_rows(space, 32)))
    arch = space.decode([1] * space.num_layers)
    assert costs.cost(arch).latency_ms == pytest.approx(by_hand(space, arch, 32, head=None))


def test_identity_takes_no_time_by_rule():
    """Where it changes nothing; elsewhere it is a conv1x1, which a table has to have."""
    space = MBConvSpace.build('nas_bench_macro')
    rows = made_rows(space, 32)
    costs = build_cost_model(space, 32, 10, latency=dict(rows=rows))
    skip = space.named_choices['identity']
    first, second = (costs.choice_costs(i)[skip].latency_ms for i in (0, 1))
    assert first > 0 and second == 0.0
    lone = [row for row in rows if row['op'] != 'conv1x1' or row['stride'] == 1]
    with pytest.raises(MissingTimes, match='conv1x1 kernel=1 in_channels=32 .* stride=2'):
        build_cost_model(space, 32, 10, latency=dict(rows=lone))


def test_all_that_is_missing_is_said_at_once():
    space = SPACES['cream']
    rows = [row for row in made_rows(space, 64) if row.get('kernel') != 7]
    with pytest.raises(MissingTimes) as error:
        build_cost_model(space, 64, 10, latency=dict(rows=rows))
    whole = {named(dict(row, se=True)) for row in (
        dict(row, in_size=tuple(row['in_size'])) for row in made_rows(space, 64)
    ) if row.get('kernel') == 7}  # fmt: skip
    assert set(error.value.layers) == whole and len(whole) == 14
    assert str(error.value).startswith('the table of times has no row for 14 layers')
    with pytest.raises(MissingTimes, match='mbconv kernel=3 .* in_size=40x40'):  # another size
        build_cost_model(space, 80, 10, latency=dict(rows=made_rows(space, 64)))


def test_one_row_for_the_head_and_one_for_all_networks():
    space, size = SPACES['cream'], 64
    rows = made_rows(space, size)
    arch = space.decode([0] * space.num_layers)
    parts = [row for row in rows if row['op'] in ('pool', 'linear') or row['in_size'] == [1, 1]]
    rest = [row for row in rows if row not in parts]
    whole = dict(op='head', in_channels=320, in_size=2, latency_ms=0.25)
    fixed = dict(op='fixed', latency_ms=0.125)
    costs = build_cost_model(space, size, 10, latency=dict(rows=[*rest, whole, fixed]))
    bare = build_cost_model(space, size, head=None, latency=dict(rows=rest))
    assert costs.cost(arch).latency_ms == pytest.approx(bare.cost(arch).latency_ms + 0.375)
    with pytest.raises(MissingTimes, match='head in_channels=320 head_channels=1280 out_chann'):
        other = dict(whole, head_channels=640)
        build_cost_model(space, size, 10, latency=dict(rows=[*rest, other]))


def test_rows_in_other_words():
    layer = dict(op='mbconv', kernel=3, expand=6, in_channels=16, out_channels=24, stride=2,
                 in_size=(56, 56), out_size=(28, 28), se=True)  # fmt: skip
    row = dict(op='Inverted-Residual', kernel=3, expand=6, in_channels=16, out_channels=24,
               stride=2, latency_ms=0.5)  # fmt: skip
    assert LayerTimes([dict(row, in_size=56)]).find(layer) == 0.5
    assert LayerTimes([dict(row, out_size=[28, 28])]).find(layer) == 0.5
    assert LayerTimes([dict(row, in_size=[56, 28])]).find(layer) is None
    both = LayerTimes([dict(row, in_size=56, se=1), dict(row, in_size=56, se=0, latency_ms=0.4)])
    assert (both.find(layer), both.find(dict(layer, se=False))) == (0.5, 0.4)
    twice = LayerTimes([dict(row, in_size=56), dict(row, in_size=56, latency_ms=0.7)])
    with pytest.raises(ValueError, match='rows 1 and 2 are both mbconv kernel=3 .* 0.5 and 0.7'):
        twice.find(layer)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(latency_ms=-1), 'row 1: latency_ms is -1'),
        (dict(latency_ms=float('nan')), 'row 1: latency_ms is nan'),
        (dict(latency_ms=True), 'row 1: latency_ms is True'),
        (dict(stride=None), r'row 1 \(mbconv\) has no stride'),
        (dict(in_size=None), r'row 1 \(mbconv\) has no in_size'),
        (dict(in_size=[1, 2, 3]), 'one side or height and width'),
    ],
)
def test_damaged_rows(change, message):
    row = dict(op='mbconv', kernel=3, expand=6, in_channels=16, out_channels=24, stride=2,
               in_size=56, latency_ms=0.5)  # fmt: skip
    with pytest.raises(ValueError, match=message):
        LayerTimes([row | change])


def test_a_table_of_blocks_names_what_all_cells_lack():
    cells = [[(1, 24), (2, 32)], [(1, 40), (2, 48)]]
    space = build_space(dict(type='BlockSpace', preset='dna', strides=(2, 2), cells=cells,
                             choices=[(3, 3), (5, 6)]))  # fmt: skip
    rows = made_rows(space, 32)
    lone = [row for row in rows if row.get('in_channels') != 32 or row.get('out_channels') != 48]
    with pytest.raises(MissingTimes) as error:
        build_cost_model(space, 32, 10, latency=dict(rows=lone))
    assert error.value.layers == [
        'mbconv kernel=3 expand=3 in_channels=32 out_channels=48 stride=2 se=True in_size=8x8',
        'mbconv kernel=5 expand=6 in_channels=32 out_channels=48 stride=2 se=True in_size=8x8',
    ]
    with pytest.raises(ValueError, match='one for each layer; got .*choices_ms'):
        build_cost_model(space, 32, latency=dict(fixed_ms=1, choices_ms=[]))


def test_rows_that_contradict_each_other():
    row = dict(op='pool', in_channels=8, in_size=7, latency_ms=0.5)
    table = LayerTimes([row, dict(row), dict(row, latency_ms=0.7)])
    with pytest.raises(ValueError, match='rows 1 and 3 are both pool .*, with 0.5 and 0.7 ms'):
        table.find(dict(op='pool', in_channels=8, in_size=(7, 7)))
