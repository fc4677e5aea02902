"""Effects of choices out of several sources: ratings, what the training met, and costs."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from ..costs import CostModel
from ..spaces import Space
from ..structures import Arch
from .main_effects import Effects, MainEffects, places


class Combined(NamedTuple):
    """Effects, and which of the known ones they make use of."""

    effects: MainEffects
    used: tuple[str, ...]


def combined_effects(
    archs: Sequence[Arch], scores: Sequence[float], known: Mapping[str, Effects]
) -> Combined:
    """Effects that are fitted to scores, and shrunk towards known ones where these help.

    A few dozen ratings are less than there are choices. Effects on the losses of the training are
    averages over hundreds of steps, but of the weights as they were then; and most of what
    distinguishes paths over a wide range of costs is their size. Each of these is known up to a
    factor. Which of them take part, and the penalty on all else, is decided by the least
    error of the scores in leave-one-out; the factors are fitted, and have to be positive.

    Args:
        archs (Sequence[Arch]), scores (Sequence[float]): Rated paths, see :class:`MainEffects`.
        known (Mapping[str, Effects]): Effects by their name, higher is better.
    """
    best = None
    for number in range(len(known) + 1):
        for names in combinations(known, number):
            fit = MainEffects(archs, scores, along=[known[name] for name in names])
            if (
                best is None
                or min(fit.factors, default=1) > 0
                and (fit.loo_error < best.effects.loo_error)
            ):
                best = Combined(fit, names)
    return best


def cost_effects(space: Space, cost_model: CostModel, unit: str = 'macs_m') -> Effects:
    """What each choice costs, (stage, layer, choice) -> cost; empty where costs do not add up.

    Where they do once the last choices are known, as at several input sizes, it is with the first
    of these, and nothing is said of the last choices themselves.
    """
    tables = cost_model.tables_by_end()
    if not tables:
        return {}
    _, table = tables[0]
    where = places(space.decode([0] * len(space.sizes)))[: len(table.space.sizes)]
    return {
        (*place, choice): cost.in_units()[unit]
        for position, place in enumerate(where)
        for choice, cost in enumerate(table.choice_costs(position))
    }
