"""One self-contained HTML page about a search: what was looked for, found and measured.

Reads only the JSON files a run leaves behind and the text of its config, which is not run, and
never a checkpoint, so a report can be made on any machine. The same files give the same bytes:
nothing here depends on the clock.
"""

import base64
import io
import math
import os
import re
import shlex
from contextlib import contextmanager
from itertools import cycle, groupby
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..datasets.pillow_image import UNREADABLE, open_image, upright_rgb
from ..files import read_bytes, shorten
from ..files.arch_file import RULES
from ..files.config_values import read_value
from .run_files import is_number, read_answer, read_board, read_detections, read_scalars

# Why a path was rated.
_SOURCES = dict(
    effects='of the best training effects', board='from the board', random='drawn at random'
)
NUM_SCENES = 6
MIN_SCORE = 0.4
MATCH_IOU = 0.5

# What a page can show; of more, a part is drawn and a note says so.
MAX_POINTS, MAX_ROWS, MAX_CELLS = 5000, 200, 20_000
MAX_FOUND, MAX_TRUTHS = 300, 2000  # boxes of an image
MAX_IMAGES, MAX_IMAGE_BYTES, MAX_PIXELS = 5000, 64 * 2**20, 50_000_000

# One palette for figures and page. Kernels go from light to dark, so they survive grey print.
INK, MUTED, GRID = '#1f2933', '#66727f', '#e6eaee'
BLUE, NAVY, ORANGE, RED, GREEN = '#2f7fa8', '#23406e', '#d9691a', '#c0392b', '#1f8a63'
LOSS_COLORS = (NAVY, BLUE, ORANGE, GREEN, '#76559b')
KERNEL_COLORS = {3: '#a9d9cd', 5: '#3d8cad', 7: '#23406e'}
PLAIN_COLOR, OTHER_KERNEL_COLOR = '#dfe4ea', '#76559b'
DARK_FILLS = {KERNEL_COLORS[5], KERNEL_COLORS[7], OTHER_KERNEL_COLOR}

# The notation of the released code, used for board rows only where the layers do not contradict it.
DEFAULT_CHOICES = {c: ((3, 5, 7)[c // 2], (4, 6)[c % 2]) for c in range(6)}


@contextmanager
def _as_written():
    """Name the files where one does not hold what a search writes."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, jinja2.UndefinedError) as error:
        raise ValueError(
            'best_arch.json, board.json or scalars.json does not hold what a run writes: '
            f'{shorten(repr(error), 200)}'
        ) from error


class SearchReport:
    """The files of one search, and what a reader wants to know from them.

    Optional inputs that are missing leave out their section and add a line to ``notes``.

    Args:
        search_dir (str | Path): Work directory of the search, with ``best_arch.json`` and usually
            ``board.json`` and ``<timestamp>/vis_data/scalars.json``.
        retrain_dir (str | Path, optional): Work directory of the retraining. Defaults to None.
        detector_dir (str | Path, optional): Work directory of the detector. Defaults to None.

    Units:
        costs: millions of MACs or parameters. Accuracies: percent, higher is better.
        mAP: 0 to 1 in the files, percent in the report.

    Raises:
        FileNotFoundError: If ``search_dir`` has no ``best_arch.json``.
        ValueError: If a file is not JSON of the expected format.

    Example:
        >>> SearchReport('work_dirs/demo/search').save('report.html')
    """

    @_as_written()
    def __init__(self, search_dir, *, retrain_dir=None, detector_dir=None):
        self.search_dir = Path(search_dir)
        self.retrain_dir = Path(retrain_dir) if retrain_dir is not None else None
        self.detector_dir = Path(detector_dir) if detector_dir is not None else None
        self.notes = []

        path = self.search_dir / 'best_arch.json'
        if not path.is_file():
            raise FileNotFoundError(
                f'{path} not found. A search writes it when it ends: run "python tools/train.py '
                f'SEARCH_CONFIG --work-dir {self.search_dir}" first, or pass the directory of a '
                'finished search.'
            )
        self.best = read_answer(path, self.notes)
        self.layers = self.best.get('layers') or []
        if not self.layers and not self.notes:
            self.notes.append('Drawing and cost table: best_arch.json lists no layers.')

        self.board = {}
        path = self.search_dir / 'board.json'
        if os.path.lexists(path):
            self.board = read_board(path)
        else:
            self.notes.append(f'Board and scatter plot: {path} not found.')

        self.train_lines, self.val_lines = read_scalars(self.search_dir, self.notes)
        if not self.train_lines:
            self.notes.append(f'Search curves: no vis_data/scalars.json under {self.search_dir}.')
        self.retrain_curve = self._metric_curve(self.retrain_dir, 'accuracy/top1', '--retrain')
        self.map_curve = self._metric_curve(self.detector_dir, 'coco/bbox_mAP', '--detector')
        self.scenes = self._read_scenes()

    def save(self, out=None):
        """Write the page and return its path.

        Args:
            out (str | Path, optional): Defaults to ``report.html`` in the search directory.
        """
        out = Path(out) if out is not None else self.search_dir / 'report.html'
        out.parent.mkdir(parents=True, exist_ok=True)
        # A half-written page must not replace a good one.
        partial = out.with_name(f'.{out.name}.{os.getpid()}.tmp')
        partial.write_text(self.to_html(out), encoding='utf-8', errors='replace')
        partial.replace(out)
        return out

    @_as_written()
    def to_html(self, out=None):
        """Render the page as one string with no link to anything outside it."""
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        env.filters.update(m=format_millions, pct=format_pct, num=_format_plain)
        return env.get_template('search_report.html.j2').render(
            headline=self._headline(),
            story=self._story(),
            warnings=self._warnings(),
            config_name=Path(str(self.best.get('config') or self.search_dir)).stem,
            results=self.results(),
            scatter=self._scatter_figure(),
            num_rated=len(self._rated()),
            search_curves=self._search_figure(),
            later_curves=self._later_figure(),
            diagram=draw_arch(self.layers, self.best.get('input_size')),
            cost=self._cost_table(),
            board=self._board_rows(),
            scenes=self.scenes,
            min_score=MIN_SCORE,
            provenance=self._provenance(),
            commands=self._commands(out),
            notes=self.notes,
            colors={
                'ink': INK,
                'muted': MUTED,
                'grid': GRID,
                'orange': ORANGE,
                'navy': NAVY,
                'green': GREEN,
                'red': RED,
            },
        )

    def results(self):
        """The result table as (label, value, note) strings, only for what exists."""
        costs, rating = self.best.get('costs') or {}, self.best.get('rating') or {}
        rows = [
            (
                'Chosen architecture',
                format_arch(self.best['arch']),
                'choice index of each layer, stages separated by bars',
            )
        ]
        for key, label, note in (
            ('macs_m', 'MACs (FLOPs)', 'multiply-adds per image, '),
            ('params_m', 'Parameters', ''),
            ('board_flops_m', 'Board FLOPs', 'as the released search code counts'),
            ('published_flops_m', 'Published FLOPs', 'to compare with published tables'),
        ):
            if is_number(costs.get(key)):
                if key == 'macs_m':
                    note += _budget_verdict(costs[key], self._macs_budget())
                rows.append((label, f'{format_millions(costs[key])} M', note))
        if is_number(rating.get('top1_pct')):
            note = 'top-1 with the weights of the supernet'
            if rating.get('num_images'):
                low, high = _wilson_interval(rating['top1_pct'], rating['num_images'])
                note += f', {rating["num_images"]} images (95 % interval {low:.1f} to {high:.1f})'
            if rating.get('bn_policy'):
                note += f', BN statistics: {rating["bn_policy"]}'
            rows.append(('Search rating', format_pct(rating['top1_pct']), note))
        if self.retrain_curve:
            last, best = self.retrain_curve[-1][1], max(v for _, v in self.retrain_curve)
            note = f'top-1 on the validation set after the last epoch; best {format_pct(best)}'
            rows.append(('Retrained top-1', format_pct(last), note))
        if self.map_curve:
            note = 'box mAP, IoU 0.50 to 0.95'
            final = self.detector_lines[self.map_curve[-1][0]]
            for key, name in (('coco/bbox_mAP_50', 'mAP50'), ('coco/bbox_mAP_75', 'mAP75')):
                if is_number(final.get(key)):
                    note += f'; {name} {format_pct(100 * final[key])}'
            best = 100 * max(v for _, v in self.map_curve)
            note += f'; best epoch {format_pct(best)}'
            rows.append(('Detector mAP', format_pct(100 * self.map_curve[-1][1]), note))
        return rows

    @_as_written()
    def summary(self):
        """The result table as plain text for a terminal."""
        skip = {'Board FLOPs', 'Published FLOPs'}
        rows = [(label, value) for label, value, _ in self.results() if label not in skip]
        width = max(len(label) for label, _ in rows)
        return '\n'.join(f'  {label:<{width}}  {value}' for label, value in rows)

    # -- reading ------------------------------------------------------------------------------

    def _metric_curve(self, work_dir, key, option):
        """[(step, value)] of a validation metric, [] with a note where there is none."""
        what = {'--retrain': 'Retrained accuracy', '--detector': 'Detector mAP'}[option]
        if work_dir is None:
            self.notes.append(f'{what}: pass {option} DIR to add it.')
            return []
        _, lines = read_scalars(work_dir, self.notes)
        if option == '--detector':
            self.detector_lines = lines
        curve = _curve(lines, key)
        if not curve:
            self.notes.append(f'{what}: no {key} in the scalars.json files under {work_dir}.')
        return curve

    def _read_scenes(self):
        """Validation images with predictions and ground truth, [] with a note if not possible."""
        if self.detector_dir is None:
            return []
        boxes = self.detector_dir / 'val.bbox.json'
        configs = sorted(self.detector_dir.glob('*.py'))  # mmengine leaves the run's config here
        if not boxes.is_file() or len(configs) != 1:
            missing = boxes if configs else f'the config of the run in {self.detector_dir}'
            self.notes.append(f'Validation scenes: {missing} not found.')
            return []
        try:
            dataset = read_value(configs[0], 'test_dataloader')['dataset']
            root = Path(dataset['data_root'])
            ann_file, img_dir = root / dataset['ann_file'], root / dataset['data_prefix']['img']
        except (KeyError, OSError, TypeError, ValueError) as error:
            self.notes.append(f'Validation scenes: no COCO-style set in {configs[0]} ({error}).')
            return []
        if not ann_file.is_file() or not img_dir.is_dir():
            missing = img_dir if ann_file.is_file() else ann_file
            self.notes.append(f'Validation scenes: {missing}, named in {configs[0]}, not found.')
            return []
        try:
            annotations, predictions = read_detections(ann_file, boxes)
        except (OSError, ValueError) as error:
            self.notes.append(f'Validation scenes: {error.args[-1]}.')
            return []
        # A set without a root would be all that lies below the current folder.
        folders = (img_dir, root) if str(root) != '.' else (img_dir,)
        scenes = draw_scenes(annotations, predictions, img_dir, folders, self.notes)
        if not scenes:
            self.notes.append(f'Validation scenes: no image of {ann_file} found in {img_dir}.')
        return scenes

    def _note(self, text):
        if text not in self.notes:  # a page can be made twice
            self.notes.append(text)

    def _macs_budget(self):
        """(low, high) of the MACs budget in millions; None for an open or absent end."""
        limits = (self.best.get('budget') or self.board.get('budget') or {}).get('macs_m')
        return tuple(limits) if isinstance(limits, list) and len(limits) == 2 else (None, None)

    def _rated(self):
        """Rated paths with finite numbers; board entries where nothing else was rated."""
        points = self.board.get('rated') or [
            dict(entry, source='board') for entry in self.board.get('entries', [])
        ]
        return [p for p in points if is_number(p.get('macs_m')) and is_number(p.get('top1_pct'))]

    # -- words --------------------------------------------------------------------------------

    def _headline(self):
        costs, rating = self.best.get('costs') or {}, self.best.get('rating') or {}
        what, parts = 'A network', []
        if is_number(costs.get('macs_m')):
            what += f' of {format_millions(costs["macs_m"])} M multiply-adds'
        if is_number(rating.get('top1_pct')):
            parts.append(f'{format_pct(rating["top1_pct"])} top-1 in the search')
        if self.retrain_curve:
            parts.append(f'{format_pct(self.retrain_curve[-1][1])} retrained')
        return _unbroken(': '.join([what, ', '.join(parts)]) if parts else what)

    def _warnings(self):
        """What the search itself says about its answer."""
        return (self.best.get('choice') or {}).get('notes') or []

    def _story(self):
        """What was searched and found, in sentences; only what the files say."""
        best, costs = self.best, self.best.get('costs') or {}
        rating = (best.get('rating') or {}).get('top1_pct')
        space = best.get('space') if isinstance(best.get('space'), dict) else {}
        name = space.get('name') or space.get('type')
        sentences = []

        text = 'One supernet holding every candidate network'
        text += f' of the space “{name}”' if isinstance(name, str) else ''
        if is_number(space.get('num_archs')):
            text += f' ({format_count(space["num_archs"])} of them)'
        text += ' was trained'
        if best.get('input_size'):
            text += f' on {_size(best["input_size"])} images'
        text += f' of {best["num_classes"]} classes' if best.get('num_classes') else ''
        text += '; all candidates share its weights.'
        if self.board.get('entries'):
            count = len(self.board['entries'])
            text += f' While training, the search kept a board of the {count} most promising paths.'
        sentences.append(text)

        rated = self._rated()
        if rated and is_number(rating):
            by_source = {s: [p['top1_pct'] for p in rated if p.get('source', 'board') == s]
                         for s in _SOURCES}  # fmt: skip
            counts = [f'{len(v)} {_SOURCES[s]}' for s, v in by_source.items() if v]
            groups = ' and '.join(part for part in (', '.join(counts[:-1]), *counts[-1:]) if part)
            text = f'Afterwards {len(rated)} paths were rated ({groups}). '
            # By cross entropy, as the search compares them; version 0.1 wrote top-1 alone.
            own, scores = rating, [p['top1_pct'] for p in rated]
            if is_number(best['rating'].get('loss')) and all(
                is_number(p.get('loss')) for p in rated
            ):
                own, scores = -best['rating']['loss'], [-p['loss'] for p in rated]
            others = [s for p, s in zip(rated, scores) if p.get('arch') != best['arch']]
            better, level = sum(s > own for s in others), others.count(own)
            place = 'the best rating of all' if not better else f'place {better + 1} by rating'
            place += f' (shared with {level} more)' if level else ''
            text += f'The chosen one has {place}: {format_pct(rating)} top-1 without retraining'
            if by_source['random']:
                mean = float(np.mean(by_source['random']))
                text += f'; random paths average {format_pct(mean)}'
            sentences.append(text + '.')
            chosen_by = RULES.get((best.get('choice') or {}).get('rule'))
            if chosen_by:
                sentences.append(f'It was chosen by {chosen_by}.')
        elif is_number(rating):
            sentences.append(
                f'The chosen path reaches {format_pct(rating)} top-1 without retraining.'
            )
        if is_number(costs.get('macs_m')):
            text = f'One image costs it {format_millions(costs["macs_m"])} M multiply-adds'
            if is_number(costs.get('params_m')):
                text += f' and it has {format_millions(costs["params_m"])} M parameters'
            verdict = _budget_verdict(costs['macs_m'], self._macs_budget())
            sentences.append(f'{text}: {verdict}.')
        if self.retrain_curve:
            last = format_pct(self.retrain_curve[-1][1])
            sentences.append(f'Retrained as a network of its own it reaches {last} top-1.')
        if self.map_curve:
            last = format_pct(100 * self.map_curve[-1][1])
            sentences.append(f'As the backbone of a detector it reaches {last} box mAP.')
        return _unbroken(' '.join(sentences))

    def _provenance(self):
        """(label, value) pairs on where the numbers come from."""
        budget = self.best.get('budget') or self.board.get('budget') or {}
        ranges = [f'{_cost_name(k)} {_format_range(v)}' for k, v in sorted(budget.items())]
        versions = self.best.get('versions') or {}
        rows = [
            ('Config', self.best.get('config')),
            ('Seed', self.best.get('seed')),
            ('Budget', ', '.join(ranges) or 'none'),
            ('Board capacity', self.board.get('capacity')),
            ('cream_mm', self.best.get('cream_mm')),
            ('Other versions', ', '.join(f'{k} {v}' for k, v in sorted(versions.items()))),
            ('Search', self.search_dir),
            ('Retraining', self.retrain_dir),
            ('Detector', self.detector_dir),
        ]
        return [(label, str(value)) for label, value in rows if value not in (None, '')]

    def _commands(self, out):
        """Shell commands that make the runs and this page again, as far as they are known."""
        commands = []
        if self.best.get('config'):
            commands.append(['python', 'tools/train.py', self.best['config'],
                             '--work-dir', self.search_dir])  # fmt: skip
        report = ['python', 'tools/report.py', self.search_dir]
        for option, work_dir in (
            ('--retrain', self.retrain_dir),
            ('--detector', self.detector_dir),
        ):
            if work_dir is not None:
                # mmengine leaves the complete config in the work directory.
                dumped = sorted(work_dir.glob('*.py'))
                if len(dumped) == 1:
                    commands.append(['python', 'tools/train.py', dumped[0],
                                     '--work-dir', work_dir])  # fmt: skip
                report += [option, work_dir]
        if out is not None and Path(out) != self.search_dir / 'report.html':
            report += ['--out', out]
        return [shlex.join(map(str, command)) for command in [*commands, report]]

    # -- tables -------------------------------------------------------------------------------

    def _cost_table(self):
        """Rows per layer with their share of the MACs, and totals."""
        if not self.layers:
            return None
        total = sum(layer.get('macs') or 0 for layer in self.layers)
        params = sum(layer.get('params') or 0 for layer in self.layers)
        top = max(layer.get('macs') or 0 for layer in self.layers)
        fields = dict.fromkeys(
            ('name', 'op', 'kernel', 'expand', 'in_channels', 'out_channels', 'stride')
        )
        rows, previous = [], object()
        for layer in self.layers:
            macs, group = layer.get('macs') or 0, _group_key(layer)
            rows.append(
                dict(
                    fields | layer,
                    size=_size(layer.get('out_size')),
                    macs_m=macs / 1e6,
                    share=100 * macs / total if total else 0.0,
                    bar=100 * macs / top if top else 0.0,
                    params_k=(layer.get('params') or 0) / 1e3,
                    color=_kernel_color(layer),
                    starts_group=group != previous,
                )
            )
            previous = group
        stated = (self.best.get('costs') or {}).get('macs_m')
        differs = is_number(stated) and abs(total / 1e6 - stated) > 0.005 * stated
        return {
            'rows': rows,
            'macs_m': total / 1e6,
            'params_k': params / 1e3,
            'stated': stated if differs else None,
        }

    def _board_rows(self):
        """Board entries, best first, each with a strip of coloured cells for its layers."""
        choices = self._choice_meaning()
        rows = []
        entries = sorted(self.board.get('entries', []), key=lambda e: e.get('rank') or 0)
        cells = 0
        for entry in entries:
            cells += sum(map(len, entry.get('arch') or []))
            if len(rows) == MAX_ROWS or cells > MAX_CELLS:
                self._note(
                    f'Board: the {len(entries) - len(rows)} paths after the first {len(rows)}.'
                )
                break
            strip, x = [], 0
            for stage in (entry.get('arch') or [])[1:-1]:
                for choice in stage:
                    kernel, expand = choices.get(choice, (None, None))
                    color = _kernel_color({'kernel': kernel})
                    strip.append({'x': x, 'height': 4 * min(expand or 2, 6), 'color': color})
                    x += 9
                x += 5
            rows.append(
                {
                    'rank': entry.get('rank'),
                    'stages': [' '.join(map(str, stage)) for stage in entry.get('arch') or []],
                    'strip': strip,
                    'width': max(x, 1),
                    'train_top1_pct': entry.get('train_top1_pct'),
                    'macs_m': entry.get('macs_m'),
                    'params_m': entry.get('params_m'),
                    'top1_pct': entry.get('top1_pct'),
                    'chosen': entry.get('arch') == self.best['arch'],
                }
            )
        return rows

    def _choice_meaning(self):
        """{choice: (kernel, expand)} as the file has it; in older ones, from the chosen layers."""
        stated = (self.best.get('space') or {}).get('choices')
        if stated:
            nothing = (None, None)  # an identity
            return {i: c if isinstance(c, list) else nothing for i, c in enumerate(stated)}
        seen = {}
        for layer in self.layers:
            match = re.fullmatch(r'blocks\.(\d{1,4})\.(\d{1,4})', str(layer.get('name')))
            stage, index = map(int, match.groups()) if match else (len(self.best['arch']), 0)
            # The first and last stage are fixed; their 0 names no choice.
            inside = 0 < stage < len(self.best['arch']) - 1
            if inside and layer.get('expand') and index < len(self.best['arch'][stage]):
                seen[self.best['arch'][stage][index]] = (layer.get('kernel'), layer['expand'])
        agrees = all(DEFAULT_CHOICES.get(c) == meaning for c, meaning in seen.items())
        return DEFAULT_CHOICES if agrees else seen

    # -- figures ------------------------------------------------------------------------------

    def _scatter_figure(self):
        """Rating against MACs of every rated path, or None."""
        points = self._rated()
        if not points:
            return None
        if len(points) > MAX_POINTS:
            self._note(f'Scatter plot: drawn are {MAX_POINTS} of {len(points)} rated paths.')
            points = [points[i * len(points) // MAX_POINTS] for i in range(MAX_POINTS)]
        with _plot_style():
            fig = Figure(figsize=(9.2, 4.3), layout='constrained')
            ax = fig.add_subplot()
            for source, label, style in (
                (
                    'random',
                    'random path',
                    {'facecolors': 'white', 'edgecolors': '#8b97a3', 's': 36},
                ),
                ('board', 'on the board', {'color': BLUE, 's': 44, 'edgecolors': 'white'}),
                (
                    'effects',
                    'best training effects',
                    {'color': GREEN, 's': 44, 'edgecolors': 'white'},
                ),
            ):
                part = [p for p in points if p.get('source', 'board') == source]
                if part:
                    xs, ys = [p['macs_m'] for p in part], [p['top1_pct'] for p in part]
                    ax.scatter(xs, ys, label=f'{label} ({len(part)})', zorder=3, **style)

            x = (self.best.get('costs') or {}).get('macs_m')
            y = (self.best.get('rating') or {}).get('top1_pct')
            if is_number(x) and is_number(y):
                ax.scatter(x, y, marker='*', s=330, color=ORANGE, edgecolors='white', zorder=5,
                           label='chosen')  # fmt: skip
            ax.margins(x=0.08, y=0.12)

            left, right = ax.get_xlim()
            low, high = self._macs_budget()
            if low is not None or high is not None:
                # An end of the budget far outside the data would squeeze the points together.
                reach = 0.6 * (right - left)
                if low is not None and low > left - reach:
                    left = min(left, low - 0.04 * (right - left))
                if high is not None and high < right + reach:
                    right = max(right, high + 0.04 * (right - left))
                ax.axvspan(left if low is None else low, right if high is None else high,
                           color=GREEN, alpha=0.07, lw=0, zorder=0,
                           label=f'budget, {_format_range([low, high])} M')  # fmt: skip
                for edge in (low, high):
                    if edge is not None:
                        ax.axvline(edge, color=GREEN, lw=0.9, ls=(0, (4, 3)), alpha=0.7, zorder=1)
            ax.set_xlim(left, right)
            if is_number(x) and is_number(y):
                to_left = x > (left + right) / 2
                ax.annotate(f'chosen: {format_millions(x)} M, {format_pct(y)}', (x, y),
                            (-13 if to_left else 13, 9), textcoords='offset points',
                            ha='right' if to_left else 'left', color=ORANGE, weight='bold',
                            zorder=6)  # fmt: skip
            ax.set(xlabel='MACs per image (millions)', ylabel='search rating, top-1 (%)')
            fig.legend(loc='outside upper left', ncols=5, handletextpad=0.5, columnspacing=1.6)
            return _to_svg(fig, 'scatter', 'Rating against MACs of all rated paths')

    def _search_figure(self):
        """Losses, accuracies and learning rate of the search, as far as they were logged."""
        lines = self.train_lines
        losses = [
            key
            for key in sorted({k for line in lines.values() for k in line})
            if re.fullmatch(r'loss(_\w+)?', key) and _curve(lines, key)
        ][:12]
        accuracies = [k for k in ('train_top1', 'board_best', 'board_worst') if _curve(lines, k)]
        accuracies += _curve(self.val_lines, 'accuracy/top1')
        panels = [name for name, keys in (('loss', losses), ('top-1 (%)', accuracies)) if keys]
        panels += ['learning rate'] if _curve(lines, 'lr') else []
        if not panels:
            return None
        ratios = [0.65 if name == 'learning rate' else 1 for name in panels]
        with _plot_style():
            fig = Figure(figsize=(9.2 if len(panels) > 1 else 5.2, 2.9), layout='constrained')
            axes = fig.subplots(1, len(panels), width_ratios=ratios, squeeze=False)[0]
            for ax, name in zip(axes, panels, strict=True):
                if name == 'loss':
                    for key, color in zip(losses, cycle(LOSS_COLORS), strict=False):
                        _draw_smoothed(ax, _curve(lines, key), color, key)
                elif name == 'top-1 (%)':
                    self._draw_accuracies(ax)
                else:
                    ax.plot(*zip(*_curve(lines, 'lr'), strict=True), color=MUTED)
                    ax.set_ylim(bottom=0)
                ax.set_title(name)
                ax.set_xlabel('iteration')
                ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
                if name != 'learning rate':
                    ax.legend()
            return _to_svg(fig, 'search', 'Training curves of the search')

    def _draw_accuracies(self, ax):
        """Train top-1 of the sampled paths, the range of the board, validation where logged."""
        lines = self.train_lines
        if _curve(lines, 'train_top1'):
            _draw_smoothed(ax, _curve(lines, 'train_top1'), BLUE, 'sampled path, training')
        best, worst = dict(_curve(lines, 'board_best')), dict(_curve(lines, 'board_worst'))
        both = sorted(set(best) & set(worst))
        ax.fill_between(both, [worst[s] for s in both], [best[s] for s in both], step='post',
                        color=ORANGE, alpha=0.13, lw=0)  # fmt: skip
        for curve, label, style in ((best, 'board, best', '-'), (worst, 'board, worst', '--')):
            if curve:
                ax.step(list(curve), list(curve.values()), style, where='post', color=ORANGE,
                        lw=1.2, label=label)  # fmt: skip
        validation = _curve(self.val_lines, 'accuracy/top1')
        if validation:
            # Validation lines count epochs where training lines count iterations.
            ends = {line.get('epoch'): step for step, line in sorted(lines.items())}
            xs = [ends.get(step, step) for step, _ in validation]
            ax.plot(xs, [v for _, v in validation], 'o', color=NAVY, ms=4, label='validation')

    def _later_figure(self):
        """Validation curves of the retraining and of the detector, or None."""
        panels = []
        if self.retrain_curve:
            panels.append(('retrained network, top-1 (%)', [('top-1', self.retrain_curve, BLUE)]))
        if self.map_curve:
            curves = [('mAP', [(s, 100 * v) for s, v in self.map_curve], NAVY)]
            half = _curve(self.detector_lines, 'coco/bbox_mAP_50')
            if half:
                curves.insert(0, ('mAP50', [(s, 100 * v) for s, v in half], BLUE))
            panels.append(('detector, box mAP (%)', curves))
        if not panels:
            return None
        with _plot_style():
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
            return _to_svg(fig, 'later', 'Validation curves of retraining and detector')


def draw_arch(layers, input_size=None, *, width=960):
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
    groups = [list(part) for _, part in groupby(layers, key=_group_key)]
    gap, group_gap, margin, min_group = 5, 16, 74, 50

    def group_width(group, box):
        return max(len(group) * (box + gap) - gap, min_group)

    def row_width(row, box):
        return sum(group_width(group, box) + group_gap for group in row) - group_gap

    usable = width - 2 * margin
    box = next((b for b in range(46, 33, -1) if row_width(groups, b) <= usable), None)
    rows = [groups] if box else None
    if rows is None:
        box = 44
        while max(group_width(group, box) for group in groups) > usable and box > 8:
            box -= 2  # one very long stage
        num_rows = math.ceil(row_width(groups, box) / usable)
        limit = row_width(groups, box) / num_rows
        rows = _pack(groups, limit, lambda row: row_width(row, box))
        while limit < usable and len(rows) > num_rows:
            limit = min(limit + 10, usable)
            rows = _pack(groups, limit, lambda row: row_width(row, box))

    tallest = max(_box_height(layer) for layer in layers)
    row_height, top = tallest + 96, 26
    boxes, labels, lines = [], [], []
    for index, row in enumerate(rows):
        middle = top + index * row_height + tallest / 2
        offset = margin + (usable - row_width(row, box)) / 2 if len(rows) == 1 else margin
        x = offset
        for group in row:
            span = group_width(group, box)
            left = x + (span - (len(group) * (box + gap) - gap)) / 2
            for layer in group:
                boxes.append(_draw_box(layer, left, middle, box))
                left += box + gap
            last = group[-1]
            linear = last.get('op') == 'linear'
            labels.append(
                {
                    'x': x,
                    'width': span,
                    'y': middle + tallest / 2 + 12,
                    'title': _group_title(group),
                    'channels': f'{last.get("out_channels", "?")} {"classes" if linear else "ch"}',
                    'size': '' if linear else _size(last.get('out_size')),
                }
            )
            x += span + group_gap
        end = x - group_gap
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
        'input': (_size(input_size), f'{source} ch' if source else ''),
        'kernels': [
            (k, KERNEL_COLORS.get(k, OTHER_KERNEL_COLOR))
            for k in sorted({b['kernel'] for b in boxes if (b['kernel'] or 0) > 1})
        ],
        'plain': PLAIN_COLOR,
        'expands': sorted({b['expand'] for b in boxes if b['expand']}),
    }


def draw_scenes(annotations, predictions, img_dir, folders=None, notes=None):
    """Choose validation images evenly over the set, with boxes ready to draw.

    A prediction counts as right if a ground-truth box of its class overlaps it with an IoU of at
    least ``MATCH_IOU`` and no better prediction has taken that box.

    Args:
        annotations (dict): COCO annotation file.
        predictions (list[dict]): COCO results.
        img_dir (Path): Folder of the images.
        folders (Sequence[Path], optional): Of the set; a file that lies in none of them, when
            links are followed, is not shown, whatever the annotations name. Defaults to
            ``img_dir``.
        notes (list[str], optional): What was left out is added.

    Returns:
        list[dict]: Image as a data URI, its size, and boxes (x, y, w, h in pixels of the image).
    """
    notes = [] if notes is None else notes
    roots = [os.path.realpath(folder) for folder in folders or (img_dir,)]
    names = {c['id']: shorten(c['name'], 60) for c in annotations.get('categories', [])}
    listed = sorted(
        annotations.get('images', []), key=lambda image: (str(type(image['id'])), image['id'])
    )
    if len(listed) > MAX_IMAGES:
        listed = [listed[i * len(listed) // MAX_IMAGES] for i in range(MAX_IMAGES)]
    images, outside = [], []
    for image in listed:
        path = os.path.realpath(img_dir / image['file_name'])
        if not os.path.isfile(path):
            continue
        inside = any(path.startswith(os.path.join(root, '')) for root in roots)
        (images if inside else outside).append((image, path))
    if outside:
        notes.append(
            f'Validation scenes: {len(outside)} images that lie outside the set, the first '
            f'{shorten(outside[0][0]["file_name"])}.'
        )
    picks = np.linspace(0, len(images) - 1, min(NUM_SCENES, len(images))).round().astype(int)
    scenes = []
    for image, path in (images[i] for i in picks):
        truths = [a for a in annotations.get('annotations', []) if a['image_id'] == image['id']]
        found = [p for p in predictions if p['image_id'] == image['id'] and p['score'] >= MIN_SCORE]
        found = sorted(found, key=lambda p: -p['score'])[:MAX_FOUND]
        truths = truths[:MAX_TRUTHS]
        try:
            uri, width, height = _embed_image(path)  # the one that was looked at
        except (OSError, ValueError) as error:
            notes.append(f'Validation scenes: {error.args[-1]}.')
            continue
        # Text and strokes are a fixed share of the scene, whatever its resolution.
        unit = max(width, height) / 100
        free, boxes = list(truths), []
        for p in found:
            hits = [t for t in free if t['category_id'] == p['category_id']]
            hit = max(hits, key=lambda t: _iou(t['bbox'], p['bbox']), default=None)
            right = hit is not None and _iou(hit['bbox'], p['bbox']) >= MATCH_IOU
            if right:
                free.remove(hit)
            x, y, w, h = (round(v, 1) for v in p['bbox'])
            text = f'{names.get(p["category_id"], p["category_id"])} {p["score"]:.2f}'
            tag = 4.2 * unit * len(text) * 0.6 + 2 * unit
            boxes.append(
                {
                    'x': x,
                    'y': y,
                    'w': w,
                    'h': h,
                    'text': text,
                    'color': GREEN if right else RED,
                    'tag_w': round(tag, 1),
                    'tag_x': round(min(max(x, 0), max(width - tag, 0)), 1),
                    'tag_y': round(y - 5.4 * unit if y > 5.4 * unit else y, 1),
                }
            )
        scenes.append(
            {
                'name': shorten(image['file_name']),
                'uri': uri,
                'width': width,
                'height': height,
                'unit': round(unit, 3),
                'boxes': boxes,
                'missed': len(free),
                'truths': [[round(v, 1) for v in t['bbox']] for t in truths],
            }
        )
    return scenes


def format_arch(arch):
    """Write nested choices on one line: ``0 | 1 3 | 5 5 | 0``."""
    return ' | '.join(' '.join(map(str, stage)) for stage in arch)


def format_millions(value):
    """Write a cost in millions with about three or four digits."""
    if not is_number(value):
        return '–'
    return (
        f'{value:.1f}'
        if abs(value) >= 100
        else f'{value:.2f}'
        if abs(value) >= 1
        else (f'{value:.3f}')
    )


def format_count(value):
    """Write a large count in words: 60.5 million; beyond that as a power of ten."""
    if value >= 1e12:
        power = str(math.floor(math.log10(value)))
        return 'about 10' + power.translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))
    for size, name in ((1e9, 'billion'), (1e6, 'million')):
        if value >= size:
            return f'{value / size:.3g} {name}'
    return f'{value:,}'


def format_pct(value):
    """Write a percentage with one decimal."""
    return f'{value:.1f} %' if is_number(value) else '–'


def _unbroken(text):
    """Keep numbers with their units, and top-1 in one piece, at the end of a line."""
    return re.sub(r'(?<=\d) (?=[M%])', '\u00a0', text.replace('top-1', 'top\u20111'))


def _format_plain(value):
    """A value of a table cell, with a dash for a missing one."""
    return '–' if value is None or value == '' else str(value)


def _cost_name(key):
    return {'macs_m': 'MACs (M)', 'params_m': 'parameters (M)'}.get(key, str(key))


def _format_range(limits):
    """[5, 20] -> 5 to 20; an open end is None."""
    if not isinstance(limits, list) or len(limits) != 2:
        return str(limits)
    low, high = limits
    if low is None or high is None:
        return 'any' if low is high else f'up to {high:g}' if low is None else f'from {low:g}'
    return f'{low:g} to {high:g}'


def _budget_verdict(macs_m, limits):
    """Say whether a cost lies inside a (low, high) range that may be open."""
    low, high = limits
    if low is None and high is None:
        return 'no budget was set'
    inside = (low is None or macs_m >= low) and (high is None or macs_m <= high)
    return f'{"inside" if inside else "outside"} the budget of {_format_range([low, high])} M'


def _size(size):
    """[14, 14] -> 14×14; empty where unknown."""
    return '×'.join(map(str, size)) if isinstance(size, list) else str(size or '')


def _wilson_interval(pct, num_images):
    """95 % interval of a percentage measured on that many images; stays within 0 to 100."""
    p, z = pct / 100, 1.96
    scale = 1 + z**2 / num_images
    middle = (p + z**2 / (2 * num_images)) / scale
    half = z * math.sqrt(p * (1 - p) / num_images + (z / (2 * num_images)) ** 2) / scale
    return 100 * (middle - half), 100 * (middle + half)


def _curve(lines, key):
    """[(step, value)] of the finite values of a key."""
    return [(step, line[key]) for step, line in lines.items() if is_number(line.get(key))]


def _group_key(layer):
    stage = layer.get('stage')
    return ('stage', stage) if stage is not None else ('layer', layer.get('name'))


def _group_title(group):
    if group[0].get('stage') is not None:
        return f'Stage {group[0]["stage"]}'
    name = str(group[0].get('name', ''))
    return {'conv_head': 'Head'}.get(name, name.capitalize())


def _kernel_color(layer):
    kernel = layer.get('kernel')
    return PLAIN_COLOR if (kernel or 0) <= 1 else KERNEL_COLORS.get(kernel, OTHER_KERNEL_COLOR)


def _box_height(layer):
    """Taller for a larger expansion; plain layers are the lowest."""
    return 34 + 10 * min(layer.get('expand') or 0, 8)


def _draw_box(layer, left, middle, width):
    """One layer as a box on the middle line, with its words."""
    kernel, expand = layer.get('kernel'), layer.get('expand')
    color, height = _kernel_color(layer), _box_height(layer)
    macs = (layer.get('macs') or 0) / 1e6
    words = {'linear': 'fc', 'conv1x1': '1×1', 'conv3x3': '3×3', 'identity': '–', 'pool': 'pool'}
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
        'first': f'k{kernel}' if expand or layer.get('op') not in words else words[layer['op']],
        'second': f'×{expand}' if expand else 'DS' if layer.get('op') == 'DSConv' else '',
        'stride': layer.get('stride'),
        'tip': f'{layer.get("name")}: {layer.get("op")}, {layer.get("in_channels")} → '
        f'{layer.get("out_channels")} channels, {format_millions(macs)} M MACs',
    }


def _pack(groups, limit, row_width):
    """Fill rows in order, starting a new one where the next group would not fit."""
    rows = [[]]
    for group in groups:
        if rows[-1] and row_width([*rows[-1], group]) > limit:
            rows.append([])
        rows[-1].append(group)
    return rows


def _iou(a, b):
    """Overlap of two (x, y, w, h) boxes, 0 to 1."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def _embed_image(path, max_side=640):
    """(data URI, width, height); the size is the original one, which the boxes refer to.

    Raises:
        OSError, ValueError: If the file is no image that can be shown.
    """
    content = read_bytes(path, MAX_IMAGE_BYTES)
    try:
        with open_image(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f'{image.width} x {image.height} pixels')
            image = upright_rgb(image)  # as the detector saw it
    except UNREADABLE as error:
        raise ValueError(f'{path} cannot be shown ({shorten(str(error))})') from None
    width, height = image.size
    image.thumbnail((max_side, max_side))
    # Small drawings stay exact; photographs would be megabytes as PNG.
    kind = 'png' if max(width, height) <= 320 else 'jpeg'
    buffer = io.BytesIO()
    image.save(buffer, kind, **({'quality': 85} if kind == 'jpeg' else {'optimize': True}))
    data = base64.b64encode(buffer.getvalue()).decode('ascii')
    return f'data:image/{kind};base64,{data}', width, height


def _draw_smoothed(ax, curve, color, label):
    """Raw values faint, a centred moving mean on top."""
    steps, values = (np.array(part, float) for part in zip(*curve, strict=True))
    window = np.ones(max(1, len(values) // 20))
    # Dividing by the same sum over ones makes the mean right at both ends.
    mean = np.convolve(values, window, 'same') / np.convolve(np.ones_like(values), window, 'same')
    ax.plot(steps, values, color=color, alpha=0.22, lw=0.8)
    ax.plot(steps, mean[: len(steps)], color=color, label=label)


def _plot_style():
    """Quiet axes in the page's colours; real text, so that it can be searched and copied."""
    return matplotlib.rc_context(
        {
            'svg.fonttype': 'none',
            'font.family': 'DejaVu Sans',
            'font.size': 9,
            'text.color': INK,
            'axes.edgecolor': '#b8c1ca',
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


def _to_svg(fig, name, description):
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
