"""``front.json`` as its figure and its table show it: the best path for each of several budgets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..spaces import make_divisible
from .formats import (
    COST_NAMES,
    DASH,
    cost_name,
    format_cost,
    format_difference,
    format_pct,
    format_size,
    format_stages,
)
from .metric import metric_name

MAX_PATHS = 200  # of the front, and references; a page shows no more


class FrontPath(NamedTuple):
    """A path of the front, the answer, or a network that they are compared with."""

    kind: str  # 'front', 'answer', 'random' or 'named'
    name: str
    arch: list | None
    costs: dict
    cost: float | None  # on the axis; None where not known
    rating: float | None  # on the axis; None where not rated
    widths: tuple[int, ...] = ()  # channels of its stages, where networks differ in them
    size: tuple[int, ...] = ()  # of its images, (height, width), where networks differ in it
    share: float | None = None  # of the cost of the full network that it is a slice of
    loss: float | None = None  # what compared it, where the axis shows another number


class Front:
    """The paths of a front and the two axes they stand on.

    Classifiers are shown by top-1, whatever compared them; others by the metric that did.

    Args:
        content (dict): See :func:`cream_mm.reports.run_files.read_front`.
        notes (list[str]): What is left out is added.
        words (Sequence[str]): See :attr:`Space.choice_words`.

    Attributes:
        is_error (bool): Whether lower ratings are better.
        is_by_loss (bool): Whether cross entropy compared the paths that are shown by top-1.

    Units:
        rating: percent for top-1 and COCO's metrics, else that of the metric.
    """

    def __init__(self, content: dict, notes: list[str], words: Sequence[str] = ()):
        self.words = words
        self.cost, self.by = content['cost'], content.get('by')
        self.cost_label = cost_name(self.cost)
        _, self.cost_unit = COST_NAMES.get(self.cost, ('', ''))
        self.limits = content['budget'].get(self.cost) or (None, None)
        steps, references = content['steps'], content['references']
        rows = (content['answer'], *steps, *references)
        ratings = [row['rating'] for row in rows if row.get('rating')]
        self._choose_axis(content, ratings)
        sizes = {rating.get('num_images') for rating in ratings}
        self.num_images = sizes.pop() if len(sizes) == 1 else None

        for what, rows in (('paths', steps), ('references', references)):
            if len(rows) > MAX_PATHS:
                notes.append(f'Other budgets: the {len(rows) - MAX_PATHS} last {what}.')
        self.answer = self._path('answer', 'answer', content['answer'])
        self.steps = [self._path('front', self._bound(row), row) for row in steps[:MAX_PATHS]]
        self.references = [
            self._path('random' if row.get('name') == 'random' else 'named', row.get('name'), row)
            for row in references[:MAX_PATHS]
        ]

    def _choose_axis(self, content: dict, ratings: list[dict]) -> None:
        score, is_coco = content['score'], content['score'].startswith('coco/')
        is_top1 = score == 'cross_entropy' and all('top1_pct' in rating for rating in ratings)
        self.is_by_loss = is_top1
        self._key, self._scale = 'top1_pct' if is_top1 else 'score', 100 if is_coco else 1
        self._is_percent = is_top1 or is_coco
        self.rating_label = 'top-1' if is_top1 else metric_name(score)
        self.rating_label += ' (%)' if self._is_percent else ''
        self.is_error = not is_top1 and content.get('higher_is_better') is False
        if self.is_error:
            self.rating_label += ', lower is better'

    def _path(self, kind: str, name: str | None, row: dict) -> FrontPath:
        costs, rated = row.get('costs') or {}, row.get('rating') or {}
        rating, loss = rated.get(self._key), rated.get('score') if self.is_by_loss else None
        rating = None if rating is None else self._scale * rating
        space = row.get('space') or {}
        factor = space.get('width_mult') or 1
        widths = tuple(make_divisible(width * factor) for width in space.get('widths') or ())
        cost = costs.get(self.cost)
        full = ((row.get('slice_of') or {}).get('full_costs') or {}).get(self.cost)
        share = cost / full if full and cost is not None else None
        size = tuple(row.get('input_size') or ())
        return FrontPath(
            kind, name or '', row.get('arch'), costs, cost, rating, widths, size, share, loss
        )

    @property
    def sizes_differ(self) -> bool:
        """Whether the paths take images of several sizes."""
        return len({path.size for path in (self.answer, *self.steps) if path.size}) > 1

    def _bound(self, row: dict) -> str:
        if row.get('bound') is None:
            return ''
        bound = float(format(row['bound'], '.4g'))
        return f'up to {bound:g} {self.cost_unit}'.rstrip()

    def format_rating(self, value: float | None) -> str:
        """A rating with its unit, for a table or beside a point."""
        if value is None or self._is_percent:
            return format_pct(value)
        return f'{value:.4g}'

    def _format_rating_difference(self, value: float | None) -> str:
        """How far a rating lies from the answer's: points of a share, else relative to it."""
        own = self.answer.rating
        if not self._is_percent or value is None or own is None:
            return format_difference(value, own)
        return f'{value - own:+.1f} points'.replace('-', '\u2212')

    def table(self) -> dict:
        """Rows in order of cost, the answer once, random paths as their mean.

        Returns:
            dict: ``costs``, headings of the columns of costs, ``rows``, all as text,
            ``has_widths``, whether the stages of the rows tell their widths, and ``has_sizes``,
            ``has_shares``, ``has_losses``, whether rows tell the size of their images, what share
            of the full network's cost they have, and the cross entropy that compared them.
        """
        keys = [self.cost, *(key for key in COST_NAMES if key != self.cost)]
        paths = [self.answer, *self.steps, *self.references]
        keys = [key for key in keys if any(path.costs.get(key) is not None for path in paths)]
        rows = [path for path in paths[1:] if path.kind != 'random' and not self._is_answer(path)]
        rows += [self.answer, *self._mean_of_random(keys)]
        rows.sort(key=lambda path: (path.cost is None, path.cost or 0))
        differ = len({path.widths for path in paths if path.arch}) > 1
        return dict(
            has_widths=differ,
            has_sizes=self.sizes_differ,
            has_shares=any(path.share is not None for path in paths),
            has_losses=any(path.loss is not None for path in paths),
            costs=[cost_name(key).replace('parameters', 'params') for key in keys],
            rows=[
                dict(
                    kind=path.kind,
                    name=path.name,
                    stages=_stages(path, differ, self.words),
                    size=format_size(list(path.size)) or DASH,
                    share=format_pct(None if path.share is None else 100 * path.share),
                    costs=[format_cost(path.costs.get(key)) for key in keys],
                    cost_difference=format_difference(path.cost, self.answer.cost),
                    loss=DASH if path.loss is None else f'{path.loss:.4f}',
                    rating=self.format_rating(path.rating),
                    rating_difference=self._format_rating_difference(path.rating),
                )
                for path in rows
            ],
        )

    def _is_answer(self, path: FrontPath) -> bool:
        own = (self.answer.arch, self.answer.widths, self.answer.size)
        same = (path.arch, path.widths, path.size) == own
        return path.kind == 'front' and same

    def _mean_of_random(self, keys: list[str]) -> list[FrontPath]:
        paths = [path for path in self.references if path.kind == 'random']
        if not paths:
            return []
        columns = {key: [path.costs.get(key) for path in paths] for key in keys}
        costs = {key: _mean(values) for key, values in columns.items()}
        name, rating = f'random, mean of {len(paths)}', _mean([path.rating for path in paths])
        loss = _mean([path.loss for path in paths])
        return [FrontPath('random', name, None, costs, costs.get(self.cost), rating, loss=loss)]


def _stages(path: FrontPath, with_widths: bool, words: Sequence[str]) -> list[str]:
    """The choices of each stage, and if it is asked for its width: ``1 1 (24)``."""
    stages = format_stages(path.arch or [], words)
    if with_widths and len(path.widths) == len(stages) - 2:
        inner = [f'{text} ({width})' for text, width in zip(stages[1:-1], path.widths)]
        stages = [stages[0], *inner, stages[-1]]
    return stages


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
