"""The graph of a cell: nodes on a line, and an arc with its operation for each edge."""

import re

from .style import DARK_FILLS, INK, MUTED, kernel_color

RADIUS, STEP, RISE, MARGIN = 17, 170, 42, 44  # pixels
MAX_NODES = 20
WORDS = {
    'none': 'none', 'skip_connect': 'skip', 'nor_conv_1x1': '1×1 conv', 'nor_conv_3x3': '3×3 conv',
    'avg_pool_3x3': '3×3 avg',
}  # fmt: skip
_EDGE = re.compile(r'(\d{1,2})->(\d{1,2})')


def draw_cell(layers: list[dict]) -> dict | None:
    """Lay out the graph of the cell that is repeated in a network.

    Args:
        layers (list[dict]): "layers" of ``best_arch.json``. Those of a cell say which ``edge``
            they are, ``'0->2'``; the first stage that has such is drawn.

    Returns:
        dict | None: Nodes and edges in pixels for the template; None without edges.
    """
    edges = [(row, _EDGE.fullmatch(row['edge'])) for row in layers if row.get('edge')]
    edges = [(row, tuple(map(int, match.groups()))) for row, match in edges if match]
    edges = [(row, ends) for row, ends in edges if ends[0] < ends[1] < MAX_NODES]
    if not edges:
        return None
    stage = edges[0][0].get('stage')
    edges = [(row, ends) for row, ends in edges if row.get('stage') == stage]
    last = max(end for _, (_, end) in edges)
    passes = _passing(
        [(start, end) for row, (start, end) in edges if row.get('op') != 'none'], last
    )
    rises = [_rise(start, end) for _, (start, end) in edges]
    # The apex of a curve lies half as high as its handle.
    above, below = (max(0, *(sign * rise for rise in rises)) for sign in (1, -1))
    middle = MARGIN + above / 2
    xs = [MARGIN + RADIUS + i * STEP for i in range(last + 1)]
    return {
        'width': xs[-1] + RADIUS + MARGIN,
        'height': middle + below / 2 + MARGIN,
        'middle': middle,
        'radius': RADIUS,
        'nodes': [
            {'x': x, 'name': 'in' if i == 0 else 'out' if i == last else str(i)}
            for i, x in enumerate(xs)
        ],
        'edges': [
            _draw_edge(row, xs[start], xs[end], middle, rise, (start, end) in passes)
            for (row, (start, end)), rise in zip(edges, rises)
        ],
        'idle': any(row.get('op') != 'none' and ends not in passes for row, ends in edges),
    }


def _passing(edges: list[tuple[int, int]], last: int) -> set[tuple[int, int]]:
    """Edges on a way from the first node to the last one."""
    reached, leads = {0}, {last}
    for start, end in sorted(edges):
        reached |= {end} if start in reached else set()
    for start, end in sorted(edges, key=lambda edge: -edge[1]):
        leads |= {start} if end in leads else set()
    return {(start, end) for start, end in edges if start in reached and end in leads}


def _rise(start: int, end: int) -> int:
    """How far above the line the handle of an edge's curve is: neighbours are joined straight."""
    height = 2 * RISE * (end - start - 1)
    return height if start % 2 == 0 else -height


def _draw_edge(row: dict, x1: float, x2: float, middle: float, rise: float, passes: bool) -> dict:
    op = str(row.get('op') or '')
    straight = rise == 0
    y = middle if straight else middle + (-RADIUS if rise > 0 else RADIUS)
    left, right = (x1 + RADIUS, x2 - RADIUS) if straight else (x1, x2)
    handle = middle - rise
    text = WORDS.get(op, op[:12])
    color = kernel_color(row.get('kernel') if 'conv' in op else None)
    return {
        'path': f'M{left:g} {y:g} Q{(x1 + x2) / 2:g} {handle:g} {right:g} {y:g}',
        'x': (x1 + x2) / 2,
        'y': (y + handle) / 2,
        'width': 9 + 7 * len(text),
        'text': text,
        'color': 'white' if op in ('none', 'skip_connect') else color,
        'ink': 'white' if color in DARK_FILLS else INK if passes else MUTED,
        'passes': passes,
        'tip': f'{row["edge"]}: {op}',
    }
