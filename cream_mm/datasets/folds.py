"""Folds of a set: each image is held out in one of them, and trained on in the others."""

from collections.abc import Sequence

from .augmented import same_pictures


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
    paths: Sequence[Sequence[str]], folds: int, fold: int, seed: int, *, spare_lone: bool = False
) -> list[set[int]]:
    """Positions, within each class, of the images that a fold holds out.

    Each class is dealt out in an order that is drawn for it, and the next one begins where it
    ended: so the folds of a class, and the folds as a whole, differ by one image at most. Images
    that were made of one picture (:func:`augmented_stem`) are dealt out together, as one.

    Args:
        paths (Sequence[Sequence[str]]): Of the images of each class, as their names tell pictures.
        folds, fold (int): How many folds, and which of them.
        seed (int): Of the orders.
        spare_lone (bool): The only image of a class is in no fold, so that it is always trained
            on. Defaults to False.
    """
    from ..structures.randomness import named_rng  # here: with torch, which configs do without

    held, before = [], 0
    for label, names in enumerate(paths):
        groups = same_pictures(names)
        lone = spare_lone and len(groups) == 1
        order = named_rng('folds', seed, label).permutation(len(groups)).tolist()
        mine = [n for k, n in enumerate(order) if (before + k) % folds == fold and not lone]
        held.append({i for n in mine for i in groups[n]})
        before += 0 if lone else len(groups)
    return held


def in_share(paths: Sequence[str], number: int, seed: int, label: int = 0) -> set[int]:
    """Positions of images that are held out of a class, or of a whole set.

    Images that were made of one picture stay together: then there may be more than asked for, and
    of one picture there are none.

    Args:
        paths (Sequence[str]): Of all, in an order that is always the same.
        number (int): How many are held out.
        seed, label (int): Of the draw.
    """
    from ..structures.randomness import named_rng  # here: with torch, which configs do without

    groups = same_pictures(paths)
    held: set[int] = set()
    for n in named_rng('holdout', seed, label).permutation(len(groups)).tolist()[:-1]:
        if len(held) >= number:
            break
        held.update(groups[n])
    return held


def fold_name(folds: int, fold: int, seed: int) -> str:
    """What a checkpoint notes of the images that its run held out."""
    return f'fold {fold} of {folds}, seed {seed}'
