"""The graph of a cell: operations in front of the node that adds them, and wires to them."""

from ..spaces import CellEdge, CellGraph
from .style import DARK_FILLS, INK, MUTED, WIRE_COLORS, kernel_color

RADIUS, MARGIN = 14, 16  # pixels
LINE, ROW_GAP = 26, 16  # of an operation; between nodes
LINK = 18  # from an operation to its node
LANE, STUB = 9, 14  # between wires that run down side by side; of a wire before and behind them
BAR = 26  # width of the output that joins several nodes


def draw_cell(graph: CellGraph) -> dict:
    """Lay out a cell from left to right.

    Each node has rows of its own, one for each operation that enters it, so that no wire runs
    through a box. A wire leaves its node to the right, runs down, and then along the row of the
    operation that takes it; all wires that leave one node have its colour.

    Returns:
        dict: ``wires``, ``links``, ``ops``, ``nodes`` and ``output`` in pixels for the template,
        and ``idle``: whether some edges carry nothing from an input to the output.
    """
    enter = [[edge for edge in graph.edges if edge.end == n] for n in range(len(graph.nodes))]
    passes = _passing(graph)
    tops, middles, height = _rows(enter, MARGIN)
    box = max((_text_width(_text(edge)) for edge in graph.edges), default=0)
    depths: list[int] = []
    for edges in enter:
        depths.append(max((depths[edge.start] + 1 for edge in edges), default=0))
    lefts, rights, lanes, end = _columns(graph, depths, box)

    wires, ops, links = [], [], []
    for node, edges in enumerate(enter):
        for i, edge in enumerate(edges):
            y, left = tops[node] + (i + 0.5) * LINE, lefts[depths[node]]
            color = WIRE_COLORS[edge.start % len(WIRE_COLORS)]
            shown = dict(passes=edge in passes, kind=edge.kind)
            start = rights[depths[edge.start]], middles[edge.start]
            path = _wire(*start, lanes[edge.start], left, y)
            wires.append(dict(shown, path=path, color=color, x=left, y=y))
            ops.append(_draw_op(graph, edge, left, y, box, edge in passes))
            links.append(dict(shown, path=_link(left + box, y, _center(lefts, depths, box, node),
                                                middles[node])))  # fmt: skip
    nodes = [
        dict(_draw_node(name, rights[depths[n]], middles[n]), color=_color_of(graph, n))
        for n, name in enumerate(graph.nodes)
    ]
    output = None
    if graph.output:
        ys = [middles[n] for n in graph.output]
        output = dict(x=end, y=min(ys) - LINE / 2, height=max(ys) - min(ys) + LINE, width=BAR)
        for node, y in zip(graph.output, ys):
            path = f'M{rights[depths[node]]:g} {y:g} H{end:g}'
            color = WIRE_COLORS[node % len(WIRE_COLORS)]
            wires.append(dict(path=path, color=color, x=end, y=y, passes=True, kind='conv'))
    return {
        'title': graph.title,
        'width': end + (BAR if output else 0) + MARGIN,
        'height': height,
        'radius': RADIUS,
        'line': LINE - 4,
        'wires': sorted(wires, key=lambda wire: wire['passes']),  # pale ones below the others
        'links': links,
        'ops': ops,
        'nodes': nodes,
        'output': output,
        'idle': any(edge.kind != 'none' and edge not in passes for edge in graph.edges),
    }


def _passing(graph: CellGraph) -> set[CellEdge]:
    """Edges on a way from an input to the output."""
    edges = [edge for edge in graph.edges if edge.kind != 'none']
    reached, leads = set(range(graph.num_inputs)), set(graph.output or [len(graph.nodes) - 1])
    for edge in sorted(edges, key=lambda edge: edge.end):
        reached |= {edge.end} if edge.start in reached else set()
    for edge in sorted(edges, key=lambda edge: -edge.end):
        leads |= {edge.start} if edge.end in leads else set()
    return {edge for edge in edges if edge.start in reached and edge.end in leads}


def _rows(enter: list[list[CellEdge]], top: float) -> tuple[list[float], list[float], float]:
    """Upper end and middle of each node's rows, and the height of all."""
    tops, middles = [], []
    for edges in enter:
        height = max(len(edges), 1) * LINE
        tops.append(top)
        middles.append(top + height / 2)
        top += height + ROW_GAP
    return tops, middles, top - ROW_GAP + MARGIN


def _columns(
    graph: CellGraph, depths: list[int], box: float
) -> tuple[list[float], list[float], dict[int, float], float]:
    """Of each depth where its nodes begin and end; of each node, where its wires run down.

    The wires of a lower node run down nearer to it, so that those of a higher one do not cross it.
    """
    taken = {edge.start for edge in graph.edges}
    lefts, rights, lanes, x = [], [], {}, float(MARGIN)
    for depth in range(max(depths) + 1):
        inside = [n for n, other in enumerate(depths) if other == depth]
        width = box + LINK + 2 * RADIUS
        if depth == 0:
            width = max(_node_width(graph.nodes[n]) for n in inside)
        lefts.append(x)
        x += width
        rights.append(x)
        x += STUB
        for node in reversed(inside):
            if node in taken:
                lanes[node] = x
                x += LANE
        x += STUB
    return lefts, rights, lanes, x if graph.output else rights[-1]


def _center(lefts: list[float], depths: list[int], box: float, node: int) -> float:
    return lefts[depths[node]] + box + LINK + RADIUS


def _wire(x1: float, y1: float, lane: float, x2: float, y2: float) -> str:
    """Right, down and right again, with round corners."""
    if abs(y2 - y1) < 1:
        return f'M{x1:g} {y1:g} H{x2:g}'
    sign, r = (1 if y2 > y1 else -1), min(6, abs(y2 - y1) / 2)
    return (
        f'M{x1:g} {y1:g} H{lane - r:g} Q{lane:g} {y1:g} {lane:g} {y1 + sign * r:g} '
        f'V{y2 - sign * r:g} Q{lane:g} {y2:g} {lane + r:g} {y2:g} H{x2:g}'
    )


def _link(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'M{x1:g} {y1:g} L{x2:g} {y2:g}'


def _color_of(graph: CellGraph, node: int) -> str:
    """Of a node's rim: that of the wires that leave it."""
    leaves = node in graph.output or any(edge.start == node for edge in graph.edges)
    return WIRE_COLORS[node % len(WIRE_COLORS)] if leaves else INK


def _draw_node(name: str, right: float, y: float) -> dict:
    width = _node_width(name)
    return dict(x=right - width / 2, y=y, left=right - width, width=width, name=name)


def _draw_op(
    graph: CellGraph, edge: CellEdge, x: float, y: float, width: float, passes: bool
) -> dict:
    color = kernel_color(edge.kernel if edge.kind == 'conv' else None)
    return {
        'x': x,
        'y': y,
        'width': width,
        'text': _text(edge),
        'color': 'white' if edge.kind in ('none', 'skip') else color,
        'ink': 'white' if color in DARK_FILLS else INK if passes else MUTED,
        'kind': edge.kind,
        'passes': passes,
        'tip': f'{graph.nodes[edge.start]} → {graph.nodes[edge.end]}: {_text(edge)}',
    }


def _text(edge: CellEdge) -> str:
    return f'{edge.op} ↓{edge.stride}' if edge.stride > 1 else edge.op


def _text_width(text: str) -> int:
    return 14 + 7 * len(text)


def _node_width(name: str) -> float:
    return max(2 * RADIUS, 16 + 6.6 * len(name) if len(name) > 3 else 0)
