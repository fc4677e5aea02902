"""Splits: exact shares of classes, groups together, folds that hold out each item once."""

from collections import Counter

import numpy as np
import pytest

from cream_mm.datasets.split import fold_of, split_off


def single(*sizes):
    return [(k,) for k, size in enumerate(sizes) for _ in range(size)]


def per_class(labels, places):
    return Counter(k for i in places for k in labels[i])


def test_single_labels_are_split_exactly():
    labels = single(100, 33, 10, 4, 2, 1)
    held = split_off(labels, 0.1)
    assert per_class(labels, held) == {0: 10, 1: 3, 2: 1, 3: 1, 4: 1}  # never the only one
    assert held == sorted(held)


def test_a_class_is_never_held_out_whole():
    labels = single(3, 50)
    assert per_class(labels, split_off(labels, 0.9)) == {0: 2, 1: 45}


def test_the_seed_and_nothing_else_decides():
    labels = single(50, 50)
    assert split_off(labels, 0.2, seed=3) == split_off(labels, 0.2, seed=3)
    assert split_off(labels, 0.2, seed=3) != split_off(labels, 0.2, seed=4)


def test_groups_stay_together():
    labels = single(40, 40)
    groups = [i // 4 for i in range(80)]
    held = split_off(labels, 0.2, groups=groups)
    assert per_class(labels, held) == {0: 8, 1: 8}
    assert all(n == 4 for n in Counter(groups[i] for i in held).values())


def test_several_labels_have_their_shares():
    rng = np.random.default_rng(0)
    p = (0.5, 0.3, 0.1, 0.03)
    labels = [tuple(np.flatnonzero(rng.random(4) < p).tolist()) for _ in range(1000)]
    held = split_off(labels, 0.2)
    assert abs(len(held) - 200) <= 4
    whole, part = per_class(labels, range(1000)), per_class(labels, held)
    for k in range(4):
        assert abs(part[k] - 0.2 * whole[k]) <= 2


def test_folds_hold_out_each_item_once_and_alike():
    labels = single(52, 23, 7)
    folds = fold_of(labels, 5)
    assert set(folds) == {0, 1, 2, 3, 4}
    for k, size in enumerate((52, 23, 7)):
        counts = Counter(f for f, label in zip(folds, labels) if label == (k,))
        assert {counts[f] for f in range(5)} <= {size // 5, -(-size // 5)}
    sizes = Counter(folds).values()
    assert max(sizes) - min(sizes) <= 1


def test_two_folds():
    labels = single(10, 10)
    folds = fold_of(labels, 2)
    assert per_class(labels, [i for i in range(20) if folds[i]]) == {0: 5, 1: 5}


def test_images_without_a_label_are_shared_out_too():
    assert len(split_off([()] * 50, 0.2)) == 10


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: split_off(single(5), 1.0), 'between 0 and 1; got 1.0'),
        (lambda: split_off(single(1), 0.5), '1 images cannot be split into 2 parts'),
        (lambda: split_off(single(4), 0.5, groups=[0] * 4), 'in 1 groups of copies'),
        (lambda: fold_of(single(5), 1), 'at least 2 folds; got 1'),
        (lambda: fold_of(single(3), 5), '3 images cannot be split into 5 parts'),
    ],
)
def test_what_cannot_be_split(call, message):
    with pytest.raises(ValueError, match=message):
        call()
