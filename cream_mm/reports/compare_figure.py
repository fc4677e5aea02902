"""The picture of a comparison: top-1 of each network over what it costs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..files import write_whole
from .formats import wilson_interval
from .style import BLUE, GREY, NAVY, ORANGE, plot_style

STYLES = dict(
    found=dict(color=ORANGE, marker='o', s=70),
    full=dict(color=NAVY, marker='D', s=42),
    teacher=dict(color=NAVY, marker='d', s=42),
    random=dict(facecolors='white', edgecolors=GREY, marker='o', s=36),
)
USUAL = dict(color=BLUE, marker='s', s=36)


def draw_comparison(rows: Sequence[Mapping], path: str | Path, note: str = '') -> Figure | None:
    """Write the picture as PNG; nothing where fewer than two networks have a cost.

    A thin line is the 95 % interval of one network's top-1 on so many images. Differences are
    paired by image, and finer: the table tells them.

    Args:
        rows (Sequence[Mapping]): Of :func:`compare_all.summary`.
        path (str | Path): The file.
        note (str): What the points do not tell, below the title.
    """
    shown = [row for row in rows if row.get('macs_m')]
    if len(shown) < 2:
        return None
    with plot_style():
        figure = Figure(figsize=(7.5, 4.6), layout='constrained')
        axes = figure.subplots()
        for row in shown:
            if row.get('num_images'):
                ends = wilson_interval(row['top1'], row['num_images'])
                axes.plot([row['macs_m']] * 2, ends, color=GREY, linewidth=0.8, zorder=2)
            style = STYLES.get(row['kind'].partition('-')[0], USUAL)
            axes.scatter(row['macs_m'], row['top1'], zorder=3, **style)
            axes.annotate(
                row['name'], (row['macs_m'], row['top1']), xytext=(6, 3),
                textcoords='offset points', fontsize=8,
            )  # fmt: skip
        axes.margins(x=0.14, y=0.08)
        axes.set_xlabel('million multiply-adds')
        axes.set_ylabel('top-1 on the images tested, %, and 95 % interval')
        title = 'What was found beside the usual means, trained alike'
        axes.set_title(f'{title}\n{note}' if note else title)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=150, format='png')
    write_whole(path, buffer.getvalue())
    return figure
