"""What the choice of images makes of a metric: its values on resampled sets of images."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from ..structures.randomness import named_rng

NUM_DRAWS = 200
_AREAS = dict(s=1, m=2, l=3)  # of pycocotools' four ranges of box sizes


def image_weights(num_images: int, seed: int, num_draws: int = NUM_DRAWS) -> np.ndarray:
    """How often each draw with replacement has each image, (draws, images) integers.

    A function of its arguments alone, so that the same draw means the same images for every path.
    """
    rng = named_rng('bootstrap', seed, num_images)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=num_draws)


def metric_draws(
    metric: BaseMetric, results: Sequence, name: str, seed: int, num_images: int
) -> np.ndarray:
    """A metric's value on each draw of images, (draws,).

    Args:
        metric (BaseMetric): Of mmengine; its ``compute_metrics`` is asked for each draw, but for
            boxes of mmdet's ``CocoMetric``, which are matched to the annotations once.
        results (Sequence): What it has kept of each image, one entry an image.
        name (str): Of the metric, without its prefix, e.g. ``'top1'`` or ``'bbox_mAP_50'``.
        seed (int): Of the draws.
        num_images (int): Images that there were.

    Returns:
        ndarray: Empty where it cannot be told: of masks, or without an entry for each image.
    """
    if len(results) != num_images:
        return np.zeros(0)
    weights = image_weights(len(results), seed)
    if hasattr(metric, '_coco_api'):
        return coco_draws(metric, results, name, weights)
    values = []
    for row in weights:
        resampled = [result for result, times in zip(results, row) for _ in range(times)]
        with quiet():
            values.append(float(metric.compute_metrics(resampled)[name]))
    return np.array(values)


def coco_draws(metric: BaseMetric, results: Sequence, name: str, weights: np.ndarray) -> np.ndarray:
    """:func:`metric_draws` of a ``CocoMetric`` after its ``compute_metrics``, which fills it.

    An image that a draw has twice counts twice, as if it stood in the set twice.

    Args:
        weights (ndarray): (draws, images), see :func:`image_weights`.
    """
    from pycocotools.cocoeval import COCOeval  # here: a search of classifiers needs none

    if not name.startswith('bbox_mAP'):
        return np.zeros(0)
    ids = getattr(metric, 'label_ids', None) or metric.cat_ids  # of each label
    boxes = [box for _, prediction in results for box in _boxes(prediction, ids)]
    if not boxes:
        return np.zeros(len(weights))
    with quiet():
        found = metric._coco_api.loadRes(boxes)
        judge = COCOeval(metric._coco_api, found, 'bbox')
        judge.params.catIds = list(metric.cat_ids)
        judge.params.imgIds = [prediction['img_id'] for _, prediction in results]
        judge.params.maxDets = list(metric.proposal_nums)
        judge.params.iouThrs = np.asarray(metric.iou_thrs)
        judge.evaluate()
    part = name.removeprefix('bbox_mAP').removeprefix('_')
    area = _AREAS.get(part, 0)
    thresholds = np.arange(len(judge.params.iouThrs))
    if part.isdigit():
        thresholds = np.flatnonzero(np.isclose(judge.params.iouThrs, int(part) / 100))
    # pycocotools sorts the images; the columns of the weights follow.
    column = {image: i for i, image in enumerate(pred['img_id'] for _, pred in results)}
    columns = [column[image] for image in judge._paramsEval.imgIds]
    number, areas = len(columns), len(judge.params.areaRng)
    per_class = []
    for k in range(len(judge.params.catIds)):
        start = (k * areas + area) * number
        entries = judge.evalImgs[start : start + number]
        per_class.append(_class_draws(entries, weights[:, columns], thresholds, judge.params))
    values = np.array(per_class)  # (classes, draws); NaN where a draw has no such box
    known = np.isfinite(values)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return sums / np.maximum(known.sum(axis=0), 1)


def _class_draws(entries: list, weights: np.ndarray, thresholds: np.ndarray, params) -> np.ndarray:
    """Average precision of one class on each draw, (draws,)."""
    present = [i for i, entry in enumerate(entries) if entry is not None]
    if not present:
        return np.full(len(weights), np.nan)
    most = params.maxDets[-1]
    kept = [entries[i] for i in present]
    boxes = np.array([np.count_nonzero(np.asarray(e['gtIgnore']) == 0) for e in kept])
    totals = weights[:, present] @ boxes  # (draws,)
    scores = np.concatenate([np.asarray(e['dtScores'][:most], dtype=float) for e in kept])
    order = np.argsort(-scores, kind='mergesort')
    image = np.concatenate([np.full(len(e['dtScores'][:most]), i) for i, e in zip(present, kept)])
    image = image[order].astype(int)
    matches = np.concatenate([e['dtMatches'][thresholds, :most] for e in kept], axis=1)[:, order]
    ignored = np.concatenate([e['dtIgnore'][thresholds, :most] for e in kept], axis=1)[:, order]
    right = (matches != 0) & (ignored == 0)  # (T, boxes found)
    wrong = (matches == 0) & (ignored == 0)
    values = np.full(len(weights), np.nan)
    for draw, (row, total) in enumerate(zip(weights, totals)):
        if total == 0:
            continue
        times = row[image]
        hits, misses = np.cumsum(right * times, axis=1), np.cumsum(wrong * times, axis=1)
        precision = hits / np.maximum(hits + misses, np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = hits / total
        sums = 0.0
        for t in range(len(thresholds)):
            places = np.searchsorted(recall[t], params.recThrs, side='left')
            sums += precision[t, places[places < precision.shape[1]]].sum()
        values[draw] = sums / (len(thresholds) * len(params.recThrs))
    return values


def _boxes(prediction: dict, cat_ids: Sequence[int]) -> Iterator[dict]:
    triples = zip(prediction['bboxes'], prediction['scores'], prediction['labels'])
    for (x1, y1, x2, y2), score, label in triples:
        yield dict(
            image_id=prediction['img_id'],
            bbox=[float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            score=float(score),
            category_id=cat_ids[int(label)],
        )


@contextlib.contextmanager
def quiet(above: int = logging.ERROR) -> Iterator[None]:
    """Leave out what pycocotools prints, and what metrics log below a level: a rating has one line
    of its own."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(above)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
