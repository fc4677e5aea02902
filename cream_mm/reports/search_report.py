"""One self-contained HTML page about a search: what was looked for, found and measured.

Reads only the JSON files a run leaves behind and the text of its config, which is not run, and
never a checkpoint, so a report can be made on any machine. The same files give the same bytes:
nothing here depends on the clock.
"""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jinja2
import numpy as np

from ..command_words import PROGRAM, command_name, words_as_typed
from ..costs.latency import machine_words
from ..files import shorten
from ..files.arch_file import RULES
from ..files.commands import read_commands
from ..files.errors_file import ERRORS_FILE
from ..spaces import CellGraph, Space
from .above_answer import above_answer
from .arch_diagram import draw_arch
from .cell_diagram import draw_cell
from .class_errors import read_class_errors
from .detection_scenes import MIN_SCORE, read_scenes
from .detector_parts import read_parts
from .figures import (
    Curve,
    Limits,
    curve_of,
    draw_blocks,
    draw_front,
    draw_later,
    draw_scatter,
    draw_search,
)
from .formats import (
    budget_verdict,
    cost_name,
    format_arch,
    format_cost,
    format_pct,
    format_plain,
    format_range,
    format_size,
    unbroken,
    wilson_interval,
)
from .front import Front
from .metric import ERRORS, Metric
from .no_search import instead_of_search
from .rated_blocks import Blocks
from .run_files import (
    read_answer,
    read_board,
    read_front,
    read_network,
    read_scalars,
    read_search,
)
from .style import PAGE_COLORS
from .tables import board_rows, cost_table
from .trained_network import other_network, other_set

# Why a path was rated.
_SOURCES = dict(
    effects='whose choices lowered the training loss most',
    board='from the board',
    combined='to learn what each choice is worth',
    given='asked for by the strategy',
    archive='of the pools that were trained',
    random='drawn at random',
    reference='the cheapest and the costliest',
)
_COSTS = (
    ('macs_m', 'MACs (FLOPs)', 'multiply-adds per image, '),
    ('params_m', 'Parameters', ''),
    ('board_flops_m', 'Board FLOPs', 'as the released search code counts'),
    ('published_flops_m', 'Published FLOPs', 'to compare with published tables'),
)
MAX_POINTS = 5000  # of the scatter plot
_TRAINING = ('train', 'search', 'retrain', 'detect')  # commands that train


@contextmanager
def _as_written() -> Iterator[None]:
    """Name the files where one does not hold what a search writes."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, jinja2.UndefinedError) as error:
        raise ValueError(
            'best_arch.json, board.json, block_ratings.json, front.json or scalars.json does not '
            f'hold what a run writes: {shorten(repr(error), 200)}'
        ) from error


class SearchReport:
    """The files of one search, and what a reader wants to know from them.

    Optional inputs that are missing leave out their section and add a line to ``notes``.

    Args:
        search_dir (str | Path): Work directory of the search, with ``best_arch.json`` and usually
            ``board.json`` and ``<timestamp>/vis_data/scalars.json``; ``front.json`` and
            ``block_ratings.json`` are shown where there are such.
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
    def __init__(
        self,
        search_dir: str | Path,
        *,
        retrain_dir: str | Path | None = None,
        detector_dir: str | Path | None = None,
    ):
        self.search_dir = Path(search_dir)
        self.retrain_dir = Path(retrain_dir) if retrain_dir is not None else None
        self.detector_dir = Path(detector_dir) if detector_dir is not None else None
        self.notes: list[str] = []

        path = self.search_dir / 'best_arch.json'
        rated_blocks = self.search_dir / 'block_ratings.json'
        if not path.is_file() and os.path.lexists(rated_blocks):
            raise FileNotFoundError(
                f'{path} not found: the blocks that are rated here make no network yet. When other '
                'runs have rated the rest, name their work_dirs: "python tools/test.py '
                f'{self.search_dir} --work-dir {self.search_dir} --cfg-options '
                'test_cfg.tables=[DIR,DIR]"'
            )
        if not path.is_file():
            raise FileNotFoundError(
                instead_of_search(self.search_dir)
                or f'{path} not found. A search writes it when it ends: run "python tools/train.py '
                f'SEARCH_CONFIG --work-dir {self.search_dir}" first, or pass the directory of a '
                'finished search.'
            )
        self.best = read_answer(path, self.notes)
        self.arch, self.space = read_network(path) or (None, None)
        words = self.space.choice_words if self.space else ()
        if not self.best['layers'] and not self.notes:
            self.notes.append('Drawing and cost table: best_arch.json lists no layers.')

        self.board = dict(entries=[], rated=[])
        path = self.search_dir / 'board.json'
        every = self.search_dir / 'search.json'
        if os.path.lexists(path):
            self.board = read_board(path)
        elif os.path.lexists(every):  # a search without a board
            self.board['rated'] = read_search(every)
        elif not os.path.lexists(rated_blocks):
            self.notes.append(f'Scatter plot: there is neither {path} nor search.json beside it.')
        self.blocks = None
        if os.path.lexists(rated_blocks):
            self.blocks = Blocks(rated_blocks, self.best, self.notes)
        self.metric = Metric.of(self.best['rating'])

        path, self.front, steps = self.search_dir / 'front.json', None, []
        if os.path.lexists(path):
            content = read_front(path)
            self.front, steps = Front(content, self.notes, words), content['steps']

        self.train_lines, self.val_lines = read_scalars(self.search_dir, self.notes)
        if not self.train_lines:
            self.notes.append(f'Search curves: no vis_data/scalars.json under {self.search_dir}.')
        self.retrain_curve = self._metric_curve(
            self._validation(self.retrain_dir), 'accuracy/top1', '--retrain'
        )
        self.other = None  # in words, what was retrained, if it is not the answer
        if self.retrain_dir:
            self.other = other_network(self.retrain_dir, self.best, steps)
        self.errors = read_class_errors(self.retrain_dir) if self.retrain_dir else None
        if self.retrain_dir and self.errors is None:
            self.notes.append(
                f'Errors by class: no {ERRORS_FILE} in {self.retrain_dir}. Validations of a '
                'classifier with one label an image write it.'
            )
        self.detector_lines = self._validation(self.detector_dir)
        self.map_curve = self._metric_curve(self.detector_lines, 'coco/bbox_mAP', '--detector')
        self.other_backbone = self.other_set = None  # in words
        if self.detector_dir:
            self.other_backbone = other_network(self.detector_dir, self.best, steps)
            self.other_set = other_set(self.detector_dir, self.best)
        self.scenes = read_scenes(self.detector_dir, self.notes) if self.detector_dir else []
        self.parts = read_parts(self.detector_dir) if self.detector_dir else None

        self.rated = [
            p for p in self.board['rated']
            if p.get('macs_m') is not None and self.metric.shown(p) is not None
        ]  # fmt: skip
        if len(self.rated) > MAX_POINTS:
            self.notes.append(
                f'Scatter plot: drawn are {MAX_POINTS} of {len(self.rated)} rated paths.'
            )
        choices = self.best['space'].get('choices', [])
        self.board_rows = board_rows(
            self.board['entries'],
            choices,
            self.best['arch'],
            self.notes,
            words=words,
            fixed_ends=self.space.fixed_ends if self.space else True,
        )

    def save(self, out: str | Path | None = None) -> Path:
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
    def to_html(self, out: str | Path | None = None) -> str:
        """Render the page as one string with no link to anything outside it."""
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        env.filters.update(m=format_cost, pct=format_pct, num=format_plain)
        best, front = self.best, self.front
        count = min(len(self.rated), MAX_POINTS)
        points = [self.rated[i * len(self.rated) // count] for i in range(count)]
        cost = self._plain_cost()
        chosen = best['costs'].get(cost), self.metric.shown(best['rating'])
        half_curve = curve_of(self.detector_lines, 'coco/bbox_mAP_50')
        return env.get_template('search_report.html.j2').render(
            headline=self._headline(),
            story=self._story(),
            warnings=best['choice'].get('notes', []),
            name=self.search_dir.absolute().name,
            retrained='the other network' if self.other else 'the chosen network',
            results=self.results(),
            scatter=draw_scatter(points, chosen, self._budget(cost), self.metric, cost),
            num_rated=len(self.rated),
            front=front,
            front_figure=draw_front(front) if front else None,
            blocks=self.blocks,
            blocks_figure=draw_blocks(self.blocks) if self.blocks else None,
            search_curves=draw_search(self.train_lines, self.val_lines),
            later_curves=draw_later(self.retrain_curve, self.map_curve, half_curve),
            diagram=draw_arch(best['layers'], best.get('input_size')),
            cells=[draw_cell(graph) for graph in self._cell_graphs()],
            cost=cost_table(best['layers'], best['costs'].get('macs_m')),
            latency_ms=best['costs'].get('latency_ms'),
            board=self.board_rows,
            scenes=self.scenes,
            parts=self.parts,
            errors=self.errors,
            min_score=MIN_SCORE,
            provenance=self._provenance(),
            commands=self._commands(out),
            notes=self.notes,
            colors=PAGE_COLORS,
        )

    def results(self) -> list[tuple[str, str, str]]:
        """The result table as (label, value, note) strings, only for what exists."""
        costs, rating = self.best['costs'], self.best['rating']
        rows = [('Chosen architecture', *self._architecture())]
        for key, label, note in _COSTS:
            plain = costs.get(key) == costs.get('macs_m')
            if key == 'board_flops_m' and (self.blocks or plain):
                continue  # its released search code has another count, or there is none
            if key == 'published_flops_m' and plain:
                continue
            if key.endswith('_flops_m') and self.best.get('slice_of'):
                continue  # no table and no released code knows slices
            if costs.get(key) is not None:
                if key == 'macs_m' and self._bounds('macs_m'):
                    note += budget_verdict(costs[key], self._budget('macs_m'))
                rows.append((label, f'{format_cost(costs[key])} M', note.removesuffix(', ')))
        rows += self._slice_rows()
        if (time := costs.get('latency_ms')) is not None:
            note = self._measured()
            if 'latency_ms' in self.best['budget']:
                note += f', {budget_verdict(time, self._budget("latency_ms"), "ms")}'
            rows.append(('Latency', f'{format_cost(time)} ms', note))
        if (shown := self.metric.shown(rating)) is not None:
            note = f'{self.metric.name} with the weights of the supernet'
            if self.metric.is_error:
                note = f'{ERRORS[self.metric.key]}, lower is better'
            if self.blocks:
                note += f'; the sum over {self.blocks.num_blocks} blocks'
            if rating.get('num_images') and rating.get('top1_pct') is None:
                note += f', {rating["num_images"]} images'
            elif rating.get('num_images'):
                low, high = wilson_interval(rating['top1_pct'], rating['num_images'])
                note += f', {rating["num_images"]} images (95 % interval {low:.1f} to {high:.1f})'
            if rating.get('bn_policy'):
                note += f', {_of_batch_norm(rating["bn_policy"])}'
            is_error = self.metric.is_error
            value = self.metric.told(shown) if is_error else self.metric.format(shown)
            rows.append(('Search rating', value, note))
        if self.retrain_curve:
            note = 'top-1 on the validation set after the last epoch; best '
            note += format_pct(_best(self.retrain_curve))
            what = 'Retrained top-1'
            if self.other:
                what, note = 'Another one retrained', f'not the chosen one: {self.other}; {note}'
            rows.append((what, format_pct(self.retrain_curve[-1][1]), note))
        if self.map_curve:
            note = 'box mAP, IoU 0.50 to 0.95'
            final = self.detector_lines[self.map_curve[-1][0]]
            for key, name in (('coco/bbox_mAP_50', 'mAP50'), ('coco/bbox_mAP_75', 'mAP75')):
                if key in final:
                    note += f'; {name} {format_pct(100 * final[key])}'
            best = 100 * max(v for _, v in self.map_curve)
            note += f'; best epoch {format_pct(best)}'
            what = 'Detector mAP'
            if self.other_backbone:
                what = 'mAP of another backbone'
                note = f'not the chosen one: {self.other_backbone}; {note}'
            if self.other_set:
                note += f'; {self.other_set}'
            rows.append((what, format_pct(100 * self.map_curve[-1][1]), note))
        return rows

    def _slice_rows(self) -> list[tuple[str, str, str]]:
        """What share of the full network a slice of it costs, and which images it takes."""
        sliced, rows = self.best.get('slice_of') or {}, []
        full, own = ((sliced.get('full_costs') or {}), self.best['costs'])
        if full.get('macs_m') and own.get('macs_m') is not None:
            share = format_pct(100 * own['macs_m'] / full['macs_m'])
            note = f'{format_cost(full["macs_m"])} M multiply-adds'
            rows.append(('Share of the full network', share, note))
        sizes = (sliced.get('space') or {}).get('input_sizes')
        if sizes and self.best.get('input_size'):
            note = f'pixels; the search chose among {", ".join(map(str, sizes))}'
            rows.append(('Images', format_size(self.best['input_size']), note))
        return rows

    def _architecture(self) -> tuple[str, str]:
        """The answer as text, and how that is to be read."""
        if self.space is None:
            return format_arch(self.best['arch']), Space.written_as
        if self.space.fixed_ends:  # in the words of the tables below
            return format_arch(self.best['arch']), self.space.written_as
        return self.space.format(self.arch), self.space.written_as

    def _cell_graphs(self) -> tuple[CellGraph, ...]:
        return self.space.cell_graphs(self.arch) if self.space else ()

    @_as_written()
    def summary(self) -> str:
        """The result table as plain text for a terminal."""
        skip = {'Board FLOPs', 'Published FLOPs'}
        rows = [
            (label, self._retrained() if 'etrained' in label else value)
            for label, value, _ in self.results()
            if label not in skip
        ]
        width = max(len(label) for label, _ in rows)
        return '\n'.join(f'  {label:<{width}}  {value}' for label, value in rows)

    def _retrained(self, what: str = '') -> str:
        """Top-1 after the last epoch, and after the best one where that is another."""
        last, best = format_pct(self.retrain_curve[-1][1]), format_pct(_best(self.retrain_curve))
        return f'{last}{what}' + (f' (best epoch {best})' if last != best else '')

    # -- reading ------------------------------------------------------------------------------

    def _validation(self, work_dir: Path | None) -> dict[int, dict]:
        return read_scalars(work_dir, self.notes)[1] if work_dir is not None else {}

    def _metric_curve(self, lines: dict[int, dict], key: str, option: str) -> Curve:
        """A metric's values, none with a note where there is none."""
        what, work_dir = {
            '--retrain': ('Retrained accuracy', self.retrain_dir),
            '--detector': ('Detector mAP', self.detector_dir),
        }[option]
        curve = curve_of(lines, key)
        if work_dir is None:
            self.notes.append(f'{what}: pass {option} DIR to add it.')
        elif not curve:
            self.notes.append(f'{what}: no {key} in the scalars.json files under {work_dir}.')
        return curve

    def _budget(self, cost: str) -> Limits:
        """Ends of the budget of a cost; None for an open or absent one."""
        return tuple(self.best['budget'].get(cost, (None, None)))

    def _is_inside(self, path: dict) -> bool:
        """Whether a rated path is known to meet the budget, or not known not to."""
        for cost, (low, high) in self.best['budget'].items():
            value = path.get(cost)
            if value is None:
                continue
            if (low is not None and value < low) or (high is not None and value > high):
                return False
        return True

    def _bounds(self, cost: str) -> bool:
        """Whether the report tells how a cost meets its budget: not where another one has it."""
        return cost in self.best['budget'] or not self.best['budget']

    def _plain_cost(self) -> str:
        """What ratings are drawn against: time where it was bounded and is known of all paths."""
        is_timed = all(path.get('latency_ms') is not None for path in self.rated)
        return 'latency_ms' if 'latency_ms' in self.best['budget'] and is_timed else 'macs_m'

    def _measured(self) -> str:
        """Where the times are from."""
        latency = self.best['latency']
        told = f'batch {latency["batch"]}, ' if latency.get('batch') else ''
        machine = latency.get('machine')
        return f'{told}by a table of {machine_words(machine)}' if machine else f'{told}by a table'

    # -- words --------------------------------------------------------------------------------

    def _headline(self) -> str:
        macs_m, shown = self.best['costs'].get('macs_m'), self.metric.shown(self.best['rating'])
        what, parts = 'A network', []
        if macs_m is not None:
            what += f' of {format_cost(macs_m)} M multiply-adds'
        if (time := self.best['costs'].get('latency_ms')) is not None:
            what += f'{" of" if macs_m is None else " and"} {format_cost(time)} ms'
        if shown is not None:
            parts.append(f'{self.metric.told(shown)} in the search')
        if self.retrain_curve and not self.other:
            parts.append(f'{format_pct(self.retrain_curve[-1][1])} retrained')
        return unbroken(': '.join([what, ', '.join(parts)]) if parts else what)

    def _story(self) -> str:
        """What was searched and found, in sentences; only what the files say."""
        best, costs = self.best, self.best['costs']
        shown = self.metric.shown(best['rating'])
        sliced = best.get('slice_of') or {}
        sizes = (sliced.get('space') or {}).get('input_sizes')
        text = 'One supernet holding every candidate network'
        if sliced:
            text = 'A full network'
        if best['space'].get('name'):
            text += f' of the space “{best["space"]["name"]}”'
        text += ' was trained'
        if sliced:
            text += ', and then its slices (fewer channels, smaller kernels, fewer layers),'
        if sizes:
            text += f' on images of {", ".join(map(str, sizes))} pixels'
        elif best.get('input_size'):
            text += f' on {format_size(best["input_size"])} images'
        if self.blocks:
            text += (
                f', in {self.blocks.num_blocks} blocks: each learned to give a teacher’s feature '
                'maps, apart from the others.'
            )
        else:
            text += f' of {best["num_classes"]} classes' if best.get('num_classes') else ''
            text += f'; all {"slices" if sliced else "candidates"} share its weights.'
        if self.board['entries']:
            count = len(self.board['entries'])
            text += f' While training, the search kept a board of the {count} most promising paths.'
        sentences = [text]
        if self.blocks:
            sentences += self._joining(shown)
        elif self.rated and shown is not None:
            sentences += self._comparison(shown)
        elif shown is not None:
            told = self.metric.told(shown)
            sentences.append(f'The chosen path reaches {told} without retraining.')
        if costs.get('macs_m') is not None:
            text = f'One image costs it {format_cost(costs["macs_m"])} M multiply-adds'
            if costs.get('params_m') is not None:
                text += f' and it has {format_cost(costs["params_m"])} M parameters'
            if sizes and best.get('input_size'):
                text += f', at {format_size(best["input_size"])} pixels'
            if self._bounds('macs_m'):
                text += f': {budget_verdict(costs["macs_m"], self._budget("macs_m"))}'
            sentences.append(f'{text}.')
        if (time := costs.get('latency_ms')) is not None:
            text = f'It takes {format_cost(time)} ms, {self._measured()}'
            if 'latency_ms' in best['budget']:
                text += f': {budget_verdict(time, self._budget("latency_ms"), "ms")}'
            sentences.append(f'{text}.')
        if self.retrain_curve:
            told = self._retrained(' top-1')
            how = 'Retrained as a network of its own'
            if not best.get('weights_travel', True):
                how = 'Trained as a network of its own, from scratch,'
            if self.other:
                sentences.append(f'What was retrained is {self.other}: it reaches {told}.')
            else:
                sentences.append(f'{how} it reaches {told}.')
        elif not best.get('weights_travel', True):
            sentences.append(
                'What the supernet learned is of no use outside it: the network is to be trained '
                'from scratch.'
            )
        if self.map_curve:
            last = format_pct(100 * self.map_curve[-1][1])
            if self.other_backbone:
                sentences.append(
                    f'The backbone of the detector is {self.other_backbone}: that reaches {last} '
                    'box mAP.'
                )
            else:
                sentences.append(f'As the backbone of a detector it reaches {last} box mAP.')
        return unbroken(' '.join(sentences))

    def _comparison(self, shown: float) -> list[str]:
        """Where the answer stands among the rated paths, and what chose it."""
        best, rated = self.best, self.rated
        by_source = {
            s: [self.metric.shown(p) for p in rated if p.get('source') == s] for s in _SOURCES
        }
        counts = [f'{len(v)} {_SOURCES[s]}' for s, v in by_source.items() if v]
        groups = ' and '.join(part for part in (', '.join(counts[:-1]), *counts[-1:]) if part)
        text = f'Afterwards {len(rated)} paths were rated ({groups}). '
        # By cross entropy, as the search compares them; by what is shown where one is not finite.
        own, scores, by = shown, [self.metric.shown(p) for p in rated], 'rating'
        losses = [best['rating'].get('loss'), *(p.get('loss') for p in rated)]
        if None not in losses:
            own, *scores = (-loss for loss in losses)
            by = 'cross entropy' if self.metric.key is None else by
        arch = (best.get('slice_of') or best).get('arch')  # as the search's paths are written
        others = [
            s
            for p, s in zip(rated, scores, strict=True)
            if p.get('arch') != arch and self._is_inside(p)
        ]
        better, level = sum(s > own for s in others), others.count(own)
        best_of_all = 'the best rating of all' if by == 'rating' else f'the lowest {by} of all'
        if any(not self._is_inside(path) for path in rated):
            best_of_all += ' within the budget'
        place = best_of_all if not better else f'place {better + 1} by {by}'
        place += f' (shared with {level} more)' if level else ''
        told = self.metric.told(shown)
        text += f'The chosen one has {place}: {told} without retraining'
        if by_source['random']:
            mean = float(np.mean(by_source['random']))
            text += f'; random paths average {self.metric.format(mean)}'
            if by_source['archive']:  # the training drew from its pools alone
                text += ', but were in no pool, so that the supernet hardly knows them'
        chosen_by = RULES.get(best['choice'].get('rule'))
        chosen = [f'It was chosen by {chosen_by}.'] if chosen_by else []
        return [f'{text}.', *chosen, *above_answer(best, rated, self.metric)]

    def _joining(self, shown: float | None) -> list[str]:
        """What the blocks were rated by, and where the answer stands among networks of them."""
        blocks, front = self.blocks, self.front
        text = f'Each of their {blocks.num_candidates:,} candidates was rated by itself'
        text += f' on {blocks.num_images} images' if blocks.num_images else ''
        if blocks.error:
            text += f', by its {blocks.metric}: {blocks.error}'
        sentences = [text + '.']
        if shown is not None:
            chosen_by = RULES.get(self.best['choice'].get('rule'))
            text = f'It was chosen by {chosen_by}: ' if chosen_by else 'The network has '
            text += self.metric.format(shown)
            drawn = [p.rating for p in front.references if p.kind == 'random'] if front else []
            drawn = [rating for rating in drawn if rating is not None]
            if drawn:
                mean = self.metric.format(float(np.mean(drawn)))
                text += f', where {len(drawn)} random networks average {mean}'
            better = '; lower is better' if self.metric.is_error else ''
            sentences.append(f'{text}{better}.')
            sentences += above_answer(self.best, self._random_of_the_front(), self.metric)
        return sentences

    def _random_of_the_front(self) -> list[dict]:
        """Random networks of ``front.json`` as rated paths of a search are written."""
        paths = [p for p in self.front.references if p.kind == 'random'] if self.front else []
        return [
            dict(p.costs, arch=p.arch, source='random', metric=self.metric.key, value=p.rating)
            for p in paths
            if p.rating is not None
        ]

    def _provenance(self) -> list[tuple[str, str]]:
        """(label, value) pairs on where the numbers come from."""
        budget = sorted(self.best['budget'].items())
        rows = [
            ('Config', self.best.get('config')),
            ('Seed', self.best.get('seed')),
            ('Budget', ', '.join(f'{cost_name(k)} {format_range(v)}' for k, v in budget) or 'none'),
            ('Board capacity', self.board.get('capacity')),
            ('cream_mm', self.best.get('cream_mm')),
            ('Search', self.search_dir),
            ('Retraining', self.retrain_dir),
            ('Detector', self.detector_dir),
        ]
        return [(label, str(value)) for label, value in rows if value not in (None, '')]

    def _commands(self, out: str | Path | None) -> list[str]:
        """Shell commands that make the runs and this page again, as far as they are known.

        Those that the tools noted in the work directories, with the options that were given; of
        a run that noted none, one with the complete config that it left there.
        """
        commands = []
        report = ['python', 'tools/report.py', self.search_dir]
        for option, work_dir in (
            (None, self.search_dir),
            ('--retrain', self.retrain_dir),
            ('--detector', self.detector_dir),
        ):
            if work_dir is None:
                continue
            noted = [c for c in read_commands(work_dir) if not _is_of(c, 'report')]
            dumped = sorted(work_dir.glob('*.py'))
            if any(_is_of(command, 'train') for command in noted):
                commands += noted
            elif len(dumped) == 1:
                commands.append(['python', 'tools/train.py', dumped[0], '--work-dir', work_dir])
                commands += noted
            elif option is None and self.best.get('config'):
                commands.append(['python', 'tools/train.py', self.best['config'],
                                 '--work-dir', work_dir])  # fmt: skip
            report += [option, work_dir] if option else []
        if out is not None and Path(out) != self.search_dir / 'report.html':
            report += ['--out', out]
        return list(
            dict.fromkeys(shlex.join(words_as_typed([*map(str, c)])) for c in [*commands, report])
        )


def _best(curve: Curve) -> float:
    return max(value for _, value in curve)


def _is_of(command: list[str], tool: str) -> bool:
    """Whether a command runs a tool, under either of its names."""
    if command[:1] == [PROGRAM]:
        names = (
            ('train', 'search', 'retrain', 'detect') if tool == 'train' else (command_name(tool),)
        )
        return command[1] in names
    return any(word.endswith(f'tools/{tool}.py') for word in command[:3])


def _of_batch_norm(policy: str) -> str:
    """Whose statistics the batch norms had when a path was rated, in words.

    >>> _of_batch_norm('recalibrate(512 images)')
    'batch norm statistics measured anew on 512 images'
    """
    images = re.fullmatch(r'recalibrate\((.+)\)', policy)
    of = f'measured anew on {images[1]}' if images else 'of each batch itself'
    return f'batch norm statistics {of}'
