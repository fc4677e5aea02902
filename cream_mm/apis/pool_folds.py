"""The answer of a search by folds: what all supernets say of what each of them found."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from ..checkpoints.whole_file import latest_checkpoint
from ..engine.loops.search_loop import Choice
from ..evaluation import Rating
from ..files import read_json
from ..files.front_file import read_steps
from ..structures import Arch
from .open_search import open_search


def pool_folds(work_dir: str | Path, folds: int) -> Path:
    """Rate the answers of all folds on the held-out images of each, and choose among them.

    The supernet of a fold rates on images that it was not trained on; together they rate on all.
    Writes ``best_arch.json``, ``front.json`` and ``search.json``, as of any search; an export takes
    the weights of the first fold's supernet.

    Args:
        work_dir (str | Path): Holds ``fold_0``, ``fold_1``, ..., whose searches have ended.
        folds (int): How many.

    Returns:
        Path: ``best_arch.json``.

    Raises:
        OSError, ValueError: If a file of a fold is missing or damaged.
    """
    folder = Path(work_dir)
    runs = [folder / f'fold_{fold}' for fold in range(folds)]
    nested = [arch for run in runs for arch in _found(run)]
    pooled: dict[Arch, list[Rating]] = {}
    for fold, run in enumerate(runs):
        with open_search(_config(run), _checkpoint(run), str(run / 'pooled')) as loop:
            space = loop.budget.cost_model.space
            archs = list(dict.fromkeys(space.parse(arch) for arch in nested))
            evaluator = loop.build_evaluator(log_file=run / 'ratings.jsonl')
            loop.runner.logger.info(
                f'fold {fold} of {folds}: {len(archs)} answers of all folds on its '
                f'{evaluator.num_images} held-out images'
            )
            for arch, rating in zip(archs, evaluator.rate_all(archs, lambda *_: None)):
                pooled.setdefault(arch, []).append(rating)
    ratings = {arch: pool(found) for arch, found in pooled.items()}
    with open_search(_config(runs[0]), _checkpoint(runs[0]), str(folder)) as loop:
        within = [arch for arch in ratings if loop.budget.is_feasible(arch)]
        within = [arch for arch in within if math.isfinite(ratings[arch].score)]
        if not within:
            raise ValueError(f'no answer of the folds below {folder} has a rating')
        best = loop.best_rated(within, ratings)
        total = ratings[best].num_images
        about = SimpleNamespace(num_images=total, description=f'{folds} folds')
        note = (
            f'Chosen among the {len(within)} answers of {folds} folds by {total} held-out images: '
            'each was rated by every fold, on images that its supernet was not trained on'
        )
        loop.write_front({arch: ratings[arch] for arch in within}, [], [], best)
        loop.write(about, ratings, dict.fromkeys(ratings, 'fold'), Choice(best, 'folds', [note]))
    return folder / 'best_arch.json'


def pool(ratings: Sequence[Rating]) -> Rating:
    """What a path is worth on the images of all folds together.

    Cross entropy and top-1 are those of all images; a metric is the mean of the folds', weighed by
    their images, and its resampled values are.
    """
    counts = [rating.num_images for rating in ratings]
    total = sum(counts)

    def mean(values: Sequence[float]) -> float:
        return sum(value * count for value, count in zip(values, counts)) / total

    first = ratings[0]
    if first.metric is not None:
        draws = tuple(map(mean, zip(*(rating.draws for rating in ratings))))
        value = mean([rating.value for rating in ratings])
        return Rating(None, total, None, metric=first.metric, value=value, draws=draws)
    losses = tuple(loss for rating in ratings for loss in rating.losses)
    top1 = mean([rating.top1_pct for rating in ratings])
    return Rating(top1, total, mean([rating.loss for rating in ratings]), losses)


def _found(run: Path) -> list[list]:
    """The answer of a fold, and the steps of its front, as paths of the search."""
    content = read_json(run / 'best_arch.json', finite=False)
    rows = [content if isinstance(content, dict) else {}, *read_steps(run / 'front.json')[1]]
    paths = [(row.get('slice_of') or row).get('arch') for row in rows]
    if not isinstance(paths[0], list):
        raise ValueError(f'{run / "best_arch.json"} has no "arch" list; remove {run}')
    return paths


def _config(run: Path) -> str:
    configs = sorted(run.glob('*.py'))
    if len(configs) != 1:
        raise ValueError(f'{run} holds {len(configs)} configs, not the one of its run')
    return str(configs[0])


def _checkpoint(run: Path) -> str:
    path = latest_checkpoint(run)
    if path is None:
        raise FileNotFoundError(f'no checkpoint in {run}')
    return str(path)
