"""``front.json``: the best path for each of several budgets, and what to compare them with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..costs import Budget
from ..structures import Arch
from .read import read_json
from .slice_of import slice_content
from .space_entry import MAX_SIDE

FRONT_FORMAT = 'cream_mm.front/1'
"""Value of the "format" key."""


def front_content(
    budget: Budget,
    cost: str,
    *,
    score: str,
    higher_is_better: bool,
    by: str,
    steps: Sequence[tuple[float, Arch]],
    references: Sequence[tuple[str, Arch]],
    published: Mapping[str, Any],
    answer: Arch,
    ratings: Mapping[Arch, Mapping],
) -> dict:
    """What ``front.json`` holds.

    Args:
        budget (Budget): Of the search.
        cost (str): What the steps go through, e.g. ``'macs_m'``.
        score (str): What ratings are compared by: ``'cross_entropy'`` or a metric's name.
        higher_is_better (bool): Of ``score``.
        by (str): How a step's path was chosen, by ``'effects'`` or ``'ratings'``.
        steps (Sequence[tuple[float, Arch]]): Upper bound on the cost, and the best path within it.
        references (Sequence[tuple[str, Arch]]): Other paths of the supernet, with what they are.
        published (Mapping[str, Cost]): Networks outside the space, which have costs and no rating.
        answer (Arch): The search's.
        ratings (Mapping[Arch, Mapping]): Of all these paths, as plain JSON values.
    """

    def row(arch: Arch, **more: Any) -> dict:
        network, costs = budget.cost_model.network(arch)
        if costs is not budget.cost_model:  # networks of the front are of several spaces
            more = dict(more, space=costs.space.to_dict())
        if sliced := slice_content(budget.cost_model, arch):
            more = dict(more, input_size=list(costs.input_size), **sliced)
        told = costs.cost(network).in_units()
        return dict(more, arch=network.to_list(), costs=told, rating=dict(ratings[arch]))

    names = [dict(row(arch, name=name)) for name, arch in references]
    names += [
        dict(name=name, arch=None, costs=costs.in_units(), rating=None)
        for name, costs in published.items()
    ]
    return dict(
        format=FRONT_FORMAT,
        cost=cost,
        score=score,
        higher_is_better=higher_is_better,
        by=by,
        budget=budget.to_dict(),
        steps=[row(arch, bound=bound) for bound, arch in steps],
        references=names,
        answer=row(answer),
    )


def read_steps(path: str | Path) -> tuple[str, list[dict]]:
    """What a run goes on with: the cost that the steps go through, and ``steps``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none, a step lacks its architecture or its cost, or its image size
            is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no {path}; a search writes it beside its best_arch.json')
    content = read_json(path, finite=False)
    steps = content.get('steps') if isinstance(content, dict) else None
    if not isinstance(steps, list) or content.get('format') != FRONT_FORMAT:
        raise ValueError(f'{path} is no set of answers: it needs "format": "{FRONT_FORMAT}"')
    cost = content.get('cost')
    for i, step in enumerate(steps):
        ok = isinstance(step, dict) and isinstance(step.get('arch'), list)
        costs = step.get('costs') if ok else None
        value = costs.get(cost) if isinstance(costs, dict) else None
        if type(value) not in (int, float) or not 0 <= value < 1e9:
            raise ValueError(f'{path}: step {i} has no "arch" with its "costs"')
        size = step.get('input_size', [1, 1])
        ok = isinstance(size, list) and len(size) == 2
        if not ok or not all(type(side) is int and 1 <= side <= MAX_SIDE for side in size):
            raise ValueError(f'{path}: step {i} has no "input_size" of two sides in pixels')
    return cost, steps
