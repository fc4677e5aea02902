"""The graph of a cell: its nodes in order, its edges where they belong, and what they carry."""

import itertools

import numpy as np
import pytest

from cream_mm.costs import build_cost_model
from cream_mm.reports.cell_diagram import draw_cell
from cream_mm.spaces import NASBench201Space

SPACE = NASBench201Space(num_cells=2)


def rows(cell):
    return build_cost_model(SPACE, 32, 10).layer_table(SPACE.parse(cell))


def test_a_cell():
    cell = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'
    drawing = draw_cell(rows(cell))
    assert [node['name'] for node in drawing['nodes']] == ['in', '1', '2', 'out']
    xs = [node['x'] for node in drawing['nodes']]
    assert xs == sorted(xs) and xs[-1] < drawing['width']
    words = ['3×3 conv', 'none', 'skip', '3×3 avg', 'none', '1×1 conv']
    ends = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    assert [edge['text'] for edge in drawing['edges']] == words  # of the three stages once
    for edge, (start, end) in zip(drawing['edges'], ends):
        assert edge['x'] == (xs[start] + xs[end]) / 2
        level = edge['y'] - drawing['middle']
        assert (level == 0) == (end - start == 1)
        assert 11 < edge['y'] < drawing['height'] - 11
    assert [edge['passes'] for edge in drawing['edges']] == [True, False, True, True, False, True]
    assert not drawing['idle'] and drawing['edges'][0]['tip'] == '0->1: nor_conv_3x3'


@pytest.mark.parametrize('seed', range(8))
def test_what_passes_is_what_the_space_calls_live(seed):
    space = NASBench201Space()
    rng = np.random.default_rng(seed)
    arch = space.decode(rng.integers(0, 3, 6))
    edges = draw_cell(rows(space.format(arch)))['edges']
    live = zip(space.live_edges(arch), space.encode(arch))
    assert [edge['passes'] for edge in edges] == [alive and op != 0 for alive, op in live]


def test_boxes_do_not_lie_on_each_other():
    edges = draw_cell(rows('333333'))['edges']
    for a, b in itertools.combinations(edges, 2):
        beside = abs(a['x'] - b['x']) >= (a['width'] + b['width']) / 2
        assert beside or abs(a['y'] - b['y']) >= 22


def test_layers_of_other_networks_and_edges_that_are_none():
    assert draw_cell([]) is None and draw_cell([dict(name='stem', op='conv3x3')]) is None
    odd = ['1->0', '0->99', 'x', '2->2', '0->1->2', '']
    assert draw_cell([dict(edge=edge, op='none') for edge in odd]) is None
    assert len(draw_cell([dict(edge='0->1')])['edges']) == 1
