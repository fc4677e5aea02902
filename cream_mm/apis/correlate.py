"""How well ratings, training effects and what needs no training rank networks of a table."""

import math
import os.path as osp
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.registry import DATASETS, MODELS, init_default_scope

from ..config import load_config
from ..evaluation import (
    AccuracyTable,
    ArchEvaluator,
    RankReport,
    Rating,
    TableRow,
    naswot_images,
    naswot_scores,
)
from ..files import PATH_LOG, write_json
from ..files.block_ratings import is_of_blocks, read_block_ratings, sum_of_ratings
from ..files.progress import Progress
from ..search import MainEffects, combined, training_effects_until
from ..spaces import MBConvSpace
from ..structures.randomness import named_rng
from .open_search import open_search
from .probe_maps import without_weights

LABELS = dict(
    combined='main effects of ratings and of training losses, standard deviations',
    main_effects='main effects of - cross entropy in the supernet, nats',
    training='main effects of - training loss, nats',
    loss='- cross entropy in the supernet, nats',
    top1='top-1 in the supernet, %',
)
"""What a score of a supernet's is, for the axis of the plot."""


def correlate(
    config: str,
    table: str,
    *,
    checkpoint: str | None = None,
    ratings: str | None = None,
    column: str | None = None,
    ratings_column: str | None = None,
    num: int | None = None,
    extremes: bool = True,
    score: str | None = None,
    path_log: str | None = None,
    num_images: int | None = None,
    bn_policy: str | None = None,
    naswot: bool = True,
    seed: int = 0,
    budgets: Sequence[float] = (),
    above: Sequence[float] = (),
    without: Sequence[str] = (),
    resamples: int = 1000,
    out: str | None = None,
    cfg_options: dict | None = None,
) -> RankReport:
    """Score networks of a table, by a supernet or from a file, and correlate; prints what it does.

    Writes ``rank_correlation.json`` and ``scatter.png``.

    Args:
        config (str): Config of the search.
        table (str): Accuracies of networks trained alone, see :class:`AccuracyTable`.
        checkpoint (str, optional): The supernet that rates them; or
        ratings (str, optional): a file of scores, read as the table is; or ``block_ratings.json``,
            whose sums, lower being better, are taken with the other sign.
        column, ratings_column (str, optional): Which column of the table is the accuracy, and of
            the file of scores the score, where they have several.
        num (int, optional): So many random networks, and with ``extremes`` the cheapest and the
            costliest. None takes the whole table.
        score (str, optional): A key of :data:`LABELS`, what ``"score"`` is. Defaults to
            ``training`` where there is a log of it, else ``main_effects``.
        path_log (str, optional): Defaults to the file beside the checkpoint.
        num_images, bn_policy: Of the ratings; default: the config's.
        naswot (bool): Also score each network untrained, where the images are here.
        seed (int): Of the sample and of the bootstrap.
        budgets, above, without: See :class:`RankReport`.
        resamples (int): Of the bootstrap.
        out (str, optional): Folder. Defaults to one beside the checkpoint or the table.
        cfg_options (dict, optional): Overrides of the config.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one cannot be read, or is of something else.
    """
    out = out or osp.join(osp.dirname(checkpoint or table), 'rank_correlation')
    about: dict[str, Any] = dict(config=config, table=table, column=column, seed=seed)
    if ratings:
        model, images = _build_model(config, cfg_options)
        whole = _read(table, model, column)
        canonical = model.backbone.space.canonical
        if is_of_blocks(ratings):
            tables, _ = read_block_ratings(ratings, model.backbone.space)
            scored = {
                canonical(row.arch): -sum_of_ratings(model.backbone.space, tables, row.arch)
                for row in whole.rows
            }
        else:
            given = _read(ratings, model, ratings_column)
            scored = {canonical(row.arch): row.accuracy for row in given.rows}
        rows = [row for row in whole.rows if canonical(row.arch) in scored]
        rows = sample(rows, num, seed, extremes)
        given = [scored[canonical(row.arch)] for row in rows]
        scorings = dict(given=given, main_effects=smoothed(rows, given))
        main, label = 'given', 'score'
        about.update(ratings=ratings, ratings_column=ratings_column)
    else:
        given = dict(num_images=num_images, bn_policy=bn_policy)
        given = {k: v for k, v in given.items() if v is not None}
        with open_search(config, checkpoint, out, cfg_options) as loop:
            model, images = loop.model, loop.bn_dataset
            whole = _read(table, model, column)
            rows = sample(whole.rows, num, seed, extremes)
            evaluator = loop.build_evaluator(**given)
            found = _rate(evaluator, rows)
        scores = [rating.score for rating in found]
        scorings = dict(main_effects=smoothed(rows, scores), loss=scores)
        if found[0].top1_pct is not None:
            scorings['top1'] = [rating.top1_pct for rating in found]
        log = _find_path_log(checkpoint, path_log, needed=score in ('combined', 'training'))
        if log is not None:
            training = training_effects_until(checkpoint, model.backbone.space, log)
            scorings['training'] = training.predict([row.arch for row in rows]).tolist()
            both = combined(scorings['main_effects'], scorings['training'])
            scorings['combined'] = both.tolist()
            about.update(training_loo_error=training.loo_error)
        main = score or ('training' if log else 'main_effects')
        about.update(
            checkpoint=checkpoint,
            path_log=log,
            bn_policy=evaluator.description,
            num_images=found[0].num_images,
        )
        label = LABELS[main]
    about.update(score=main)
    scores = scorings.pop(main)
    untrained = _rate_untrained(model, images, rows, seed) if naswot else None
    report = RankReport(
        scores, rows, whole.rows, model.backbone.space, budgets=budgets, above=above,
        without=without, others=scorings, naswot=untrained, num_resamples=resamples, seed=seed,
    )  # fmt: skip
    points = [
        dict(arch=row.arch.to_list(), score=scores[i], accuracy=row.accuracy, macs_m=row.macs_m,
             params_m=row.params_m, **{name: values[i] for name, values in scorings.items()},
             **({} if untrained is None else dict(naswot=untrained[i])))
        for i, row in enumerate(rows)
    ]  # fmt: skip
    content = dict(report.to_dict(), **about, notes=whole.notes, points=points)
    write_json(osp.join(out, 'rank_correlation.json'), content)
    report.plot(osp.join(out, 'scatter.png'), score_label=label)
    print(f'\n{report.text()}\n\nwritten: {osp.join(out, "rank_correlation.json")}, scatter.png')
    return report


def smoothed(rows: Sequence[TableRow], scores: Sequence[float]) -> list[float]:
    """See :class:`MainEffects`; unchanged where one score makes no fit."""
    if len(rows) < 2:
        return list(scores)
    archs = [row.arch for row in rows]
    return MainEffects(archs, scores).predict(archs).tolist()


def sample(
    rows: Sequence[TableRow], num: int | None, seed: int, extremes: bool
) -> Sequence[TableRow]:
    """``num`` random rows, with the cheapest and the costliest, cheapest first."""
    if num is None or num >= len(rows):
        return rows
    rng = named_rng('rank_correlation', seed, 0)
    chosen = set(rng.permutation(len(rows))[:num].tolist())
    if extremes:
        macs = [row.macs_m for row in rows]
        chosen |= {macs.index(min(macs)), macs.index(max(macs))}
    return [rows[i] for i in sorted(chosen)]


def _find_path_log(checkpoint: str, path_log: str | None, needed: bool) -> str | None:
    """The file to read training losses from; None if there is none and none is asked for."""
    path = path_log or osp.join(osp.dirname(checkpoint), PATH_LOG)
    return path if path_log or needed or osp.isfile(path) else None


def _build_model(config: str, options: dict | None) -> tuple[Any, dict | None]:
    """The supernet without weights, for its space and costs; its training images, if any."""
    images = None
    try:
        cfg = load_config(config, options)  # the data decides on the classes
        images = (cfg.get('test_cfg') or {}).get('bn_dataset')
    except FileNotFoundError:
        cfg = load_config(config, options, check_data=False)
        print(f'note: the data is not here; costs are for num_classes={cfg.get("num_classes")}')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(without_weights(cfg.model.to_dict()))
    if not getattr(model.backbone, 'shares_weights', False):
        raise ValueError(f'{config} is not the config of a search')
    return model, images


def _read(path: str, model: Any, column: str | None) -> AccuracyTable:
    table = AccuracyTable(path, model.backbone.budget.cost_model, column)
    for note in table.notes:
        print(f'note: {path}: {note}')
    return table


def _rate(evaluator: ArchEvaluator, rows: Sequence[TableRow]) -> list[Rating]:
    archs = [row.arch for row in rows]
    known = sum(evaluator.log.get(arch) is not None for arch in archs)
    print(f'rating {len(archs)} networks; {known} were rated before')
    return evaluator.rate_all(archs, _printed(len(rows), every=10))


def _rate_untrained(
    model: Any, images: dict | None, rows: Sequence[TableRow], seed: int
) -> list[float] | None:
    """NASWOT on training images under the test pipeline; None if there are no images."""
    if images is None:
        print('note: no NASWOT beside the scores: the images are not here')
        return None
    print(f'NASWOT of {len(rows)} networks; --no-naswot leaves it out')
    dataset = DATASETS.build(images)
    batch = naswot_images(dataset, model.data_preprocessor, seed=seed)
    archs, supernet = [row.arch for row in rows], model.backbone
    build = None if isinstance(supernet.space, MBConvSpace) else supernet.export
    progress = _printed(len(rows), every=100)
    scores = naswot_scores(archs, supernet.space, batch, seed, progress, build)
    worst = min(filter(math.isfinite, scores), default=0.0)
    return [max(score, worst) for score in scores]  # no -inf, of which there are no correlations


def _printed(total: int, every: int) -> Callable[..., None]:
    """Prints how far a list is and how long the rest takes."""
    progress = Progress(total)

    def tell(*_: Any) -> None:
        place = progress.step()
        if progress.done % every == 0 or progress.done == total:
            print(f'{place} {progress.eta}', flush=True)

    return tell
