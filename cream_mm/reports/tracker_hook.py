"""Shows a search in TensorBoard, Weights & Biases or MLflow while it runs, and when it ends."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from ..evaluation.rank_correlation import correlation
from ..files import shorten
from ..registry import HOOKS
from .arch_picture import arch_picture
from .figures import draw_blocks, draw_front, draw_scatter, to_rgb
from .front import Front
from .metric import Metric
from .rated_blocks import Blocks
from .run_files import read_answer, read_board, read_front, read_search

MIN_PAIRS = 5  # of a rank correlation


@HOOKS.register_module()
class TrackerHook(Hook):
    """What a search tells, for the trackers of its run; ``tracker`` of a config brings it.

    Losses, learning rate and validations, with the scores of a board where there is one, come from
    ``LoggerHook``. This hook adds, counted by rated paths (``rating/...``): each rating, the best
    so far, the costs, and Kendall's tau of the ratings with what the training losses had
    predicted, where the search predicts. At the end the front, from the cheapest path to the
    costliest (``front/...``), and pictures: the front, rating against cost of all rated paths, the
    answer, and the rated blocks of a block-wise search.

    All of it is read off the files that any search writes. None of it can end a run: what cannot be
    drawn is a warning.
    """

    priority = 'NORMAL'  # before LoggerHook closes the backends

    def __init__(self) -> None:
        self._stage: str | None = None
        self._count = 0
        self._best = -math.inf
        self._pairs: list[tuple[float, float]] = []  # predicted, rated

    @master_only
    def before_run(self, runner: Runner) -> None:
        self._began = time.time()
        for tracker in _trackers(runner):
            if how := getattr(tracker, 'how_to_look', None):
                runner.logger.info(f'Tracked by {type(tracker).__name__}; to look: {how}')

    @master_only
    def after_rating(
        self,
        runner: Runner,
        rating: Any,
        costs: dict[str, float],
        predicted: float | None = None,
        stage: str = '',
    ) -> None:
        """After each path that a loop rates.

        Args:
            rating (Rating): Of the path.
            costs (dict[str, float]): As in files, ``macs_m`` and so on.
            predicted (float, optional): What was expected of its score.
            stage (str): Ratings of other stages of the run are of other weights: the best and the
                correlation begin anew.
        """
        if stage != self._stage:
            self._stage, self._best, self._pairs = stage, -math.inf, []
        self._count += 1
        name, value, sign = _shown(rating)
        if math.isfinite(rating.score):
            self._best = max(self._best, rating.score)
        told = {f'rating/{name}': value, 'rating/best': sign * self._best}
        told |= {f'rating/{key}': costs[key] for key in ('macs_m', 'latency_ms') if key in costs}
        if rating.metric is None:
            told['rating/top1_pct'] = rating.top1_pct
        if predicted is not None and math.isfinite(rating.score):
            self._pairs.append((predicted, rating.score))
            if len(self._pairs) >= MIN_PAIRS:
                tau = correlation(*np.array(self._pairs).T)['kendall']
                told['rating/tau_of_training_losses'] = tau
        finite = {key: value for key, value in told.items() if math.isfinite(value)}
        for tracker in _trackers(runner):
            tracker.add_scalars(finite, step=self._count)

    @master_only
    def after_run(self, runner: Runner) -> None:
        trackers, work_dir = _trackers(runner), Path(runner.work_dir)
        if not trackers or not self._is_new(work_dir / 'best_arch.json'):
            return
        try:
            for step, scalars in enumerate(_front_scalars(work_dir)):
                for tracker in trackers:
                    tracker.add_scalars(scalars, step=step)
            for name, picture in _pictures(work_dir):
                for tracker in trackers:
                    tracker.add_image(name, picture, step=self._count)
        # The answer is on the disk, and commands to go on with are still to be told.
        except Exception as error:
            text = shorten(f'{type(error).__name__}: {error}', 300)
            runner.logger.warning(f'The end of the search is not in the tracker: {text}')

    def _is_new(self, path: Path) -> bool:
        """Whether this run wrote it; file systems round times to up to two seconds."""
        return path.is_file() and path.stat().st_mtime >= self._began - 2


def _trackers(runner: Runner) -> list:
    """Backends beside mmengine's local one, whose lines a report reads as validations."""
    backends = getattr(runner.visualizer, '_vis_backends', {}).values()
    return [one for one in backends if not isinstance(one, LocalVisBackend)]


def _shown(rating: Any) -> tuple[str, float, int]:
    """What compares paths: its name, its value, and the sign that makes one of a score."""
    if rating.metric is None:
        return 'cross_entropy', rating.loss, -1
    return rating.metric.replace('/', '_'), rating.value, 1


def _front_scalars(work_dir: Path) -> Iterator[dict[str, float]]:
    """Cost and rating of each path of the front, cheapest first."""
    path = work_dir / 'front.json'
    if not path.is_file():
        return
    front = Front(read_front(path), [])
    rated = [p for p in front.steps if p.cost is not None and p.rating is not None]
    for one in sorted(rated, key=lambda p: p.cost):
        yield {f'front/{front.cost}': one.cost, 'front/rating': one.rating}


def _pictures(work_dir: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and pictures, (H, W, 3), RGB, of what the files of a search show."""
    best = read_answer(work_dir / 'best_arch.json', [])
    if (work_dir / 'front.json').is_file():
        picture = draw_front(Front(read_front(work_dir / 'front.json'), []), to_rgb)
        if picture is not None:
            yield 'front', picture
    rated = []
    for name, read in (('search.json', read_search), ('board.json', read_board)):
        if not rated and (work_dir / name).is_file():
            content = read(work_dir / name)
            rated = content['rated'] if isinstance(content, dict) else content
    metric = Metric.of(best['rating'])
    cost = 'latency_ms' if 'latency_ms' in best['budget'] else 'macs_m'
    points = [p for p in rated if p.get(cost) is not None and metric.shown(p) is not None]
    limits = tuple(best['budget'].get(cost, (None, None)))
    chosen = best['costs'].get(cost), metric.shown(best['rating'])
    if (picture := draw_scatter(points, chosen, limits, metric, cost, to_rgb)) is not None:
        yield 'rating_over_cost', picture
    if (picture := arch_picture(best['layers'], best.get('input_size'))) is not None:
        yield 'answer', picture
    if (work_dir / 'block_ratings.json').is_file():
        picture = draw_blocks(Blocks(work_dir / 'block_ratings.json', best, []), to_rgb)
        if picture is not None:
            yield 'blocks', picture
