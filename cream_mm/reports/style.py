"""The look of a report: one palette for text, tables and figures, and matplotlib's settings."""

from contextlib import AbstractContextManager

import matplotlib

INK, MUTED, GRID, AXIS = '#1f2933', '#66727f', '#e6eaee', '#b8c1ca'
BLUE, NAVY, ORANGE, RED, GREEN = '#2f7fa8', '#23406e', '#d9691a', '#c0392b', '#1f8a63'
VIOLET, GREY, PALE = '#76559b', '#8b97a3', '#b4bdc6'
LOSS_COLORS = (NAVY, BLUE, ORANGE, GREEN, VIOLET)
DEPTH_COLORS = (BLUE, GREEN, NAVY, VIOLET, RED)  # without orange, which is the chosen one's
WIRE_COLORS = (NAVY, ORANGE, BLUE, GREEN, VIOLET, RED, GREY)  # of the nodes of a cell
# From light to dark, so that kernels survive grey print.
KERNEL_COLORS = {3: '#a9d9cd', 5: '#3d8cad', 7: NAVY}
PLAIN_COLOR, OTHER_KERNEL_COLOR = '#dfe4ea', VIOLET
DARK_FILLS = {KERNEL_COLORS[5], KERNEL_COLORS[7], OTHER_KERNEL_COLOR}

PAGE_COLORS = dict(
    ink=INK, muted=MUTED, grid=GRID, orange=ORANGE, navy=NAVY, green=GREEN, red=RED
)  # fmt: skip


def kernel_color(kernel: int | None) -> str:
    """Fill of a layer: by its kernel, pale where it has none or one of 1x1."""
    return PLAIN_COLOR if (kernel or 0) <= 1 else KERNEL_COLORS.get(kernel, OTHER_KERNEL_COLOR)


def plot_style() -> AbstractContextManager:
    """Quiet axes in the page's colours; real text, so that it can be searched and copied."""
    return matplotlib.rc_context(
        {
            'svg.fonttype': 'none',
            'font.family': 'DejaVu Sans',
            'font.size': 9,
            'text.color': INK,
            'axes.edgecolor': AXIS,
            'axes.labelcolor': MUTED,
            'axes.titlesize': 9.5,
            'axes.titleweight': 'bold',
            'axes.titlelocation': 'left',
            'axes.spines.top': False,
            'axes.spines.right': False,
            'axes.grid': True,
            'axes.axisbelow': True,
            'grid.color': GRID,
            'grid.linewidth': 0.8,
            'xtick.color': MUTED,
            'ytick.color': MUTED,
            'xtick.major.size': 0,
            'ytick.major.size': 0,
            'lines.linewidth': 1.6,
            'legend.frameon': False,
            'legend.fontsize': 8.5,
            'path.simplify': True,
        }
    )
