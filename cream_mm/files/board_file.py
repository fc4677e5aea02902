"""``board.json``: the paths that a search kept, and how they were rated."""

BOARD_FORMAT = 'cream_mm.board/1'
"""Value of the "format" key."""


def board_content(model, rated: list[dict] | None = None) -> dict:
    """What ``board.json`` holds; ``rated`` once the paths were rated."""
    by_arch = {str(r['arch']): r['top1_pct'] for r in rated or []}
    entries = []
    for rank, entry in enumerate(model.board.entries if model.board is not None else []):
        costs = model.cost_model.cost(entry.arch).in_units()
        nested = entry.arch.to_list()
        entries.append(
            dict(
                rank=rank,
                arch=nested,
                train_top1_pct=entry.score,
                macs_m=costs['macs_m'],
                params_m=costs['params_m'],
                top1_pct=by_arch.get(str(nested)),
            )
        )
    capacity = model.board.capacity if model.board is not None else 0
    return dict(
        format=BOARD_FORMAT,
        capacity=capacity,
        budget=model.budget.to_dict(),
        entries=entries,
        rated=rated or [],
    )
