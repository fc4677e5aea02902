"""The block diagram of an architecture: where its boxes, labels and lines stand."""

import math
import re
from collections.abc import Callable
from itertools import groupby

from .formats import format_cost, format_size
from .style import DARK_FILLS, INK, KERNEL_COLORS, OTHER_KERNEL_COLOR, PLAIN_COLOR, kernel_color

GAP, GROUP_GAP, MARGIN, MIN_GROUP = 5, 16, 74, 50  # pixels
BOX_WIDTHS = range(46, 33, -1)  # the widest that fits one row
WORDS = {
    'linear': 'fc', 'conv1x1': '1×1', 'conv3x3': '3×3', 'identity': '–', 'pool': 'pool',
    'residual': 'res', 'bn': 'BN',
}  # fmt: skip
SHORT = {'reduction': 'reduce'}
_CELLS = re.compile(r'cells\.(\d{1,6})(?:-(\d{1,6}))?(?:\..*)?')


def draw_arch(
    layers: list[dict], input_size: list[int] | None = None, *, width: int = 960
) -> dict | None:
    """Lay out the block diagram: one box per layer, grouped by stage, in as few rows as fit.

    Args:
        layers (list[dict]): "layers" of ``best_arch.json``.
        input_size (list[int], optional): Height and width. Defaults to None.
        width (int): Width of the drawing in pixels. Defaults to 960.

    Returns:
        dict | None: Boxes, groups and lines in pixels for the template; None without layers.
    """
    if not layers:
        return None
    layers = _join_cells(layers)
    groups = [list(part) for _, part in groupby(layers, key=group_key)]
    usable = width - 2 * MARGIN
    rows, box = _fill_rows(groups, usable)

    tallest = max(_box_height(layer) for layer in layers)
    row_height, top = tallest + 96, 26
    boxes, labels, lines = [], [], []
    for index, row in enumerate(rows):
        middle = top + index * row_height + tallest / 2
        offset = MARGIN + (usable - _row_width(row, box)) / 2 if len(rows) == 1 else MARGIN
        x = offset
        for group in row:
            span = _group_width(group, box)
            left = x + (span - (len(group) * (box + GAP) - GAP)) / 2
            for layer in group:
                boxes.append(_draw_box(layer, left, middle, box))
                left += box + GAP
            labels.append(_draw_label(group, x, span, middle + tallest / 2 + 12))
            x += span + GROUP_GAP
        end = x - GROUP_GAP
        lines.append({'x1': offset - 16, 'x2': end + 16, 'y': middle})
        if index:
            start, below = lines[-2], middle - tallest / 2 - 20
            lines[-2]['turn'] = (
                f'M{start["x2"]:g} {start["y"]:g} h8 V{below:g} H{offset - 24:g} V{middle:g} h8'
            )
    source = layers[0].get('in_channels')
    return {
        'width': width,
        'height': top + len(rows) * row_height - 26,
        'boxes': boxes,
        'labels': labels,
        'lines': lines,
        'input': (format_size(input_size), f'{source} ch' if source else ''),
        'kernels': [
            (k, KERNEL_COLORS.get(k, OTHER_KERNEL_COLOR))
            for k in sorted({b['kernel'] for b in boxes if (b['kernel'] or 0) > 1})
        ],
        'plain': PLAIN_COLOR,
        'expands': sorted({b['expand'] for b in boxes if b['expand']}),
    }


def _join_cells(layers: list[dict]) -> list[dict]:
    """One box in place of a stage's equal cells; :func:`.draw_cell` shows what is in them.

    Their rows say which ``edge`` they are, or, where there are several kinds, of which ``cell``.
    """
    joined = []
    for (kind, _), part in groupby(
        layers, key=lambda row: (row.get('cell') or bool(row.get('edge')), group_key(row))
    ):
        part = list(part)
        if not kind:
            joined += part
            continue
        first, last = cell_numbers(part) or (0, 0)
        cells = dict(
            part[-1],
            op='cells',
            kernel=None,
            in_channels=part[0].get('in_channels'),
            stride=max((row.get('stride') or 1 for row in part if row.get('edge')), default=1),
            macs=sum(row.get('macs') or 0 for row in part),
            count=last - first + 1,
            kind=kind if isinstance(kind, str) else 'cell',
        )
        joined.append(dict(cells, name=f'stage {part[0].get("stage")}'))
    return joined


def cell_numbers(layers: list[dict]) -> tuple[int, int] | None:
    """The first and the last cell of a network that rows are of, by their names."""
    found = [_CELLS.fullmatch(str(row.get('name'))) for row in layers]
    numbers = [int(number) for match in found if match for number in match.groups() if number]
    return (min(numbers), max(numbers)) if numbers else None


def group_key(layer: dict) -> tuple:
    """What the layers of one group share: their stage, or the name of a layer outside all."""
    stage = layer.get('stage')
    return ('stage', stage) if stage is not None else ('layer', layer.get('name'))


def _group_width(group: list[dict], box: int) -> int:
    return max(len(group) * (box + GAP) - GAP, MIN_GROUP)


def _row_width(row: list[list[dict]], box: int) -> int:
    return sum(_group_width(group, box) + GROUP_GAP for group in row) - GROUP_GAP


def _fill_rows(groups: list[list[dict]], usable: int) -> tuple[list, int]:
    """Rows of groups of about the same width, and the width of a box."""
    box = next((b for b in BOX_WIDTHS if _row_width(groups, b) <= usable), None)
    if box:
        return [groups], box
    box = 44
    while max(_group_width(group, box) for group in groups) > usable and box > 8:
        box -= 2  # one very long stage
    num_rows = math.ceil(_row_width(groups, box) / usable)
    limit = _row_width(groups, box) / num_rows
    rows = _pack(groups, limit, lambda row: _row_width(row, box))
    while limit < usable and len(rows) > num_rows:
        limit = min(limit + 10, usable)
        rows = _pack(groups, limit, lambda row: _row_width(row, box))
    return rows, box


def _pack(groups: list, limit: float, row_width: Callable[[list], float]) -> list[list]:
    """Fill rows in order, starting a new one where the next group would not fit."""
    rows = [[]]
    for group in groups:
        if rows[-1] and row_width([*rows[-1], group]) > limit:
            rows.append([])
        rows[-1].append(group)
    return rows


def _box_height(layer: dict) -> float:
    """Taller for a larger expansion; plain layers are the lowest."""
    return 34 + 10 * min(layer.get('expand') or 0, 8)


def _draw_box(layer: dict, left: float, middle: float, width: int) -> dict:
    """One layer as a box on the middle line, with its words."""
    kernel, expand = layer.get('kernel'), layer.get('expand')
    color, height = kernel_color(kernel), _box_height(layer)
    macs = (layer.get('macs') or 0) / 1e6
    first = f'k{kernel}' if expand or layer.get('op') not in WORDS else WORDS[layer['op']]
    second = f'×{expand}' if expand else 'DS' if layer.get('op') == 'DSConv' else ''
    if layer.get('op') == 'cells':
        first, second = f'{layer["count"]} ×', SHORT.get(layer['kind'], layer['kind'][:6])
    return {
        'x': left,
        'y': middle - height / 2,
        'middle': middle,
        'width': width,
        'height': height,
        'color': color,
        'ink': 'white' if color in DARK_FILLS else INK,
        'kernel': kernel,
        'expand': expand,
        'first': first,
        'second': second,
        'stride': layer.get('stride'),
        'tip': f'{layer.get("name")}: {layer.get("op")}, {layer.get("in_channels")} → '
        f'{layer.get("out_channels")} channels, {format_cost(macs)} M MACs',
    }


def _draw_label(group: list[dict], left: float, width: int, y: float) -> dict:
    """Name, channels and resolution below a group."""
    last = group[-1]
    linear = last.get('op') == 'linear'
    return {
        'x': left,
        'width': width,
        'y': y,
        'title': _group_title(group[0]),
        'channels': f'{last.get("out_channels", "?")} {"classes" if linear else "ch"}',
        'size': '' if linear else format_size(last.get('out_size')),
    }


def _group_title(layer: dict) -> str:
    if layer.get('stage') is not None:
        return f'Stage {layer["stage"]}'
    if layer.get('op') == 'residual':
        return 'Residual'
    name = str(layer.get('name', ''))
    return {'conv_head': 'Head', 'lastact': 'Last BN'}.get(name, name.capitalize())
