"""Shares of classes: hand-counted tables, the clothing set's known difference."""

import math

import pytest

from cream_mm.datasets.class_shares import compare_shares

# Of the clothing set: dress, hat, longsleeve, outwear, pants, shirt, shoes, shorts, skirt, t-shirt.
TRAIN = (241, 123, 455, 184, 468, 290, 198, 202, 112, 795)
VAL = (32, 14, 49, 24, 49, 29, 26, 25, 12, 81)
TEST = (15, 12, 72, 38, 42, 26, 73, 30, 12, 52)


def test_two_by_two():
    """Chi-square of [[30, 10], [10, 30]] is 20, of 80 images and one degree of freedom."""
    found = compare_shares((30, 10), (10, 30))
    assert found.cramers_v == pytest.approx(math.sqrt(20 / 80 - 1 / 79))
    assert found.p_value == pytest.approx(7.744e-6, rel=1e-3)
    assert found.is_large and set(found.classes) == {0, 1}


def test_of_the_clothing_set_the_test_folder_differs_and_val_does_not():
    assert not compare_shares(TRAIN, VAL).is_large
    found = compare_shares(TRAIN, TEST)
    assert found.is_large and found.p_value < 1e-9
    assert found.classes[:2] == [6, 9]  # shoes, t-shirt


def test_equal_shares_differ_in_nothing():
    assert compare_shares((100, 200, 300), (10, 20, 30)) == (1.0, 0.0, [])


def test_many_classes_of_a_few_images_are_one():
    """80 classes of 1 against 80 of others: too few of each to say anything of any."""
    found = compare_shares([3, 0] * 40 + [300], [0, 3] * 40 + [300])
    assert not found.is_large and found.classes == []


@pytest.mark.parametrize('empty', [((0, 0), (1, 2)), ((5, 0), (3, 0)), ((), ())])
def test_nothing_to_compare(empty):
    assert not compare_shares(*empty).is_large
