import itertools
import json
import timeit
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cream_mm.costs import Cost, CostTable, build_cost_model
from cream_mm.models import CreamClsHead, CreamNet
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.models.backbones.published import published_nets
from cream_mm.models.layers import head_settings
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import ToySpace, tiny_space

ISSUE_12A = [[0], [2, 0, 3, 2], [2, 3, 1, 2], [2, 5, 3, 3], [3, 3, 1, 5], [4, 0, 5, 3], [0]]
ISSUE_12B = [[0], [4, 2, 2, 0], [2, 2, 4, 5], [0, 4, 4, 4], [5, 0, 0, 0], [0, 1, 3, 1], [0]]

# name -> parameters, MACs in millions, the number it is named after
PUBLISHED = {
    'cream-14m': (2_673_096, '13.19', '13.84'),
    'cream-43m': (4_398_600, '40.66', '42.40'),
    'cream-114m': (4_410_120, '109.62', '114.48'),
    'cream-287m': (6_044_368, '276.26', '287.18'),
    'cream-481m': (7_713_360, '460.40', '481.58'),
    'cream-604m': (9_695_624, '578.70', '604.31'),
}


def counted_by_torch(arch, space, size, num_classes=1000, hidden=1280):
    """(MACs, parameters) of the built network, as torch counts them."""
    with torch.device('meta'):
        net = nn.Sequential(
            CreamNet(arch, space=space.to_dict(), out_indices=(space.num_stages + 1,)),
            CreamClsHead(num_classes, **head_settings(space, hidden)),
        ).eval()
        image = torch.empty(1, space.in_channels, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters())


def archs_of(space):
    for flat in itertools.product(range(len(space.choices)), repeat=space.num_layers):
        yield space.decode(flat)


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_networks(name):
    params, macs_m, published_m = PUBLISHED[name]
    arch, space, _ = resolve_arch(name)
    size = published_nets[name].input_size
    cost = build_cost_model(space, size).cost(arch)
    assert cost.params == params
    assert f'{cost.macs / 1e6:.2f}' == macs_m
    assert f'{cost.published_flops / 1e6:.2f}' == published_m
    assert (cost.macs, cost.params) == counted_by_torch(arch, space, (size, size))


@pytest.mark.parametrize(
    ('nested', 'flops_m', 'params'),
    [
        ([[0], *[[0] * 4] * 5, [0]], 297.836608, 4_809_776),
        ([[0], *[[5] * 4] * 5, [0]], 571.514800, 7_812_248),
        (ISSUE_12A, 421.330992, 6_848_832),
        (ISSUE_12B, 378.956912, 6_596_144),
    ],
    ids=['all-0', 'all-5', 'issue12-a', 'issue12-b'],
)
def test_lines_of_the_released_board(nested, flops_m, params):
    cost = build_cost_model(MBConvSpace(), 224).cost(Arch.from_list(nested))
    assert cost.in_units()['board_flops_m'] == flops_m  # every bit
    assert cost.params == params


def test_board_constant():
    assert build_cost_model(MBConvSpace(), 224).fixed.board_flops == 14_908_896


@pytest.mark.parametrize(
    ('space', 'size', 'num_classes', 'hidden'),
    [
        (MBConvSpace(), (224, 224), 1000, 1280),
        (MBConvSpace(), (97, 130), 10, 64),  # odd sides: strides round up
        (MBConvSpace(width_mult=0.5, stem_stride=1, depths=(2, 1, 3, 2, 1)), (28, 28), 10, 256),
        (tiny_space(), (9, 7), 3, 16),
        (tiny_space(in_channels=1, strides=(1, 2)), (8, 8), 3, 16),
        (MBConvSpace.build('lite0'), (224, 224), 1000, 1280),
        (MBConvSpace.build('lite2'), (97, 130), 10, 64),
        (tiny_space(final_channels=0), (9, 7), 3, 16),
        (tiny_space(final_channels=0, head_norm=True), (9, 7), 3, 0),
        (tiny_space(head_norm=True, padding='same', act='relu6'), (9, 7), 3, 16),
    ],
    ids=[
        'cream',
        'odd',
        'half width',
        'tiny',
        'grey',
        'lite0',
        'lite2',
        'no conv',
        'no head conv',
        'norm in the head',
    ],
)
def test_equals_what_torch_counts(space, size, num_classes, hidden):
    choices = len(space.choices)
    arch = space.decode([(3 * i + 1) % choices for i in range(space.num_layers)])
    cost = build_cost_model(space, size, num_classes, hidden).cost(arch)
    assert (cost.macs, cost.params) == counted_by_torch(arch, space, size, num_classes, hidden)


def test_input_size_is_height_and_width():
    space = tiny_space()
    arch = next(archs_of(space))
    assert build_cost_model(space, 12).cost(arch) == build_cost_model(space, [12, 12]).cost(arch)
    assert (
        build_cost_model(space, (6, 24)).cost(arch).macs
        == build_cost_model(space, (24, 6)).cost(arch).macs
    )


def test_shallower_and_deeper_than_the_supernet():
    space = tiny_space()
    model = build_cost_model(space, 8, 3, 16)
    for stages in (((1,), (0, 1)), ((0, 1, 1, 0), (1,))):
        arch = Arch(stages)
        assert tuple(model.cost(arch)[:2]) == counted_by_torch(arch, space, (8, 8), 3, 16)


@pytest.mark.parametrize('depths', [(2, 2), (1, 3)])
def test_extremes_equal_brute_force(depths):
    # Cheap in parameters is not cheap in MACs here: each count has its own extreme.
    space = tiny_space(depths=depths, choices=((7, 2), (3, 6), (5, 4)))
    model = build_cost_model(space, (8, 10), 3, 16)
    costs = [model.cost(arch).in_units() for arch in archs_of(space)]
    smallest, largest = model.extremes()
    assert set(smallest) == set(largest) == set(costs[0])
    for key in costs[0]:
        assert smallest[key] == min(cost[key] for cost in costs)
        assert largest[key] == max(cost[key] for cost in costs)


def test_extremes_of_cream():
    smallest, largest = build_cost_model(MBConvSpace(), 224).extremes()
    assert smallest['board_flops_m'] == 297.836608
    assert largest['board_flops_m'] == 571.514800
    assert largest['params_m'] == 7.812248


@pytest.mark.parametrize('name', ['cream-14m', 'cream-604m'])
def test_layer_table_adds_up(name):
    arch, space, _ = resolve_arch(name)
    model = build_cost_model(space, published_nets[name].input_size)
    rows, cost = model.layer_table(arch), model.cost(arch)
    assert sum(row['macs'] for row in rows) == cost.macs
    assert sum(row['params'] for row in rows) == cost.params
    assert len(rows) == sum(arch.depths) + 5
    assert all('cost' not in row for row in rows)


def test_layer_table_rows():
    model = build_cost_model(MBConvSpace(), 224)
    rows = model.layer_table(Arch.from_list(ISSUE_12A))
    assert [row['name'] for row in rows] == [
        'stem', 'blocks.0.0',
        *(f'blocks.{stage}.{layer}' for stage in (1, 2, 3, 4, 5) for layer in (0, 1, 2, 3)),
        'blocks.6.0', 'conv_head', 'classifier',
    ]  # fmt: skip
    row = next(row for row in rows if row['name'] == 'blocks.3.1')
    # choice 5 of stage 3: kernel 7, expansion 6, 80 -> 480 -> 80 on 14 x 14
    convs = (2 * 80 * 480 + 49 * 480) * 196 + 2 * 480 * 120
    weights = 2 * 80 * 480 + 49 * 480 + 2 * 480 * 120 + 120 + 480 + 2 * (480 + 480 + 80)
    assert row == dict(
        name='blocks.3.1', op='MBConv', stage=3, kernel=7, expand=6, in_channels=80,
        out_channels=80, stride=1, out_size=[14, 14], macs=convs, params=weights,
    )  # fmt: skip
    first = next(row for row in rows if row['name'] == 'blocks.3.0')
    assert (first['kernel'], first['expand'], first['stride']) == (5, 4, 2)
    assert (first['in_channels'], first['out_size']) == (40, [14, 14])


def test_the_table_is_not_changed_by_reading_it():
    model = build_cost_model(tiny_space(), 8, 3, 16)
    arch = next(archs_of(model.space))
    before = model.cost(arch)
    for row in model.layer_table(arch):
        row['macs'] = 0
    assert model.cost(arch) == before and isinstance(before, Cost)
    assert sum(row['macs'] for row in model.layer_table(arch)) == before.macs


def test_is_a_lookup():
    model, arch = build_cost_model(MBConvSpace(), 224), Arch.from_list(ISSUE_12A)
    seconds = min(timeit.repeat(lambda: model.cost(arch), number=200, repeat=20)) / 200
    assert seconds < 20e-6


# --- other spaces ---

# architecture -> MACs, parameters: lines of the benchmark's table for CIFAR-10
NAS_BENCH_MACRO = {
    '00000000': (7_713_280, 387_882),
    '11111111': (53_246_464, 1_588_874),
    '22222222': (105_660_928, 2_932_586),
    '00110021': (38_130_176, 1_757_802),
    '02220120': (63_539_712, 1_695_274),
    '11022212': (75_305_472, 2_381_386),
    '11112212': (72_311_296, 2_296_970),
    '11201121': (58_751_488, 1_958_602),
    '12110102': (55_433_728, 1_542_602),
    '12202010': (56_910_336, 1_156_234),
    '22111222': (85_840_384, 2_655_914),
    '22210210': (64_557_568, 1_338_602),
}
# cells' widths, ops -> MACs, parameters, what the counter of the released code says
DNA = {
    'a': ((24, 40, 80, 96, 160, 320), '430 3340 2340 1441 14441 0',
          (335_141_728, 4_243_318, 348_161_054)),
    'b': ((24, 40, 80, 96, 192, 320), '342 242 1440 1441 24442 0',
          (392_492_032, 4_918_180, 405_784_844)),
    'c': ((24, 40, 80, 112, 192, 320), '10 1101 1011 0114 1411 0',
          (450_138_976, 5_273_896, 465_920_048)),
    'd': ((24, 40, 80, 112, 192, 320), '212 2222 2112 2121 21112 0',
          (592_837_792, 6_409_486, 611_198_918)),
}  # fmt: skip
WITH_IDENTITY = [
    (MBConvSpace.build('nas_bench_macro'), 32),
    (MBConvSpace.build(dict(preset='dna_identity', depths=(2,) * 6)), 64),
    (tiny_space(choices=('identity', (3, 4)), act='relu', se='efficientnet', head_channels=0), 8),
]


def macro():
    space = MBConvSpace.build('nas_bench_macro')
    return space, build_cost_model(space, 32, 10)


@pytest.mark.parametrize('text', NAS_BENCH_MACRO)
def test_lines_of_nas_bench_macro(text):
    space, model = macro()
    assert tuple(model.cost(space.parse(text))[:2]) == NAS_BENCH_MACRO[text]


def test_all_of_nas_bench_macro():
    path = Path(__file__).parents[2] / 'data/nas-bench-macro_cifar10.json'
    if not path.is_file():
        pytest.skip(f'the benchmark is not there: {path}')
    table = json.loads(path.read_text())
    space, model = macro()
    by_form = {}
    for text, line in table.items():
        arch = space.parse(text)
        cost = model.cost(arch)
        assert (cost.macs, cost.params) == (line['flops'], line['params']), text
        assert by_form.setdefault(space.canonical(arch), cost) == cost
    assert (len(table), len(by_form)) == (6561, 3969)
    arch = space.parse('12012012')
    seconds = min(timeit.repeat(lambda: model.cost(arch), number=200, repeat=20)) / 200
    assert seconds < 20e-6


@pytest.mark.parametrize('name', DNA)
def test_published_networks_of_dna(name):
    widths, text, expected = DNA[name]
    space = MBConvSpace.build(dict(preset='dna', widths=widths))
    cost = build_cost_model(space, 224).cost(space.parse(text))
    assert (cost.macs, cost.params, cost.published_flops) == expected
    rows = build_cost_model(space, 224).layer_table(space.parse(text))
    assert sum(row['macs'] for row in rows) == cost.macs


# name -> input size, MACs: half of what torch.utils.flop_counter counts in timm's
# tf_efficientnet_lite*; parameters
LITE = {
    'lite0': (224, 385_187_552, 4_652_008),
    'lite1': (240, 600_185_232, 5_416_680),
    'lite2': (260, 859_736_272, 6_092_072),
}


def lite(name):
    """EfficientNet's kernels, expansion 6."""
    space = MBConvSpace.build(name)
    choices = [space.choices.index((kernel, 6)) for kernel in (3, 5, 3, 5, 5, 3)]
    stages = [[choice] * depth for choice, depth in zip(choices, space.depths, strict=True)]
    return space, space.parse([[0], *stages, [0]])


@pytest.mark.parametrize('name', LITE)
def test_efficientnet_lite(name):
    size, macs, params = LITE[name]
    space, arch = lite(name)
    cost = build_cost_model(space, size).cost(arch)
    assert (cost.macs, cost.params) == (macs, params)
    assert f'{build_cost_model(*lite("lite0")[:1], 128).cost(lite("lite0")[1]).macs / 1e6:.1f}' == (
        '126.6'
    )


def test_rows_where_the_head_has_the_last_conv1x1():
    space, arch = lite('lite0')
    model = build_cost_model(space, 224)
    rows, alone = model.layer_table(arch), build_cost_model(space, 224, head=None)
    assert [row['name'] for row in rows][-4:] == ['blocks.6.0', 'conv_head', 'pool', 'classifier']
    conv, pool, linear = rows[-3:]
    assert (conv['in_channels'], conv['out_channels'], conv['out_size']) == (320, 1280, [7, 7])
    assert (conv['macs'], conv['params']) == (320 * 1280 * 49, 320 * 1280 + 2 * 1280)
    assert (pool['macs'], pool['in_channels'], linear['in_channels']) == (0, 1280, 1280)
    assert alone.layer_table(arch) == rows[:-3]
    with torch.device('meta'):
        net = CreamNet(arch, space=space.to_dict())
    assert alone.cost(arch).params == sum(p.numel() for p in net.parameters())
    assert model.cost(arch).macs - alone.cost(arch).macs == conv['macs'] + 1280 * 1000


@pytest.mark.parametrize(('space', 'size'), WITH_IDENTITY, ids=lambda x: getattr(x, 'name', x))
def test_spaces_with_identity_equal_what_torch_counts(space, size):
    model, rng = build_cost_model(space, size, 10), np.random.default_rng(0)
    nothing = space.decode([space.choices.index('identity')] * space.num_layers)
    for arch in (nothing, space.sample(rng), space.sample(rng)):
        cost = model.cost(arch)
        expected = counted_by_torch(arch, space, (size, size), 10, space.head_channels)
        assert (cost.macs, cost.params) == expected
        rows = model.layer_table(arch)
        assert sum(row['macs'] for row in rows) == cost.macs
        assert sum(row['params'] for row in rows) == cost.params


def test_rows_of_an_identity():
    space, model = macro()
    rows = {row['name']: row for row in model.layer_table(space.parse('00000000'))}
    assert 'blocks.0.0' not in rows and 'conv_head' not in rows
    row = rows['blocks.1.0']
    assert (row['op'], row['kernel'], row['stride']) == ('conv1x1', 1, 2)
    assert (row['macs'], row['params']) == (32 * 64 * 256, 32 * 64 + 128)
    row = rows['blocks.1.1']
    assert (row['op'], row['kernel'], row['macs'], row['params']) == ('identity', None, 0, 0)
    assert rows['classifier']['in_channels'] == 1280


def test_head_of_the_space_or_another():
    space = MBConvSpace.build('nas_bench_macro')
    plain, hidden = build_cost_model(space, 32, 10), build_cost_model(space, 32, 10, 64)
    assert (plain.head_channels, hidden.head_channels) == (0, 64)
    linear, conv = 1280 * 10 + 10, 1280 * 64 + 64
    assert hidden.fixed.params - plain.fixed.params == conv + 64 * 10 + 10 - linear
    assert build_cost_model(MBConvSpace(), 224).head_channels == 1280


# --- the backbone alone, times, and other spaces ---


def test_backbone_alone():
    space, arch = tiny_space(), tiny_space().decode([0, 1, 1, 0])
    whole, alone = build_cost_model(space, 8, 3, 16), build_cost_model(space, 8, head=None)
    assert [row['name'] for row in whole.layer_table(arch)][-2:] == ['conv_head', 'classifier']
    assert alone.layer_table(arch) == whole.layer_table(arch)[:-2]
    assert (alone.num_classes, alone.head_channels) == (None, None)
    hidden, classes = 32 * 16 + 16, 16 * 3 + 3
    assert whole.cost(arch).params - alone.cost(arch).params == hidden + classes
    assert whole.cost(arch).macs - alone.cost(arch).macs == 32 * 16 + 16 * 3
    with torch.device('meta'):
        net = CreamNet(arch, space=space.to_dict())
    assert alone.cost(arch).params == sum(p.numel() for p in net.parameters())
    with pytest.raises(ValueError, match="'classifier' or None, the backbone alone; got 'none'"):
        build_cost_model(space, 8, head='none')


TIMES = [[[1.0, 2.5], [0.25, 4.0]], [[3.0, 0.5], [8.0, 16.0]]]
LATENCY = dict(fixed_ms=10, choices_ms=TIMES)


def test_latency_is_one_more_column():
    space = tiny_space()
    plain, model = (build_cost_model(space, 8, 3, 16, latency=x) for x in (None, LATENCY))
    for arch in archs_of(space):
        (a, b), (c, d) = arch.stages
        expected = 10 + TIMES[0][0][a] + TIMES[0][1][b] + TIMES[1][0][c] + TIMES[1][1][d]
        cost = model.cost(arch)
        assert cost.latency_ms == cost.in_units()['latency_ms'] == expected
        assert cost[:4] == plain.cost(arch)[:4] and 'latency_ms' not in plain.cost(arch).in_units()
    smallest, largest = (side['latency_ms'] for side in model.extremes())
    assert (smallest, largest) == (10 + 1 + 0.25 + 0.5 + 8, 10 + 2.5 + 4 + 3 + 16)
    rows = {row['name']: row for row in model.layer_table(arch)}
    assert rows['blocks.2.1']['latency_ms'] == 16.0 and 'latency_ms' not in rows['stem']
    shallow, deep = Arch(((1,), (0, 1))), Arch(((1, 1, 1), (0,)))
    assert model.cost(shallow).latency_ms == 10 + 2.5 + 3 + 16
    assert model.cost(deep).latency_ms is None  # nobody measured a third layer
    assert model.cost(deep)[:4] == plain.cost(deep)[:4]


@pytest.mark.parametrize(
    ('latency', 'message'),
    [
        (dict(fixed_ms=1), "'choices_ms': ...}; got .'fixed_ms'"),
        (dict(LATENCY, unit='s'), "got .*'unit'"),
        (dict(LATENCY, fixed_ms=-1), 'latency.fixed_ms is -1, not milliseconds'),
        (dict(LATENCY, fixed_ms=None), 'latency.fixed_ms is None'),
        (dict(LATENCY, choices_ms=TIMES[:1]), r'latency.choices_ms needs 2 stages; got 1'),
        (dict(LATENCY, choices_ms=[TIMES[0], [[1, 1]]]), r'choices_ms\[1\] needs 2 layers; got 1'),
        (dict(LATENCY, choices_ms=[TIMES[0], [[1, 1], [1]]]), r'\[1\]\[1\] needs 2 choices; got 1'),
        (dict(LATENCY, choices_ms=[TIMES[0], [[1, 1], 3]]), r'\[1\]\[1\] needs 2 choices; got 3'),
        (
            dict(LATENCY, choices_ms=[TIMES[0], [[1, 1], [1, float('nan')]]]),
            r'choices_ms\[1\]\[1\]\[1\] is nan, not milliseconds',
        ),
    ],
)
def test_wrong_latencies(latency, message):
    with pytest.raises(ValueError, match=message):
        build_cost_model(tiny_space(), 8, latency=latency)


def test_adding_costs():
    timed = Cost(1, 2, 3, 4, 0.5)
    assert timed + Cost(10, 20, 30, 40) == (11, 22, 33, 44, 0.5)
    assert sum([timed, timed], Cost()) == (2, 4, 6, 8, 1.0)
    assert (Cost(1) + Cost(2)).latency_ms is None


def test_a_space_without_costs():
    class Unknown(ToySpace):
        pass

    assert isinstance(build_cost_model(Unknown(), 4), CostTable)  # those of what it is made from

    with pytest.raises(ValueError, match='no costs are known of a dict; .*build_cost_model.regist'):
        build_cost_model({}, 4)


def test_a_table_of_another_shape():
    with pytest.raises(ValueError, match=r"table of \(2, 3, 3\) choices; 'toy' has \(2, 3, 4\)"):
        CostTable(ToySpace(), [[[Cost()] * 2], [[Cost()] * 3]], input_size=(1, 1))


def test_costs_of_the_toy_space():
    space = ToySpace()
    model = build_cost_model(space, (2, 3), 7)
    assert model.cost(space.parse('123')) == Cost(7 + 6 * (101 + 202 + 303), 7 + 101 + 202 + 303)
    assert model.cost(space.parse('020')).params == 7 + 202
    assert model.choice_costs(2)[3].params == 303
    assert model.layer_table(space.parse('123'))[1] == dict(
        name='2.0', op='2', macs=6 * 202, params=202
    )
    cut = ToySpace(cuts=True)
    assert build_cost_model(cut, (2, 3), 7).cost(cut.parse('020')).params == 7
    assert build_cost_model(cut, (2, 3), 7).extremes() is None
