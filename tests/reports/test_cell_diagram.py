"""The graph of a cell: nodes from left to right, no wire through a box, edges that are idle."""

import itertools
import re

import numpy as np
import pytest

from cream_mm.reports.cell_diagram import draw_cell
from cream_mm.spaces import CellEdge, CellGraph, MBConvSpace, NAOSpace, NASBench201Space

SPACE = NASBench201Space()
CELL = '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|'


def graph_of(text):
    (graph,) = SPACE.cell_graphs(SPACE.parse(text))
    return graph


def pairs(nodes, num_inputs=2, output=()):
    """Nodes that add up two operations: ``nodes`` has the two states that each one takes."""
    edges = [
        CellEdge(start, num_inputs + n, f'op {n}{side}', 'conv', 3)
        for n, starts in enumerate(nodes)
        for side, start in zip('ab', starts)
    ]
    names = tuple(f'input {i}' for i in range(num_inputs)) + tuple(map(str, range(len(nodes))))
    return CellGraph('Cell', names, num_inputs, tuple(edges), output)


def segments(path):
    """The straight parts of a wire, (x1, y1, x2, y2)."""
    steps = re.findall(r'([MHVQ])([^MHVQ]+)', path)
    x, y = map(float, steps[0][1].split())
    found = []
    for kind, numbers in steps[1:]:
        *_, last = values = [float(value) for value in numbers.split()]
        other = dict(H=(last, y), V=(x, last), Q=tuple(values[2:]))[kind]
        found.append((x, y, *other))
        x, y = other
    return found


def test_a_cell_of_operations_on_edges():
    drawing = draw_cell(graph_of(CELL))
    assert [node['name'] for node in drawing['nodes']] == ['in', '1', '2', 'out']
    xs, ys = ([node[key] for node in drawing['nodes']] for key in 'xy')
    assert xs == sorted(xs) and ys == sorted(ys) and len(set(xs)) == 4
    words = ['3×3 conv', 'none', 'skip', '3×3 avg', 'none', '1×1 conv']
    assert [op['text'] for op in drawing['ops']] == words
    assert [op['passes'] for op in drawing['ops']] == [True, False, True, True, False, True]
    assert [op['tip'] for op in drawing['ops']][:2] == ['in → 1: 3×3 conv', 'in → 2: none']
    colors = [op['color'] for op in drawing['ops']]
    assert colors[1] == colors[2] == colors[4] == 'white' and colors[3] == colors[5] != colors[0]
    assert drawing['output'] is None and not drawing['idle']
    assert drawing['nodes'][-1]['x'] + drawing['radius'] < drawing['width']


def test_a_cell_whose_nodes_are_joined():
    """Nodes 0 and 1 side by side, 2 behind the first; what nothing takes goes into the bar."""
    graph = pairs([(0, 1), (1, 1), (2, 0)], output=(3, 4))
    drawing = draw_cell(graph)
    xs = {node['name']: node['x'] for node in drawing['nodes']}
    assert xs['0'] == xs['1'] < xs['2'] < drawing['output']['x']
    ys = {node['name']: node['y'] for node in drawing['nodes']}
    bar = drawing['output']
    assert bar['y'] < ys['1'] < ys['2'] < bar['y'] + bar['height'] and bar['y'] > ys['0']
    assert bar['x'] + bar['width'] < drawing['width']
    assert len(drawing['wires']) == 6 + 2 and not drawing['idle']
    colors = {node['name']: node['color'] for node in drawing['nodes']}
    assert len(set(colors.values())) == 5
    for wire in drawing['wires'][:6]:  # of the node that it leaves
        y = segments(wire['path'])[0][1]
        (name,) = (name for name, value in ys.items() if value == y)
        assert wire['color'] == colors[name]
    one = draw_cell(graph._replace(output=(4,)))
    assert one['output'] and len(one['wires']) == 6 + 1 and one['idle']  # node 1 leads nowhere


def test_strides_are_told():
    edge = CellEdge(0, 1, 'max 3×3', 'pool', 3, 2)
    (op,) = draw_cell(CellGraph('Cell', ('in', 'out'), 1, (edge,)))['ops']
    assert op['text'] == 'max 3×3 ↓2' and op['width'] >= 7 * len(op['text'])


@pytest.mark.parametrize('seed', range(8))
def test_no_wire_runs_through_a_box(seed):
    rng = np.random.default_rng(seed)
    nodes = [tuple(rng.integers(0, 2 + n, 2).tolist()) for n in range(5)]
    used = {state for pair in nodes for state in pair}
    output = tuple(state for state in range(7) if state not in used)
    drawing = draw_cell(pairs(nodes, output=output))
    half, rim = drawing['line'] / 2, drawing['radius']
    boxes = [(op['x'], op['y'] - half, op['x'] + op['width'], op['y'] + half)
             for op in drawing['ops']]  # fmt: skip
    boxes += [(n['left'], n['y'] - rim, n['left'] + n['width'], n['y'] + rim)
              for n in drawing['nodes']]  # fmt: skip
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for left, top, right, bottom in boxes:
        assert left >= 0 and top >= 0
        assert right <= drawing['width'] and bottom <= drawing['height']
    for wire in drawing['wires']:
        for x1, y1, x2, y2 in segments(wire['path']):
            for left, top, right, bottom in boxes:  # coordinates have six digits
                beside = max(x1, x2) <= left + 0.01 or min(x1, x2) >= right - 0.01
                assert beside or max(y1, y2) <= top + 0.01 or min(y1, y2) >= bottom - 0.01
    # Wires of different nodes share no line that runs down.
    lanes = {}
    for wire in drawing['wires']:
        for x1, _, x2, _ in segments(wire['path']):
            if x1 == x2:
                lanes.setdefault(x1, set()).add(wire['color'])
    assert all(len(colors) == 1 for colors in lanes.values())
    assert not drawing['idle']  # nothing is, where all that is not used is joined


@pytest.mark.parametrize('seed', range(8))
def test_what_passes_is_what_the_space_calls_live(seed):
    arch = SPACE.decode(np.random.default_rng(seed).integers(0, 3, 6))
    ops = draw_cell(graph_of(SPACE.format(arch)))['ops']
    live = zip(SPACE.live_edges(arch), SPACE.encode(arch))
    assert [op['passes'] for op in ops] == [alive and choice != 0 for alive, choice in live]


def test_a_space_without_cells_has_no_graphs():
    space = MBConvSpace()
    assert space.cell_graphs(space.decode([0] * len(space.sizes))) == ()


def test_two_cells_as_the_space_tells_them():
    space = NAOSpace()
    arch = space.parse(
        '1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1'
    )
    normal, reduction = space.cell_graphs(arch)
    assert (normal.title, normal.output) == ('Normal cell', space.concat(arch)[0])
    assert [edge[:3] for edge in normal.edges[:4]] == [
        (1, 2, 'sep 5×5'), (0, 2, 'sep 5×5'), (2, 3, 'identity'), (0, 3, 'sep 3×3'),
    ]  # fmt: skip
    assert {edge.stride for edge in normal.edges} == {1}
    assert [edge.stride for edge in reduction.edges[:4]] == [2, 2, 1, 2]
    for graph in (normal, reduction):
        drawing = draw_cell(graph)
        assert len(drawing['ops']) == 10 and drawing['width'] < 960 and not drawing['idle']
