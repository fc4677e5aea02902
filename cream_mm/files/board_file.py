"""``board.json``: the paths that a search kept, and how they were rated."""

from collections.abc import Sequence

from ..costs import Budget

BOARD_FORMAT = 'cream_mm.board/1'
"""Value of the "format" key."""


def board_content(
    entries: Sequence, capacity: int, budget: Budget, rated: list[dict] | None = None
) -> dict:
    """What ``board.json`` holds; ``rated`` once the paths were rated.

    Args:
        entries (Sequence): Best first; each has ``arch`` and ``score``, training top-1 in percent.
        capacity (int): Entries that the board has room for.
        budget (Budget): Of the search.
        rated (list[dict], optional): Rated paths, with ``arch`` and ``top1_pct``.
    """
    by_arch = {str(r['arch']): r.get('top1_pct') for r in rated or []}
    rows = []
    for rank, entry in enumerate(entries, start=1):  # from 0 in files of version 0.1
        costs = budget.cost_model.cost(entry.arch).in_units()
        nested = entry.arch.to_list()
        rows.append(
            dict(
                rank=rank,
                arch=nested,
                train_top1_pct=entry.score,
                macs_m=costs['macs_m'],
                params_m=costs['params_m'],
                **{key: costs[key] for key in ('latency_ms',) if key in costs},
                top1_pct=by_arch.get(str(nested)),
            )
        )
    return dict(
        format=BOARD_FORMAT,
        capacity=capacity,
        budget=budget.to_dict(),
        entries=rows,
        rated=rated or [],
    )
