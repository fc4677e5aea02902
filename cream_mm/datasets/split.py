"""Splits a set so that every part has each class's share of it, and no copies of one picture."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ..structures.randomness import named_rng


def split_off(
    labels: Sequence[Sequence[int]],
    share: float,
    *,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> list[int]:
    """Positions of the items that are held out, sorted.

    Each class has its share of them: of n items with one label each, ``round(n * share)``, but at
    least one and not all where it has two. Items with several labels are dealt out as
    :func:`deal_out` says.

    Args:
        labels (Sequence[Sequence[int]]): Of each item: one, several, or none.
        share (float): Of the items, between 0 and 1.
        seed (int): Another one gives another split. Defaults to 0.
        groups (Sequence[int], optional): Items of one group stay together. Defaults to None: each
            is alone.

    Raises:
        ValueError: If ``share`` is none, or fewer than two items or groups are there.
    """
    if not 0 < share < 1:
        raise ValueError(f'a share is between 0 and 1; got {share}')
    parts = deal_out(labels, (1 - share, share), seed=seed, groups=groups)
    return [i for i, part in enumerate(parts) if part == 1]


def fold_of(
    labels: Sequence[Sequence[int]],
    folds: int,
    *,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> list[int]:
    """For each item the fold that holds it out, 0 to ``folds - 1``; see :func:`split_off`.

    Raises:
        ValueError: If there are fewer than two folds, or fewer items or groups than folds.
    """
    if folds < 2:
        raise ValueError(f'at least 2 folds; got {folds}')
    return deal_out(labels, [1 / folds] * folds, seed=seed, groups=groups)


def deal_out(
    labels: Sequence[Sequence[int]],
    shares: Sequence[float],
    *,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> list[int]:
    """For each item the part that it goes to.

    Iterative stratification: the items of the rarest label come first, each goes where most of that
    label is still missing, of equals where most items are missing.

    Args:
        labels, seed, groups: See :func:`split_off`.
        shares (Sequence[float]): Of the parts; they sum to 1.

    Raises:
        ValueError: If there are fewer items, or groups of them, than parts.

    Reference:
        Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML PKDD 2011.
        Differs: whole numbers are missed for, which makes it exact for single labels; groups.
    """
    members = defaultdict(list)
    for i, group in enumerate(range(len(labels)) if groups is None else groups):
        members[group].append(i)
    if len(members) < len(shares):
        raise ValueError(
            f'{len(labels)} images{f" in {len(members)} groups of copies" if groups else ""} '
            f'cannot be split into {len(shares)} parts'
        )
    rng = named_rng('data split', seed, len(labels))
    names = list(members)
    order = [names[i] for i in rng.permutation(len(names))]
    order.sort(key=lambda group: -len(members[group]))  # large ones find a place first
    none = 1 + max((label for item in labels for label in item), default=-1)
    counts = {g: Counter(k for i in members[g] for k in set(labels[i]) or (none,)) for g in order}
    left = Counter()  # groups that have a label
    totals = Counter()
    for count in counts.values():
        left.update(count.keys())
        totals.update(count)
    missing = {label: _targets(totals[label], left[label], shares) for label in totals}
    room = np.array(_targets(len(labels), len(order), shares), float)
    with_label = defaultdict(list)
    for group in order:
        for label in counts[group]:
            with_label[label].append(group)
    parts: dict[int, int] = {}
    while len(parts) < len(order):
        label = min((k for k in left if left[k] > 0), key=lambda k: (left[k], k))
        for group in with_label[label]:
            if group in parts:
                continue
            want = missing[label]
            best = np.lexsort((rng.random(len(shares)), -room, -want))[0]
            parts[group] = int(best)
            room[best] -= len(members[group])
            for other, number in counts[group].items():
                missing[other][best] -= number
                left[other] -= 1
    found = [0] * len(labels)
    for group, items in members.items():
        for i in items:
            found[i] = parts[group]
    return found


def _targets(number: int, groups: int, shares: Sequence[float]) -> np.ndarray:
    """Whole numbers of items for each part that sum to ``number``.

    Of two unequal parts, the smaller one gets one at least where there are two groups. Folds share
    what is left over after the division by what other labels have given them: it stays a fraction.
    """
    exact = np.array([number * share for share in shares])
    if len(set(shares)) == 1 and len(shares) > 2:
        return exact
    smaller = int(np.argmin(shares))
    count = round(exact[smaller])
    if groups > 1:
        count = min(max(count, 1), number - 1)
    elif groups == 1:
        count = 0
    found = np.zeros(len(shares))
    found[smaller], found[1 - smaller] = count, number - count
    return found
