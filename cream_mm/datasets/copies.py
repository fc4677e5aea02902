"""Finds pictures of a set that are one: by their bytes, by how they look, by their names."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from .augmented import augmented_stem
from .picture_look import SIDE, Look

# Measured on 150 photographs: copies of half the size, of JPEG quality 30 or squeezed differ by at
# most 8 bits and 5.6 levels, different photographs of such pairs by 8 levels and more.
MAX_BITS = 8  # of 64 that may differ
MAX_DIFFERENCE = 6.5  # mean of a pixel's, in levels of 0 to 255, brightness and contrast adapted
MIN_CONTRAST = 4.0  # levels; of pictures that are nearly one colour, the look tells nothing
MAX_COMPARED = 100_000  # pictures each of which is compared with all others by look
MAX_SECONDS = 60.0  # for that


@dataclass
class Copies:
    """Groups of pictures, two and more in each, as positions in the set.

    Attributes:
        by_bytes: Files that are the same, byte by byte.
        by_look: Pictures that look the same, though the files of at least two of them differ.
        by_name: Copies that an augmenting tool made of one picture, as their names say.
        is_whole (bool): Whether all pictures were compared by their looks.
    """

    by_bytes: list[list[int]] = field(default_factory=list)
    by_look: list[list[int]] = field(default_factory=list)
    by_name: list[list[int]] = field(default_factory=list)
    is_whole: bool = True

    def groups(self, number: int) -> list[int]:
        """For each of so many pictures, the first one that it is a copy of, by any sign."""
        return first_of_each(number, [*self.by_bytes, *self.by_look, *self.by_name])


def find_copies(looks: Sequence[Look], paths: Sequence[str]) -> Copies:
    """Find copies among pictures.

    Args:
        looks (Sequence[Look]): Of :func:`look_at_pictures`; unreadable ones are in no group but
            those of their names.
        paths (Sequence[str]): Of the same pictures.
    """
    seen = [i for i, look in enumerate(looks) if look.problem is None]
    by_bytes = _grouped((looks[i].digest, i) for i in seen)
    by_name = _grouped((stem, i) for i, p in enumerate(paths) if (stem := augmented_stem(p)))
    first = first_of_each(len(looks), by_bytes)
    pairs, is_whole = _alike(looks, [i for i in seen if first[i] == i])
    joined = first_of_each(len(looks), [*by_bytes, *pairs])
    in_pairs = {joined[i] for i, _ in pairs}
    by_look = _grouped((joined[i], i) for i in seen if joined[i] in in_pairs)
    return Copies(by_bytes, by_look, by_name, is_whole)


def _grouped(keyed: Iterable[tuple[Hashable, int]]) -> list[list[int]]:
    groups = defaultdict(list)
    for key, i in keyed:
        groups[key].append(i)
    return [group for group in groups.values() if len(group) > 1]


def first_of_each(number: int, groups: Iterable[Sequence[int]]) -> list[int]:
    """For each of so many positions the first one that groups connect it with, else itself.

    >>> first_of_each(5, [[1, 3], [3, 4]])
    [0, 1, 2, 1, 1]
    """
    first = list(range(number))

    def root(i: int) -> int:
        while first[i] != i:
            first[i] = i = first[first[i]]
        return i

    for group in groups:
        roots = [root(i) for i in group]
        for i in roots:
            first[i] = min(roots)
    return [root(i) for i in range(number)]


# ---- by look -------------------------------------------------------------------------------------


def _alike(looks: Sequence[Look], places: Sequence[int]) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of places whose pictures look the same, and whether all were compared."""
    places = [i for i in places if looks[i].small.std() >= MIN_CONTRAST]
    if not places:
        return [], True
    hashes = np.array([looks[i].hash for i in places], np.uint64)
    order = np.argsort(hashes, kind='stable')
    coarse = np.stack([_coarse(looks[i].small) for i in places])
    contrast = np.array([looks[i].small.std() for i in places], np.float32)
    pairs, end = [], perf_counter() + MAX_SECONDS
    is_whole = len(places) <= MAX_COMPARED
    for a in range(len(places)):
        if perf_counter() > end:
            return pairs, False
        if is_whole:
            others = a + 1 + np.flatnonzero(num_bits(hashes[a + 1 :] ^ hashes[a]) <= MAX_BITS)
        else:
            low, high = (np.searchsorted(hashes, hashes[a], s, order) for s in ('left', 'right'))
            others = order[low:high]
            others = others[others > a]
        # The mean of a part differs by no more than its pixels do.
        scale = np.maximum(contrast[a], contrast[others])
        bound = scale * np.abs(coarse[others] - coarse[a]).mean(axis=1)
        for b in others[bound <= MAX_DIFFERENCE]:
            one, other = places[a], places[int(b)]
            if difference(looks[one].small, looks[other].small) <= MAX_DIFFERENCE:
                pairs.append((one, other))
    return pairs, is_whole


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """How far two pictures differ: the mean of their values, in levels, as :data:`MAX_DIFFERENCE`.

    Shapes:
        one, other: (H, W, 3) uint8.
    """
    scale = max(one.std(), other.std())
    return float(scale * np.abs(_standard(one) - _standard(other)).mean())


def _standard(small: np.ndarray) -> np.ndarray:
    values = small.astype(np.float32)
    return (values - values.mean()) / max(float(values.std()), 1e-6)


def _coarse(small: np.ndarray) -> np.ndarray:
    """Means of 4 x 4 parts, (48,)."""
    step = SIDE // 4
    return _standard(small).reshape(4, step, 4, step, 3).mean(axis=(1, 3)).ravel()


def num_bits(values: np.ndarray) -> np.ndarray:
    """How many bits of each are 1.

    Shapes:
        values: (N,) uint64.
    """
    if hasattr(np, 'bitwise_count'):  # numpy 2
        return np.bitwise_count(values)
    bytes_ = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), 8)
    return _BITS[bytes_].sum(axis=1, dtype=np.uint8)


_BITS = np.array([bin(i).count('1') for i in range(256)], np.uint8)
