"""Folds of a set: each image is held out in one of them, and trained on in the others."""

from collections.abc import Sequence


def check_fold(folds: int | None, fold: int | None) -> None:
    """Check a pair of arguments.

    Raises:
        ValueError: If one is given without the other, or there is no such fold.
    """
    if folds is None and fold is None:
        return
    are_numbers = type(folds) is int and type(fold) is int
    if not (are_numbers and folds >= 2 and 0 <= fold < folds):
        raise ValueError(
            'folds is 2 or more, and fold the one that is held out, 0 to folds - 1; got '
            f'folds={folds!r}, fold={fold!r}'
        )


def in_fold(
    sizes: Sequence[int], folds: int, fold: int, seed: int, *, spare_lone: bool = False
) -> list[set[int]]:
    """Positions, within each class, of the images that a fold holds out.

    Each class is dealt out in an order that is drawn for it, and the next one begins where it
    ended: so the folds of a class, and the folds as a whole, differ by one image at most.

    Args:
        sizes (Sequence[int]): Images of each class.
        folds, fold (int): How many folds, and which of them.
        seed (int): Of the orders.
        spare_lone (bool): The only image of a class is in no fold, so that it is always trained
            on. Defaults to False.
    """
    from ..structures.randomness import named_rng  # here: with torch, which configs do without

    held, before = [], 0
    for label, size in enumerate(sizes):
        lone = spare_lone and size == 1
        order = named_rng('folds', seed, label).permutation(size).tolist()
        held.append({i for k, i in enumerate(order) if (before + k) % folds == fold and not lone})
        before += 0 if lone else size
    return held


def fold_name(folds: int, fold: int, seed: int) -> str:
    """What a checkpoint notes of the images that its run held out."""
    return f'fold {fold} of {folds}, seed {seed}'
