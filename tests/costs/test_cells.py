import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cream_mm.costs import CellCosts, build_cost_model
from cream_mm.models import CreamClsHead, NASBench201Net
from cream_mm.spaces import NASBench201Space

NETWORK = json.loads((Path(__file__).parents[1] / 'data/close/network.json').read_text())
DATASETS = {'cifar10': (32, 10), 'cifar100': (32, 100), 'ImageNet16-120': (16, 120)}


@pytest.mark.parametrize('dataset', DATASETS)
def test_counts_of_the_benchmark(dataset):
    space = NASBench201Space()
    costs = build_cost_model(space, *DATASETS[dataset])
    for golden in NETWORK['archs']:
        cost = costs.cost(space.parse(golden['arch']))
        assert cost.params == golden[f'params_{dataset}']
        assert cost.in_units()['published_flops_m'] == golden[f'flops_M_{dataset}']  # every bit
        # its FLOPs are multiply-adds and the classifier's biases
        assert cost.macs == cost.board_flops == cost.published_flops - DATASETS[dataset][1]


def test_what_each_edge_adds():
    # docs: 73,306 + 28,000 per conv1x1 + 243,040 per conv3x3
    costs = build_cost_model(NASBench201Space(), 32, 10)
    assert costs.fixed.params == 73_306
    for position in range(6):
        choices = costs.choice_costs(position)
        assert [cost.params for cost in choices] == [0, 0, 28_000, 243_040, 0]
        # 16 channels on 32 x 32 cost what 32 on 16 x 16 and 64 on 8 x 8 do
        assert [cost.macs for cost in choices] == [0, 0, 15 * 2**18, 9 * 15 * 2**18, 0]


def test_maps_shrink_rounding_up():
    # 45 x 33 -> conv 23 x 17 -> pool 12 x 9, then 6 x 5 and 3 x 3
    space = NASBench201Space(channels=4, num_cells=2, stem_stride=4)
    costs = build_cost_model(space, (45, 33), head=None)
    assert costs.sizes == [(12, 9), (6, 5), (3, 3)]
    stem = 9 * 3 * 4 * 23 * 17
    reductions = (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8) * 30 + (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16) * 9
    assert costs.fixed.macs == costs.fixed.published_flops == stem + reductions
    norms = 2 * 4 + 2 * 2 * 8 + 2 * 2 * 16 + 2 * 16
    weights = 9 * 3 * 4 + reductions_weights(4, 8) + reductions_weights(8, 16)
    assert costs.fixed.params == weights + norms
    edge = costs.choice_costs(0)[2]
    assert edge.macs == 2 * (4 * 4 * 108 + 8 * 8 * 30 + 16 * 16 * 9)


def reductions_weights(cin, cout):
    return 9 * cin * cout + 9 * cout * cout + cin * cout


@pytest.mark.parametrize(
    ('stem_stride', 'rows', 'size'),
    [(1, 1, (45, 33)), (2, 1, (23, 17)), (4, 2, (12, 9)), (8, 3, (6, 5))],
)
def test_stem(stem_stride, rows, size):
    space = NASBench201Space(stem_stride=stem_stride)
    costs = build_cost_model(space, (45, 33), 10)
    table = costs.layer_table(space.decode([3] * 6))
    stem = [row for row in table if row['name'] == 'stem']
    assert len(stem) == rows and stem[-1]['out_size'] == list(size) == list(costs.sizes[0])
    assert stem[0]['stride'] == min(2, stem_stride)


def test_head_channels():
    space = NASBench201Space(channels=4, num_cells=1)
    arch = space.decode([0] * 6)
    plain = build_cost_model(space, 8, 10)
    assert plain.head_channels == 0 and plain.num_classes == 10
    hidden = build_cost_model(space, 8, 10, 32)
    backbone = build_cost_model(space, 8, head=None).cost(arch)
    assert plain.cost(arch).params - backbone.params == 16 * 10 + 10
    more = hidden.cost(arch)
    assert more.params - backbone.params == 16 * 32 + 32 + 32 * 10 + 10
    assert more.macs - backbone.macs == 16 * 32 + 32 * 10
    assert more.published_flops - more.macs == 32 + 10
    with pytest.raises(ValueError, match="head is 'classifier' or None"):
        build_cost_model(space, 8, 10, head='pool')


def test_rows_are_layers_in_order():
    space = NASBench201Space(num_cells=2)
    arch = space.parse('|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|')
    costs = build_cost_model(space, 32, 10)
    rows = costs.layer_table(arch)
    names = [row['name'] for row in rows]
    assert names[:3] == ['stem', 'cells.0-1.layers.0', 'cells.0-1.layers.1']
    assert names[7] == 'cells.2' and names[8] == 'cells.3-4.layers.0' and names[14] == 'cells.5'
    assert names[-3:] == ['lastact', 'pool', 'classifier']
    first = rows[1]
    assert (first['op'], first['edge'], first['stage']) == ('nor_conv_3x3', '0->1', 1)
    assert first['macs'] == 2 * 9 * 16 * 16 * 32 * 32 and first['out_size'] == [32, 32]
    assert [row['edge'] for row in rows if row.get('stage') == 2] == [
        '0->1', '0->2', '1->2', '0->3', '1->3', '2->3'
    ]  # fmt: skip
    assert sum(row['macs'] for row in rows) == costs.cost(arch).macs
    one = build_cost_model(NASBench201Space(num_cells=1), 32, 10)
    assert one.layer_table(arch)[1]['name'] == 'cells.0.layers.0'


def test_measured_times():
    space = NASBench201Space(num_cells=1)
    edge = [0.0, 0.1, 0.2, 0.5, 0.3]
    latency = dict(fixed_ms=2.0, choices_ms=[[edge], [edge] * 2, [edge] * 3])
    costs = build_cost_model(space, 32, 10, latency=latency)
    assert isinstance(costs, CellCosts)
    assert costs.cost(space.decode([0, 1, 2, 3, 4, 0])).latency_ms == pytest.approx(3.1)
    assert 'latency_ms' not in costs.layer_table(space.decode([3] * 6))[0]
    with pytest.raises(ValueError, match=r'choices_ms\[1\] needs 2 layers'):
        build_cost_model(space, 32, latency=dict(latency, choices_ms=[[edge]] * 3))


@pytest.mark.parametrize('hidden', [None, 24])
@pytest.mark.parametrize(
    ('settings', 'size'),
    [({}, (32, 32)), (dict(channels=6, num_cells=2), (21, 14)),
     (dict(channels=4, num_cells=1, stem_stride=2), (37, 50)),
     (dict(channels=4, num_cells=1, stem_stride=4), (61, 45)),
     (dict(channels=4, num_cells=1, stem_stride=8), (97, 130))],
)  # fmt: skip
def test_equals_what_torch_counts(settings, size, hidden):
    space = NASBench201Space(**settings)
    costs = build_cost_model(space, size, 7, hidden)
    for flat in ([3, 2, 0, 1, 4, 3], [0, 3, 2, 2, 0, 0]):  # of the second, edges are dead
        arch = space.decode(flat)
        with torch.device('meta'):
            net = NASBench201Net(arch, space=space)
            head = CreamClsHead(7, in_channels=net.out_channels[-1], hidden_channels=hidden)
            image = torch.empty(1, 3, *size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            head(net.eval()(image))
        cost = costs.cost(arch)
        assert 2 * cost.macs == counter.get_total_flops()
        assert cost.params == sum(p.numel() for p in [*net.parameters(), *head.parameters()])
