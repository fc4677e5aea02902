"""Why a search's answer is rated below paths that were drawn at random, in sentences."""

import math
from collections.abc import Mapping, Sequence

from ..structures.difference import ERRORS, Difference
from .metric import Metric

_DREW = 'Random paths are there to compare with and are no candidates'
# How an answer was chosen: why a path that is rated higher is not the answer.
_WHY = dict(
    effects='{drew}: the answer is chosen by the losses of all training steps, and ratings, of '
    '{images}, only rule out what they show to be worse than the best finalist',
    combined='{drew}: the answer is the best-rated of the paths that the strategy asked for',
    board='{drew}: the answer is the best-rated path of the board, which kept paths by their '
    'accuracy in training',
    archive='{drew}: the answer is the best-rated path of the pools',
    given='{drew}: the answer is the best of those that the strategy asked for',
    folds='The answer is the best of all folds together, and these ratings are of one supernet',
    blocks='{drew}: the answer is the exact best of the sums of its blocks’ ratings within the '
    'budget',
)  # fmt: skip


def above_answer(best: Mapping, rated: Sequence[Mapping], metric: Metric) -> list[str]:
    """Say that random paths are rated above the answer, why it is the answer, and what chance does.

    Args:
        best (Mapping): ``best_arch.json``: ``arch``, ``rating``, ``choice`` and, if known,
            ``costs`` and ``slice_of``.
        rated (Sequence[Mapping]): Rated paths of ``board.json`` or ``search.json``; ``vs_answer``
            is by how much one is rated worse than the answer, and the standard error of that.
        metric (Metric): What is shown of the ratings.

    Returns:
        list[str]: Sentences; empty where no random path stands above the answer.
    """
    shown = metric.shown(best.get('rating', {}))
    arch = (best.get('slice_of') or best).get('arch')  # as the search's paths are written
    paths = [path for path in rated if path.get('source') == 'random' and path.get('arch') != arch]
    if shown is None or not paths:
        return []
    sign = -1 if metric.is_error else 1
    seen = [(path, metric.shown(path)) for path in paths]
    higher = [path for path, value in seen if value is not None and sign * (value - shown) > 0]
    better, by = _better(best['rating'], paths, higher, metric)
    if not higher and not better:
        return []
    if not better:
        are = 'random path has' if len(higher) == 1 else 'random paths have'
        return [
            f'{len(higher)} {are} a higher {metric.name} and a larger cross entropy, by which '
            'paths are compared: of few images it is the finer measure.'
        ]
    text = _count(better, len(paths), best, by)
    rule = (best.get('choice') or {}).get('rule')
    images = best['rating'].get('num_images')
    images = f'{images} images' if images else 'some images'
    if rule in _WHY:
        text += f' {_WHY[rule].format(drew=_DREW, images=images)}.'
    return [text, *_chance(better, metric)]


def _better(
    rating: Mapping, paths: list[Mapping], higher: list[Mapping], metric: Metric
) -> tuple[list[Mapping], str]:
    """The paths that are better by what compares paths, the best first, and what that is."""
    losses = [rating.get('loss'), *(path.get('loss') for path in paths)]
    if metric.key is None and None not in losses:
        better = [path for path in paths if path['loss'] < rating['loss']]
        return sorted(better, key=lambda path: path['loss']), 'by cross entropy'
    best_first = sorted(higher, key=metric.shown, reverse=not metric.is_error)
    return best_first, f'by {metric.name}'


def _count(better: list[Mapping], number: int, best: Mapping, by: str) -> str:
    text = f'{len(better)} of {number} random paths {"is" if len(better) == 1 else "are"} rated '
    text += f'better than it {by}'
    own = (best.get('costs') or {}).get('macs_m')
    costs = [path.get('macs_m') for path in better]
    if own is None or None in costs:
        return f'{text}.'
    cheaper = sum(cost <= own for cost in costs)
    if cheaper == len(better):
        return f'{text}, at no greater cost.'
    return f'{text}, {cheaper or "none"} of them at no greater cost.'


def _chance(better: list[Mapping], metric: Metric) -> list[str]:
    """What the best of them leads by, and whether the choice of images explains it."""
    told = better[0].get('vs_answer') or {}
    mean, error = told.get('mean'), told.get('error')
    if mean is None or error is None or not math.isfinite(mean):
        return []
    scale, unit = (1, 'nats') if metric.key is None else (1, metric.name)
    if metric.key is not None and metric.is_percent:
        scale, unit = 100, f'points of {metric.name}'
    lead, half = -scale * mean, scale * ERRORS * error
    digits = 3 if scale == 1 else 1
    which = 'The best of them' if len(better) > 1 else 'It'
    text = (
        f'{which} leads by {lead:.{digits}f} {unit}, 95 % interval {lead - half:.{digits}f} to '
        f'{lead + half:.{digits}f}'
    )
    if not Difference(mean, error).is_beyond_chance:
        return [f'{text}: that may be chance.']
    if len(better) > 1:
        text += ', without regard to its being the best of several'
    return [
        f'{text}: more than the choice of images explains, so this search found nothing better '
        'than random paths. A longer training of the supernet may.'
    ]
