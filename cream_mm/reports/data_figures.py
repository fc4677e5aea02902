"""The figures of a data report, each an inline SVG."""

import numpy as np
from markupsafe import Markup
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from ..datasets.data_check import DataCheck
from ..files import shorten
from .figures import to_svg
from .style import BLUE, GREY, NAVY, ORANGE, plot_style

COLORS = dict(train=NAVY, val=BLUE, test=ORANGE)
MAX_CLASSES = 40  # in a figure
MAX_POINTS = 4000
# COCO's small, medium and large: sides of a square of that area, in pixels.
SIDES = (32, 96)


def draw_classes(check: DataCheck) -> Markup | None:
    """Share of each class in each split, the commonest on top; None without classes."""
    counts = {split: np.array(n, float) for split, n in check.counts().items() if sum(n)}
    if not counts:
        return None
    total = sum(counts.values())
    order = np.argsort(-total, kind='stable')[:MAX_CLASSES][::-1]
    height = 0.8 / len(counts)
    with plot_style():
        fig = Figure(
            figsize=(9.2, 1.0 + len(order) * max(0.26, 0.13 * len(counts))), layout='constrained'
        )
        ax = fig.add_subplot()
        for number, (split, n) in enumerate(counts.items()):
            places = np.arange(len(order)) + 0.4 - (number + 0.5) * height
            ax.barh(places, 100 * n[order] / n.sum(), height, color=COLORS.get(split, GREY),
                    label=f'{split} ({int(n.sum()):,})')  # fmt: skip
        ax.set_yticks(range(len(order)), [shorten(check.source.classes[k], 28) for k in order])
        what = 'boxes' if check.source.has_boxes else 'images'
        of_split = ' of a split' if len(counts) > 1 else ''
        ax.set(xlabel=f'share of the {what}{of_split}, %', ylim=(-0.6, len(order) - 0.4))
        ax.grid(axis='y', visible=False)
        fig.legend(loc='outside upper left', ncols=4)
        return to_svg(fig, 'classes', 'Share of each class in each split')


def draw_sizes(check: DataCheck) -> Markup | None:
    """Width and height of the pictures; None where all are alike, or none is known."""
    sizes = [(look.width, look.height) for look in check.looks if look.problem is None]
    if len(set(sizes)) < 2:
        return None
    step = -(-len(sizes) // MAX_POINTS)
    width, height = np.array(sizes[::step], float).T
    with plot_style():
        fig = Figure(figsize=(9.2, 3.6), layout='constrained')
        left, right = fig.subplots(1, 2)
        left.scatter(width, height, s=9, alpha=0.35, lw=0, color=BLUE)
        if max(width.max() / width.min(), height.max() / height.min()) > 8:
            left.set(xscale='log', yscale='log')
            _count_in_figures(left.xaxis)
            _count_in_figures(left.yaxis)
        else:
            left.set(xlim=(0, None), ylim=(0, None))
        left.set(xlabel='width, pixels', ylabel='height, pixels')
        left.set_title('Size')
        ratio = np.log2(width / height)
        edge = max(1.0, np.ceil(2 * np.abs(ratio).max()) / 2)
        right.hist(ratio, np.linspace(-edge, edge, 41), color=BLUE)
        words = {-3: '1:8', -2: '1:4', -1: '1:2', 0: 'square', 1: '2:1', 2: '4:1', 3: '8:1'}
        ticks = [t for t in words if abs(t) <= edge]
        right.set_xticks(ticks, [words[t] for t in ticks])
        right.set(xlabel='width to height', ylabel='pictures')
        right.set_title('Shape')
        right.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        return to_svg(fig, 'sizes', 'Sizes and shapes of the pictures')


def _count_in_figures(axis: Axis) -> None:
    """On an axis by logarithms: 200, not 2 x 10^2."""
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.5)))


def draw_boxes(check: DataCheck) -> Markup | None:
    """Sizes of boxes, where their middles lie, and how many an image has; None without any."""
    if not check.source.has_boxes:
        return None
    sides, middles, numbers = [], [], []
    for picture, look in zip(check.source.pictures, check.looks):
        if look.problem is not None:
            continue
        numbers.append(len(picture.boxes))
        for box in picture.boxes:
            sides.append(max(box.width * box.height, 0.25) ** 0.5)
            x, y = box.x + box.width / 2, box.y + box.height / 2
            middles.append((x / look.width, y / look.height))
    if not sides:
        return None
    with plot_style():
        fig = Figure(figsize=(9.2, 3.1), layout='constrained')
        first, second, third = fig.subplots(1, 3)
        edges = np.geomspace(min(2, *sides), max(200, *sides), 30)
        first.hist(sides, edges, color=BLUE)
        first.set_xscale('log')
        _count_in_figures(first.xaxis)
        first.set(xlabel='side of a square of that area, pixels', ylabel='boxes')
        for side in SIDES:
            first.axvline(side, color=ORANGE, lw=0.9, ls=(0, (4, 3)))
        first.set_title("Size (dashed: COCO's 32, 96)")
        x, y = np.clip(np.array(middles).T, 0, 1)
        cells = np.histogram2d(y, x, bins=24, range=((0, 1), (0, 1)))[0]
        second.imshow(cells, extent=(0, 1, 1, 0), cmap='Blues', vmin=0)
        second.set(xticks=(), yticks=(), xlabel='left to right', ylabel='bottom to top')
        second.grid(visible=False)
        second.set_title('Where their middles lie')
        top = max(numbers)
        third.hist(numbers, np.arange(-0.5, top + 1.5, max(1, top // 30)), color=BLUE)
        third.set(xlabel='boxes in an image', ylabel='images')
        third.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        third.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        third.set_title('How many')
        return to_svg(fig, 'boxes', 'Sizes, places and numbers of boxes')
