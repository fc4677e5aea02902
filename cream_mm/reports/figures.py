"""The figures of a report, each an inline SVG."""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker
from matplotlib.ticker import MaxNLocator

from .formats import COST_NAMES, cost_name, format_cost, format_range
from .front import Front, FrontPath
from .metric import Metric
from .rated_blocks import Blocks, RatedBlock
from .style import (
    BLUE,
    DEPTH_COLORS,
    GREEN,
    GREY,
    LOSS_COLORS,
    MUTED,
    NAVY,
    ORANGE,
    PALE,
    plot_style,
)

Curve = list[tuple[int, float]]
Limits = tuple[float | None, float | None]
MAX_LABELS = 12  # names beside the points of a front
REACH = 0.6  # how far beyond the points an axis may reach for what has no rating, of its length

# source: (in the legend, style)
POINTS = dict(
    random=('random path', dict(facecolors='white', edgecolors=GREY, s=36)),
    board=('on the board', dict(color=BLUE, s=44, edgecolors='white')),
    effects=('best training effects', dict(color=GREEN, s=44, edgecolors='white')),
    combined=('drawn to learn, or proposed', dict(color=GREEN, s=30, edgecolors='white')),
    given=('asked for by the strategy', dict(color=GREEN, s=30, edgecolors='white')),
    archive=('in the pools of the training', dict(color=BLUE, s=26, edgecolors='white')),
    reference=('cheapest and costliest', dict(color=NAVY, marker='D', s=30)),
)


# Of cells of different width in a block, from narrow to wide: matplotlib's, and in the legend.
MARKS = (('o', '●'), ('s', '■'), ('^', '▲'), ('D', '◆'))


def to_svg(fig: Figure, name: str, description: str) -> Markup:
    """A figure as inline SVG: no prolog, no outside names, ids unique within the page."""
    buffer = io.StringIO()
    with matplotlib.rc_context({'svg.hashsalt': name}):
        blank = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
        fig.savefig(buffer, format='svg', metadata=blank)
    svg = buffer.getvalue()
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<defs>\s*<style.*?</style>\s*</defs>', '', svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r'url\(#', f'url(#{name}-', svg)
    svg = svg.replace("'DejaVu Sans'", 'var(--sans)')
    box = re.search(r'viewBox="([^"]+)"', svg).group(1)
    width = round(fig.get_figwidth() * 100)
    head = (
        f'<svg viewBox="{box}" role="img" aria-label="{description}" style="max-width:{width}px">'
    )
    return Markup(head + svg[svg.index('>') + 1 :])


def to_rgb(fig: Figure, name: str, description: str) -> np.ndarray:
    """A figure as a picture, (H, W, 3), uint8."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


Writer = Callable[[Figure, str, str], Any]


def draw_scatter(
    points: list[dict],
    chosen: tuple[float | None, float | None],
    limits: Limits,
    metric: Metric,
    cost: str = 'macs_m',
    write: Writer | None = None,
) -> Any | None:
    """Rating against the cost of rated paths, or None without any.

    Args:
        points (list[dict]): "rated" of ``board.json`` or ``search.json``; each has the cost.
        chosen (tuple): Cost and rating of the answer, as far as they are known.
        limits (tuple): Both ends of the budget of the cost.
        metric (Metric): What the ratings are.
        cost (str): 'macs_m' (default) or 'latency_ms'.
        write (callable): What makes the result of the figure. Defaults to inline SVG.
    """
    if not points:
        return None
    unit = COST_NAMES[cost][1]
    with plot_style():
        fig = Figure(figsize=(9.2, 4.3), layout='constrained')
        ax = fig.add_subplot()
        for source, (label, style) in POINTS.items():
            part = [p for p in points if p.get('source') == source]
            if part:
                xs, ys = [p[cost] for p in part], [metric.shown(p) for p in part]
                ax.scatter(xs, ys, label=f'{label} ({len(part)})', zorder=3, **style)

        x, y = chosen
        if x is not None and y is not None:
            _draw_star(ax, x, y, 'chosen')
        ax.margins(x=0.08, y=0.12)
        left, right = _shade_budget(ax, limits, unit)
        if x is not None and y is not None:
            to_left = x > (left + right) / 2
            ax.annotate(f'chosen: {format_cost(x)} {unit}, {metric.format(y)}', (x, y),
                        (-13 if to_left else 13, 9), textcoords='offset points',
                        ha='right' if to_left else 'left', color=ORANGE, weight='bold',
                        zorder=6)  # fmt: skip
        label = 'MACs per image (millions)' if cost == 'macs_m' else cost_name(cost)
        ax.set(xlabel=label, ylabel=f'search rating, {metric.label}')
        fig.legend(loc='outside upper left', ncols=5, handletextpad=0.5, columnspacing=1.6)
        name = 'MACs' if cost == 'macs_m' else COST_NAMES[cost][0]
        return (write or to_svg)(fig, 'scatter', f'Rating against {name} of all rated paths')


def draw_front(front: Front, write: Writer | None = None) -> Any | None:
    """Rating against cost of the best paths for several budgets, or None where none is rated.

    References without a rating are ticks on the axis of costs. ``write`` makes the result of the
    figure, by default inline SVG.
    """
    steps, references = front.steps, front.references
    drawn = [p for p in (front.answer, *steps, *references) if p.cost is not None]
    rated = [p for p in drawn if p.rating is not None]
    if not rated:
        return None
    with plot_style():
        fig = Figure(figsize=(9.2, 4.3), layout='constrained')
        ax = fig.add_subplot()
        for kind, label, style in (
            ('random', 'random path', dict(facecolors='white', edgecolors=PALE, s=17, zorder=2)),
            ('named', 'reference', dict(color=NAVY, marker='D', s=30, zorder=4)),
        ):  # fmt: skip
            part = [p for p in rated if p.kind == kind]
            if part:
                xs, ys = [p.cost for p in part], [p.rating for p in part]
                ax.scatter(xs, ys, label=f'{label} ({len(part)})', **style)
        line = sorted((p.cost, p.rating) for p in rated if p.kind == 'front')
        if line:
            ax.plot(*zip(*line, strict=True), 'o-', color=BLUE, ms=7, mec='white', zorder=3,
                    label='best path up to a cost')  # fmt: skip
        if front.sizes_differ:
            own = (front.answer.arch, front.answer.size)
            told = [p for p in rated if p.kind == 'front' and (p.arch, p.size) != own]
            for path in told[:MAX_LABELS]:
                size = f'{path.size[0]} px'
                _label(ax, path, size, (8, -12), GREY, fontsize='small')
        answer = front.answer if front.answer in rated else None
        if answer:
            _draw_star(ax, answer.cost, answer.rating, 'answer')
        ax.margins(x=0.08, y=0.14)
        _mark_unrated(ax, [p for p in drawn if p.kind == 'named' and p.rating is None])
        left, right = _shade_budget(ax, front.limits, front.cost_unit)
        for path in [p for p in rated if p.kind == 'named'][:MAX_LABELS]:
            space = ((right if answer is None else answer.cost) - path.cost) / (right - left)
            to_left = 0 <= space < 0.12 or path.cost > left + 0.8 * (right - left)
            _label(ax, path, path.name, (-8 if to_left else 8, -3), NAVY)
        if answer:
            # A front rises to the right: above it on the left, and below on the right, is room. One
            # of errors falls: there it is below on the left, and above on the right.
            to_left = answer.cost > (left + right) / 2
            above = to_left != front.is_error
            words = f'answer: {format_cost(answer.cost)} {front.cost_unit}'.rstrip()
            words += f', {front.format_rating(answer.rating)}'
            words += f', {answer.size[0]} px' if front.sizes_differ and answer.size else ''
            offset = (-13 if to_left else 13, 9 if above else -15)
            _label(ax, answer, words, offset, ORANGE, weight='bold')
        ax.set(xlabel=front.cost_label, ylabel=front.rating_label)
        fig.legend(loc='outside upper left', ncols=5, handletextpad=0.5, columnspacing=1.6)
        return (write or to_svg)(
            fig, 'front', 'Rating against cost of the best paths for several budgets'
        )


def _draw_star(ax: Axes, x: float, y: float, label: str, size: float = 330) -> None:
    ax.scatter(x, y, marker='*', s=size, color=ORANGE, edgecolors='white', zorder=5, label=label)


def _label(ax: Axes, path: FrontPath, text: str, offset: tuple, color: str, **style) -> None:
    """Words beside a point: to the left of it where the offset points there."""
    ax.annotate(text, (path.cost, path.rating), offset, textcoords='offset points', color=color,
                ha='right' if offset[0] < 0 else 'left', zorder=6, **style,
                bbox=dict(facecolor='white', alpha=0.7, lw=0, pad=1))  # fmt: skip


def _shade_budget(ax: Axes, limits: Limits, unit: str) -> tuple[float, float]:
    """Mark the budget on the x axis; returns the ends of the axis, which are then fixed."""
    left, right = ax.get_xlim()
    low, high = limits
    if low is not None or high is not None:
        # An end of the budget far outside the data would squeeze the points together.
        reach = REACH * (right - left)
        if low is not None and low > left - reach:
            left = min(left, low - 0.04 * (right - left))
        if high is not None and high < right + reach:
            right = max(right, high + 0.04 * (right - left))
        ax.axvspan(left if low is None else low, right if high is None else high,
                   color=GREEN, alpha=0.07, lw=0, zorder=0,
                   label=f'budget, {format_range(limits)} {unit}'.rstrip())  # fmt: skip
        for edge in (low, high):
            if edge is not None:
                ax.axvline(edge, color=GREEN, lw=0.9, ls=(0, (4, 3)), alpha=0.7, zorder=1)
    ax.set_xlim(left, right)
    return left, right


def _mark_unrated(ax: Axes, paths: list[FrontPath]) -> None:
    """A tick with a name on the x axis for each; an arrow at the end for one far outside."""
    left, right = ax.get_xlim()
    reach, room = REACH * (right - left), 0.04 * (right - left)
    near = [p.cost for p in paths if left - reach < p.cost < right + reach]
    left, right = min([left, *(x - room for x in near)]), max([right, *(x + room for x in near)])
    ax.set_xlim(left, right)
    place = ax.get_xaxis_transform()  # x in units of the data, y from 0 at the axis to 1
    ends = []  # of the names in each line of names, from the axis upwards, as shares of the width
    for path in sorted(paths, key=lambda p: p.cost)[:MAX_LABELS]:
        x = min(max(path.cost, left), right)
        name = f'{path.name} →' if path.cost > right else path.name
        name = f'← {name}' if path.cost < left else name
        share, width = (x - left) / (right - left), 0.0085 * len(name) + 0.01
        ha = 'left' if share < width / 2 else 'right' if share > 1 - width / 2 else 'center'
        start = share - dict(left=0, center=0.5, right=1)[ha] * width
        line = next((i for i, end in enumerate(ends) if end < start), len(ends))
        ends[line : line + 1] = [start + width]
        ax.plot([x, x], [0, 0.03], color=NAVY, lw=1.8, transform=place, zorder=4)
        ax.annotate(name, (x, 0.03), (0, 2 + 11 * line), xycoords=place, ha=ha, color=NAVY,
                    textcoords='offset points', fontsize=8)  # fmt: skip


def draw_blocks(blocks: Blocks, write: Writer | None = None) -> Any | None:
    """Rating against cost of every candidate, one panel for each block; None without any.

    Cells of different depth have different colours, those of different width different marks.
    ``write`` as for :func:`draw_front`.
    """
    panels = blocks.panels
    if not panels:
        return None
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    sizes = blocks.sizes
    palette = DEPTH_COLORS if len(sizes) <= len(DEPTH_COLORS) else _ramp(len(sizes))
    colors = dict(zip(sizes, palette, strict=False))
    with plot_style():
        fig = Figure(figsize=(9.2, 2.7 * rows + 0.3), layout='constrained')
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        for ax, panel in zip(axes, panels, strict=False):
            _draw_block(ax, panel, colors)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        fig.supxlabel('MACs in the network (millions)', color=MUTED, fontsize=9)
        fig.supylabel(f'{blocks.metric}, lower is better', color=MUTED, fontsize=9)
        return (write or to_svg)(
            fig, 'blocks', 'Rating against MACs of the candidates of each block'
        )


def _draw_block(ax: Axes, panel: RatedBlock, colors: dict[int, str]) -> None:
    ax.step(*panel.best, where='post', color=PALE, lw=1, zorder=2)
    widths = sorted({cell.width for cell in panel.cells})
    names, dense = [], sum(len(cell.ratings) for cell in panel.cells) > 100
    for cell in panel.cells:
        color, mark = colors[cell.layers], MARKS[widths.index(cell.width) % len(MARKS)]
        ax.scatter(cell.costs, cell.ratings, s=9 if dense else 22, color=color, marker=mark[0],
                   alpha=0.6 if dense else 0.9, lw=0, zorder=3)  # fmt: skip
        style = dict(color=color, fontsize=8)
        names.append(TextArea(f'{mark[1]} {cell.layers} × {cell.width}', textprops=style))
    ax.margins(0.09, 0.12)
    shown = np.concatenate([cell.ratings for cell in panel.cells])
    if len(shown) and shown.min() > 0 and shown.max() > 20 * shown.min():
        ax.set_yscale('log')
    ax.xaxis.set_major_locator(MaxNLocator(4))
    names[8:] = [TextArea('…')] if len(names) > 8 else []
    lines = [HPacker(children=part, pad=0, sep=9) for part in (names[:4], names[4:]) if part]
    pad = 5 + 13 * len(lines)
    ax.set_title(f'block {panel.number}', pad=pad)
    if panel.chosen:
        _draw_star(ax, *panel.chosen, 'chosen', size=190)
        ax.set_title(f'★ {panel.place:,} of {panel.total:,}', loc='right', pad=pad, color=ORANGE,
                     fontsize=8.5)  # fmt: skip
    box = VPacker(children=lines, pad=0, sep=3)
    anchor = dict(bbox_to_anchor=(0, 1), bbox_transform=ax.transAxes)
    box = AnchoredOffsetbox('lower left', child=box, frameon=False, pad=0, borderpad=0.25, **anchor)
    ax.add_artist(box)


def draw_search(train_lines: dict[int, dict], val_lines: dict[int, dict]) -> Markup | None:
    """Losses, accuracies and learning rate of a search, as far as they were logged.

    Args:
        train_lines (dict): ``{step: line}``, see :func:`cream_mm.reports.run_files.read_scalars`.
        val_lines (dict): The same of validation.
    """
    names = {k for line in train_lines.values() for k in line if re.fullmatch(r'loss(_\w+)?', k)}
    losses = sorted(names, key=_numbered)[:12]
    numbered = [key for key in losses if key[-1].isdigit()]
    if len(numbered) > 1 and len(numbered) == len(losses) - 1:
        losses = numbered  # their sum, beside them, would flatten them all
    validation = curve_of(val_lines, 'accuracy/top1')
    keys = ('train_top1', 'board_best', 'board_worst')
    has_accuracies = validation or any(curve_of(train_lines, key) for key in keys)
    panels = [name for name, is_there in (
        ('loss', losses), ('top-1 (%)', has_accuracies),
        ('learning rate', curve_of(train_lines, 'lr')),
    ) if is_there]  # fmt: skip
    if not panels:
        return None
    ratios = [0.65 if name == 'learning rate' else 1 for name in panels]
    with plot_style():
        fig = Figure(figsize=(9.2 if len(panels) > 1 else 5.2, 2.9), layout='constrained')
        axes = fig.subplots(1, len(panels), width_ratios=ratios, squeeze=False)[0]
        for ax, name in zip(axes, panels, strict=True):
            if name == 'loss':
                colors = LOSS_COLORS if len(losses) <= len(LOSS_COLORS) else _ramp(len(losses))
                for key, color in zip(losses, colors, strict=False):
                    _draw_smoothed(ax, curve_of(train_lines, key), color, key)
            elif name == 'top-1 (%)':
                _draw_accuracies(ax, train_lines, validation)
            else:
                ax.plot(*zip(*curve_of(train_lines, 'lr'), strict=True), color=MUTED)
                ax.set_ylim(bottom=0)
            ax.set_title(name)
            ax.set_xlabel('iteration')
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if name != 'learning rate':
                ax.legend(ncols=1 + (name == 'loss' and len(losses) > 4))
        return to_svg(fig, 'search', 'Training curves of the search')


def _numbered(name: str) -> tuple[str, int]:
    """``loss_block10`` comes after ``loss_block9``."""
    word = name.rstrip('0123456789')
    return word, int(name[len(word) :] or -1)


def _ramp(number: int) -> list[str]:
    """So many colours in the order of a rainbow without its yellow, which is hard to see."""
    return [to_hex(matplotlib.colormaps['viridis'](x)) for x in np.linspace(0, 0.82, number)]


def _draw_accuracies(ax: Axes, train_lines: dict[int, dict], validation: Curve) -> None:
    """Train top-1 of the sampled paths, the range of the board, validation where logged."""
    sampled = curve_of(train_lines, 'train_top1')
    if sampled:
        _draw_smoothed(ax, sampled, BLUE, 'sampled path, training')
    best, worst = (dict(curve_of(train_lines, key)) for key in ('board_best', 'board_worst'))
    both = sorted(set(best) & set(worst))
    ax.fill_between(both, [worst[s] for s in both], [best[s] for s in both], step='post',
                    color=ORANGE, alpha=0.13, lw=0)  # fmt: skip
    for curve, label, style in ((best, 'board, best', '-'), (worst, 'board, worst', '--')):
        if curve:
            ax.step(list(curve), list(curve.values()), style, where='post', color=ORANGE,
                    lw=1.2, label=label)  # fmt: skip
    if validation:
        # Validation lines count epochs where training lines count iterations.
        ends = {line.get('epoch'): step for step, line in sorted(train_lines.items())}
        xs = [ends.get(step, step) for step, _ in validation]
        ax.plot(xs, [v for _, v in validation], 'o', color=NAVY, ms=4, label='validation')


def _draw_smoothed(ax: Axes, curve: Curve, color: str, label: str) -> None:
    """Raw values faint, a centred moving mean on top."""
    steps, values = (np.array(part, float) for part in zip(*curve, strict=True))
    window = np.ones(max(1, len(values) // 20))
    # Dividing by the same sum over ones makes the mean right at both ends.
    mean = np.convolve(values, window, 'same') / np.convolve(np.ones_like(values), window, 'same')
    ax.plot(steps, values, color=color, alpha=0.22, lw=0.8)
    ax.plot(steps, mean[: len(steps)], color=color, label=label)


def draw_later(top1: Curve, mean_ap: Curve, mean_ap_50: Curve) -> Markup | None:
    """Validation curves of a retraining (percent) and of a detector (0 to 1), or None."""
    panels = []
    if top1:
        panels.append(('retrained network, top-1 (%)', [('top-1', top1, BLUE)]))
    if mean_ap:
        curves = [('mAP', [(s, 100 * v) for s, v in mean_ap], NAVY)]
        if mean_ap_50:
            curves.insert(0, ('mAP50', [(s, 100 * v) for s, v in mean_ap_50], BLUE))
        panels.append(('detector, box mAP (%)', curves))
    if not panels:
        return None
    with plot_style():
        fig = Figure(figsize=(9.2 if len(panels) > 1 else 5.2, 2.7), layout='constrained')
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        for ax, (title, curves) in zip(axes, panels, strict=True):
            for label, curve, color in curves:
                ax.plot(*zip(*curve, strict=True), 'o-', color=color, ms=3.5, label=label)
                ax.annotate(f'{curve[-1][1]:.1f}', curve[-1], (6, 0), va='center', color=color,
                            textcoords='offset points', weight='bold')  # fmt: skip
            ax.set_title(title)
            steps = [step for _, curve, _ in curves for step, _ in curve]
            ax.set_xlabel('epoch' if max(steps) <= 1000 else 'iteration')
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            left, right = ax.get_xlim()
            ax.set_xlim(left, right + 0.08 * (right - left))  # room for the last value
            if len(curves) > 1:
                ax.legend()
        return to_svg(fig, 'later', 'Validation curves of retraining and detector')


def curve_of(lines: dict[int, dict], key: str) -> Curve:
    """[(step, value)] of the lines that have a key."""
    return [(step, line[key]) for step, line in lines.items() if key in line]
