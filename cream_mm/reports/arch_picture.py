"""The block diagram of an architecture as a picture, for what shows no SVG."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from .arch_diagram import draw_arch
from .figures import to_rgb
from .style import AXIS, GREY, INK, MUTED, plot_style

DPI = 100
FOOT = 34  # pixels below the diagram, for the legend


def arch_picture(layers: list[dict], input_size: list[int] | None = None) -> np.ndarray | None:
    """What :func:`draw_arch` lays out, (H, W, 3), RGB, uint8; None without layers."""
    diagram = draw_arch(layers, input_size)
    if diagram is None:
        return None
    width, height = diagram['width'], diagram['height'] + FOOT
    with plot_style():
        fig = Figure(figsize=(width / DPI, height / DPI), dpi=2 * DPI)
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, width), ylim=(height, 0))
        ax.set_axis_off()
        _draw_lines(ax, diagram)
        for box in diagram['boxes']:
            _draw_box(ax, box)
        for label in diagram['labels']:
            middle = label['x'] + label['width'] / 2
            ax.plot([label['x'], label['x'] + label['width']], [label['y']] * 2, color=AXIS, lw=0.8)
            _text(ax, middle, label['y'] + 12, label['title'], INK, 7.7, weight='bold')
            _text(ax, middle, label['y'] + 26, label['channels'], MUTED, 7.2)
            _text(ax, middle, label['y'] + 40, label['size'], MUTED, 7.2)
        legend = [*((f'{k}×{k} kernel', color) for k, color in diagram['kernels'])]
        legend.append(('1×1 or linear', diagram['plain']))
        for i, (words, color) in enumerate(legend):
            x, y = diagram['lines'][0]['x1'] + 110 * i, height - 22
            ax.add_patch(Rectangle((x, y), 13, 13, color=color))
            _text(ax, x + 19, y + 6.5, words, INK, 7.7, ha='left')
        return to_rgb(fig, 'answer', '')


def _draw_lines(ax: Axes, diagram: dict) -> None:
    lines = diagram['lines']
    for line, after in zip(lines, [*lines[1:], None]):
        ax.plot([line['x1'], line['x2']], [line['y']] * 2, color=GREY, lw=1.2, zorder=1)
        if after is not None:  # on to the next row
            between = (line['y'] + after['y']) / 2
            xs = [line['x2'], line['x2'] + 8, line['x2'] + 8, after['x1'] - 8, after['x1'] - 8,
                  after['x1']]  # fmt: skip
            ys = [line['y'], line['y'], between, between, after['y'], after['y']]
            ax.plot(xs, ys, color=GREY, lw=1.0, ls=(0, (4, 3)), zorder=1)
    first, last = lines[0], lines[-1]
    size, channels = diagram['input']
    _text(ax, first['x1'] - 5, first['y'] - 8, size or 'input', MUTED, 7.7, ha='right')
    _text(ax, first['x1'] - 5, first['y'] + 8, channels, MUTED, 7.7, ha='right')
    ax.plot([last['x2'] + 3], [last['y']], '>', color=GREY, ms=5)


def _draw_box(ax: Axes, box: dict) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (box['x'], box['y']), box['width'], box['height'],
            boxstyle='round,pad=0,rounding_size=4', facecolor=box['color'], lw=0, zorder=2,
        )
    )  # fmt: skip
    middle, y = box['x'] + box['width'] / 2, box['middle']
    _text(ax, middle, y - (7 if box['second'] else 0), box['first'], box['ink'], 8.1, weight='bold')
    _text(ax, middle, y + 8, box['second'], box['ink'], 7.7)
    if (box['stride'] or 1) != 1:
        _text(ax, middle, box['y'] - 7, f'↓{box["stride"]}', MUTED, 7.2)


def _text(ax: Axes, x: float, y: float, text: str, color: str, size: float, **style) -> None:
    ax.text(x, y, text, color=color, fontsize=size, va='center', zorder=3,
            **{'ha': 'center', **style})  # fmt: skip
