import itertools
import json
import re
import timeit
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cream_mm.costs import Budget, NAOCosts, build_cost_model
from cream_mm.costs.nao_cells import KINDS
from cream_mm.models import CreamClsHead, NAONet
from cream_mm.search.front import budget_steps, ends
from cream_mm.spaces import NAOSpace
from cream_mm.spaces.nao import AVG_POOL, IDENTITY, SEP_5X5, unused_states
from cream_mm.testing.contracts import CostModelContract

GOLDEN = json.loads((Path(__file__).parents[1] / 'data/nao/space.json').read_text())
V2 = GOLDEN['naonet_v2']['arch']
SPACE = NAOSpace()
COSTS = build_cost_model(SPACE, 32, 10)
CHAIN = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]  # inputs of a cell that concatenates one state


class TestNAOCosts(CostModelContract):
    @pytest.fixture
    def cost_model(self):
        return build_cost_model(NAOSpace(channels=5, num_cells=2, stem_stride=4), (45, 33), 7)


def cell(inputs, op):
    return [value for pair in inputs for state in pair for value in (state, op)]


# ---- golden numbers --------------------------------------------------------------------------


def test_parameters_of_a_pool():
    pool = GOLDEN['pool']
    params = [COSTS.cost(SPACE.decode(arch)).params for arch in pool['archs']]
    assert params == pool['params_N3_F20']
    # What the released search draws in proportion to.
    sizes = [COSTS.cost(SPACE.decode(arch)).in_units()['params_m'] for arch in pool['archs']]
    assert sizes == pool['size_M']


@pytest.mark.parametrize('index', range(5))
def test_parameters_at_the_scale_of_a_search(index):
    golden = GOLDEN['search_scale'][index]
    assert COSTS.cost(SPACE.decode(golden['arch'])).params == golden['params_N3_F20']


def test_the_published_network():
    costs = build_cost_model(NAOSpace(channels=36, num_cells=6), 32, 10)
    cost = costs.cost(SPACE.decode(V2))
    assert cost.params == GOLDEN['naonet_v2']['params_N6_F36'] == 4_387_654
    assert round(cost.macs / 1e6) == 684 and cost.macs == 684_238_464
    assert cost.published_flops == cost.board_flops == cost.macs


@pytest.mark.parametrize(('width', 'params'), [(52, 7_026_850), (44, 5_196_014)])
def test_published_networks_for_imagenet_have_another_stem(width, params):
    """conv3x3 of stride 2 to half the width, to the width, and once more; both inputs behind it."""
    costs = build_cost_model(NAOSpace(channels=width, num_cells=4, stem_stride=8), 224, 1000)
    half = width // 2
    norms = 2 * half + 2 * width + 2 * width
    theirs = 9 * (3 * half + half * width + width * width) + norms
    theirs += width * width + 2 * width  # the first cell halves what is before the last of them
    ours = 9 * 3 * 3 * width + 6 * width
    ours += 3 * (3 * width * width + 2 * width)  # both inputs of the first cell, one of the second
    assert costs.cost(SPACE.decode(V2)).params - ours + theirs == params


# ---- by hand ---------------------------------------------------------------------------------


def test_a_network_by_hand():
    # 45 x 33 -> conv 23 x 17 -> pool 12 x 9, then 6 x 5 and 3 x 3
    space = NAOSpace(channels=4, num_cells=2, stem_stride=4)
    costs = build_cost_model(space, (45, 33), head=None)
    assert costs.sizes == [(12, 9), (6, 5), (3, 3)]
    # Normal: a chain, one separable convolution of 3. Reduction: input 1 is not taken, so that it
    # is halved; so is input 0 by an identity; nodes 4, 5 and 6 are left: four states.
    normal = cell(CHAIN, AVG_POOL)
    normal[1] = 0
    reduction = [0, IDENTITY, 0, 3, 2, 1, 2, IDENTITY, 0, 2, 3, 2, 3, 2, 3, 2, 0, 3, 3, 3]
    arch = space.decode([*normal, *reduction])
    assert space.concat(arch) == ((6,), (1, 4, 5, 6))
    p = 108, 30, 9  # positions of the stages
    macs = [9 * 3 * 12 * 23 * 17]
    params = [9 * 3 * 12 + 2 * 12]

    def conv(cin, cout, positions):
        macs.append(cin * cout * positions)
        params.append(cin * cout + 2 * cout)

    def separable(width, kernel, positions):
        macs.append(2 * (kernel**2 * width + width * width) * positions)
        params.append(2 * (kernel**2 * width + width * width + 2 * width))

    # Stage of width 4: the stem's 12 are before both cells of the first and one of the second;
    # one state of 4 fits the nodes as it is.
    conv(12, 4, p[0]), conv(12, 4, p[0]), conv(12, 4, p[0])
    separable(4, 3, p[0]), separable(4, 3, p[0])
    # Reduction to 8, its inputs still large.
    conv(4, 8, p[0]), conv(4, 8, p[0])
    separable(8, 5, p[1]), conv(8, 8, p[1]), conv(8, 8, p[1])
    # Stage of 8: the large map of 4 before the reduction is halved, its 4 * 8 are narrowed, and
    # stand before the second cell, too.
    conv(4, 8, p[1]), conv(32, 8, p[1]), conv(32, 8, p[1])
    separable(8, 3, p[1]), separable(8, 3, p[1])
    conv(8, 16, p[1]), conv(8, 16, p[1])
    separable(16, 5, p[2]), conv(16, 16, p[2]), conv(16, 16, p[2])
    conv(8, 16, p[2]), conv(64, 16, p[2]), conv(64, 16, p[2])
    separable(16, 3, p[2]), separable(16, 3, p[2])
    cost = costs.cost(arch)
    assert (cost.macs, cost.params) == (sum(macs), sum(params))
    # A classifier is as wide as what the last cell concatenates.
    whole = build_cost_model(space, (45, 33), 10).cost(arch)
    assert whole.params - cost.params == 16 * 10 + 10 and whole.macs - cost.macs == 160
    wide = space.decode([*cell([(0, 1)] * 5, AVG_POOL), *reduction])
    more = build_cost_model(space, (45, 33), 10).cost(wide).params - costs.cost(wide).params
    assert more == 5 * 16 * 10 + 10


def test_a_stage_of_many_cells():
    # From the third cell on all cost the same.
    arch = SPACE.decode(V2)
    params = [
        build_cost_model(NAOSpace(num_cells=number), 32, 10).cost(arch).params
        for number in range(1, 8)
    ]
    steps = np.diff(params)
    assert len(set(steps[1:])) == 1 and steps[0] != steps[1]


@pytest.mark.parametrize(
    ('stem_stride', 'rows', 'size'),
    [(1, 1, (45, 33)), (2, 1, (23, 17)), (4, 2, (12, 9)), (8, 3, (6, 5))],
)
def test_stem(stem_stride, rows, size):
    costs = build_cost_model(NAOSpace(stem_stride=stem_stride), (45, 33), 10)
    stem = [row for row in costs.layer_table(SPACE.decode(V2)) if row['name'] == 'stem']
    assert len(stem) == rows and stem[-1]['out_size'] == list(size) == list(costs.sizes[0])
    assert stem[0]['stride'] == min(2, stem_stride) and stem[0]['out_channels'] == 60


def test_head_channels():
    space = NAOSpace(channels=4, num_cells=1)
    arch = space.decode(V2)
    plain, hidden = (build_cost_model(space, 8, 10, channels) for channels in (None, 32))
    assert plain.head_channels == 0 and plain.num_classes == 10 and hidden.head_channels == 32
    backbone = build_cost_model(space, 8, head=None)
    assert backbone.num_classes is backbone.head_channels is None
    less, more = backbone.cost(arch), hidden.cost(arch)
    assert more.params - less.params == 64 * 32 + 32 + 32 * 10 + 10
    assert more.macs - less.macs == more.published_flops - less.macs == 64 * 32 + 32 * 10
    with pytest.raises(ValueError, match="head is 'classifier' or None"):
        build_cost_model(space, 8, 10, head='pool')


def test_no_table_of_times():
    with pytest.raises(ValueError, match='times of the choices of NAO cells do not add up'):
        build_cost_model(SPACE, 32, latency=dict(fixed_ms=1, choices_ms=[]))
    with pytest.raises(ValueError, match='needs measured times'):
        Budget(COSTS, latency_ms=(None, 5))


# ---- against modules -------------------------------------------------------------------------


def counted(arch, space, size, num_classes, hidden=None):
    """Multiply-adds and parameters as torch has them, and the network."""
    with torch.device('meta'):
        net = NAONet(arch, space=space).eval()
        modules = [net]
        if num_classes:
            head = CreamClsHead(num_classes, net.out_channels[-1], hidden)
            modules.append(head.eval())
        maps = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for module in modules:
            maps = module(maps)
    params = sum(p.numel() for module in modules for p in module.parameters())
    return counter.get_total_flops() / 2, params, net


@pytest.mark.parametrize(
    ('settings', 'size', 'classes', 'hidden'),
    [
        (dict(channels=4, num_cells=2), (32, 32), 10, None),
        (dict(channels=3, num_cells=1), (21, 14), None, None),
        (dict(channels=4, num_cells=1, stem_stride=2), (37, 50), 7, 24),
        (dict(channels=5, num_cells=3, stem_stride=4), (61, 45), 1000, None),
        (dict(channels=4, num_cells=2, stem_stride=8), (97, 130), None, None),
        (dict(channels=4, num_cells=1, stem_stride=8), (9, 17), 3, None),  # maps of one pixel
    ],
)
def test_equals_what_torch_counts(settings, size, classes, hidden):
    space = NAOSpace(**settings)
    head = 'classifier' if classes else None
    costs = build_cost_model(space, size, classes, hidden, head=head)
    rng = np.random.default_rng(size[0])
    # Identities everywhere, of one state or of as many as there can be; and any.
    alike = [cell(CHAIN, IDENTITY), cell([(0, 0)] * 5, IDENTITY), cell([(1, 1)] * 5, IDENTITY)]
    first, other = (alike[i] for i in rng.choice(3, size=2, replace=False))
    archs = [space.decode([*first, *other]), space.sample(rng)]
    for arch in archs:
        macs, params, net = counted(arch, space, size, classes, hidden)
        cost = costs.cost(arch)
        assert (cost.macs, cost.params) == (macs, params)
        modules = dict(net.named_modules())
        for row in costs.layer_table(arch):
            if row['op'] == 'concat':  # no module's
                assert row['macs'] == row['params'] == 0
            elif found := re.fullmatch(r'cells\.(\d+)(?:-(\d+))?(.*)', row['name']):
                cells = range(int(found[1]), int(found[2] or found[1]) + 1)
                parts = [modules[f'cells.{i}{found[3]}'].parameters() for i in cells]
                assert row['params'] == sum(p.numel() for part in parts for p in part)


# ---- rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize('num_cells', [1, 2, 3, 5])
@pytest.mark.parametrize('num_classes', [None, 10])
def test_rows_add_up(num_cells, num_classes):
    head = None if num_classes is None else 'classifier'
    space = NAOSpace(channels=6, num_cells=num_cells, stem_stride=2)
    costs = build_cost_model(space, (37, 50), num_classes, head=head)
    rng = np.random.default_rng(0)
    for arch in (space.sample(rng) for _ in range(50)):
        rows, cost = costs.layer_table(arch), costs.cost(arch)
        assert sum(row['macs'] for row in rows) == cost.macs
        assert sum(row['params'] for row in rows) == cost.params
        edges = [row for row in rows if row.get('edge')]
        assert len(edges) == 5 * 10 and len({row['name'] for row in edges}) == 50
        names = [row['name'] for row in rows if row['name'] != 'stem']
        assert len(set(names)) == len(names)


def test_rows_are_layers_in_order():
    arch = SPACE.decode(GOLDEN['search_scale'][3]['arch'])
    assert SPACE.concat(arch) == ((5, 6), (0, 5, 6))
    joined = [row for row in COSTS.layer_table(arch) if row['op'] == 'concat']
    assert [(row['name'], row['out_channels']) for row in joined] == [
        ('cells.0-2.concat', 40), ('cells.3.concat', 120), ('cells.4-6.concat', 80),
        ('cells.7.concat', 240), ('cells.8-10.concat', 160),
    ]  # fmt: skip
    rows = [row for row in COSTS.layer_table(arch) if row['op'] != 'concat']
    names = [row['name'] for row in rows]
    x, y = 'maybe_calibrate_size.preprocess_x', 'maybe_calibrate_size.preprocess_y'
    assert names[:6] == [
        'stem', f'cells.0.{x}', f'cells.0.{y}', f'cells.1.{x}', f'cells.1.{y}', f'cells.2.{x}'
    ]  # fmt: skip
    # Two states of 20 are as wide as the nodes of the reduction cell: nothing stands before it.
    at = names.index('cells.0-2.ops.0.x_op')
    assert names[at + 9 : at + 11] == ['cells.0-2.ops.4.y_op', 'cells.3.ops.0.x_op']
    assert names[at + 19 : at + 23] == [
        'cells.3.ops.4.y_op', 'cells.3.final_combine.ops.0', f'cells.4.{x}', f'cells.4.{y}'
    ]  # fmt: skip
    assert names[-3:] == ['cells.8-10.ops.4.y_op', 'pool', 'classifier']
    first, halved, input_of_stage = rows[at], rows[at + 20], rows[at + 21]
    assert (first['op'], first['edge'], first['cell'], first['stage']) == (
        'sep_conv_3x3', '0->2', 'normal', 1
    )  # fmt: skip
    assert first['kernel'] == 3 and first['macs'] == 3 * 2 * (180 + 400) * 1024
    assert (halved['op'], halved['stride'], halved['params']) == ('halving', 2, 40 * 40 + 80)
    assert (input_of_stage['op'], input_of_stage['in_channels']) == ('halving', 40)
    assert rows[at + 10]['edge'] == '1->2' and rows[at + 10]['cell'] == 'reduction'
    strides = {row['edge'][0]: row['stride'] for row in rows if row.get('cell') == 'reduction'
               and row.get('edge')}  # fmt: skip
    assert all(stride == (2 if state in '01' else 1) for state, stride in strides.items())
    assert set(strides.values()) == {1, 2}


# ---- ends ------------------------------------------------------------------------------------


def test_what_a_cell_can_concatenate():
    """By all 720 ** 2 choices of inputs: which states can be taken by the first nodes together."""
    taken = {0}
    for node in range(5):
        pairs = itertools.product(range(2 + node), repeat=2)
        nodes = {1 << a | 1 << b for a, b in pairs}
        taken = {mask | node for mask in taken for node in nodes}
    kinds = {(7 - mask.bit_count(), 2 - (mask & 3).bit_count()) for mask in taken}
    assert kinds == set(KINDS) and len(KINDS) == 10


def some_cell(states, inputs):
    """Inputs of a cell that concatenates that many states, of which cell inputs."""
    for pairs in itertools.product(
        *([(0, 0), (0, 1), (0, node + 1), (node, node + 1)] for node in range(5))
    ):
        unused = unused_states(tuple(cell(pairs, 0)))
        if (len(unused), sum(state < 2 for state in unused)) == (states, inputs):
            return pairs
    raise AssertionError(f'no cell concatenates {states} states')


@pytest.mark.parametrize('num_classes', [10, 1000])
@pytest.mark.parametrize('size', [32, (45, 33)])
def test_extremes_are_met_by_networks(size, num_classes):
    space = NAOSpace(channels=7, num_cells=2)
    costs = build_cost_model(space, size, num_classes)
    found = {}
    for (one, other), op in itertools.product(itertools.product(KINDS, repeat=2), range(5)):
        flat = [*cell(some_cell(*one), op), *cell(some_cell(*other), op)]
        for key, value in costs.cost(space.decode(flat)).in_units().items():
            found.setdefault(key, []).append((value, op))
    low, high = costs.extremes()
    for key, values in found.items():
        assert (low[key], high[key]) == (min(values)[0], max(values)[0])
        assert max(values)[1] == SEP_5X5


def test_extremes_at_the_scale_of_a_search():
    low, high = COSTS.extremes()
    assert (low['params_m'], high['params_m']) == (0.01899, 1.29535)
    assert (low['macs_m'], high['macs_m']) == (9.03248, 211.78848)
    steps = budget_steps(Budget(COSTS, params_m=(None, 0.5)))
    assert len(steps) == 8 and steps[-1][0] == 0.5


@pytest.mark.parametrize('bounds', [{}, dict(macs_m=(None, 60)), dict(params_m=(0.3, 0.4))])
def test_references_are_climbed_to(bounds):
    """The cheapest and the costliest network within a budget, to 5 % of the space's range."""
    budget, key = Budget(COSTS, **bounds), next(iter(bounds), 'macs_m')
    low, high = (side[key] for side in COSTS.extremes())
    given = bounds.get(key, (None, None))
    expected = [low if given[0] is None else given[0], high if given[1] is None else given[1]]
    found = ends(budget)
    assert found == ends(budget) and all(map(budget.is_feasible, found))
    costs = [COSTS.cost(arch).in_units()[key] for arch in found]
    assert costs == pytest.approx(expected, abs=0.05 * (high - low))


def test_a_network_takes_some_microseconds():
    arch = SPACE.decode(V2)
    assert isinstance(COSTS, NAOCosts)
    assert min(timeit.repeat(lambda: COSTS.cost(arch), number=100, repeat=30)) / 100 < 1e-4
    # Also of a space of very many cells, the first time.
    many = NAOSpace(num_cells=1000)
    begun = timeit.timeit(lambda: build_cost_model(many, 32).cost(arch), number=1)
    assert begun < 0.2
