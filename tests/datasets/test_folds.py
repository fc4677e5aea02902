"""Each image is held out once."""

import pytest

from cream_mm.datasets.folds import check_fold, fold_name, in_fold, in_share


def names(*sizes):
    """Of so many images in each class."""
    return [[f'{label}/{i}.jpg' for i in range(size)] for label, size in enumerate(sizes)]


@pytest.mark.parametrize(('sizes', 'folds'), [((7, 3, 12), 5), ((1, 1, 1, 1), 2), ((4, 0, 9), 3)])
def test_every_image_is_in_one_fold(sizes, folds):
    held = [in_fold(names(*sizes), folds, fold, seed=3) for fold in range(folds)]
    for label, size in enumerate(sizes):
        groups = [held[fold][label] for fold in range(folds)]
        assert sorted(i for group in groups for i in group) == list(range(size))
        assert {len(group) for group in groups} <= {size // folds, -(-size // folds)}
    totals = [sum(map(len, one)) for one in held]
    assert sum(totals) == sum(sizes) and max(totals) - min(totals) <= 1


def test_the_deal_is_a_function_of_the_seed():
    again = [in_fold(names(30, 30), 5, 2, seed=0) for _ in range(2)]
    assert again[0] == again[1] != in_fold(names(30, 30), 5, 2, seed=1)
    assert again[0][0] != again[0][1]  # each class is dealt out in an order of its own
    assert again[0][0] != set(range(0, 30, 5))


def test_a_lone_image_is_trained_on():
    held = [in_fold(names(1, 5, 1), 3, fold, 0, spare_lone=True) for fold in range(3)]
    assert all(one[0] == one[2] == set() for one in held)
    assert sorted(i for one in held for i in one[1]) == [0, 1, 2, 3, 4]


def test_images_made_of_one_picture_stay_together():
    paths = [f'a{i // 3}_jpg.rf.{i:032x}.jpg' for i in range(18)]  # six pictures, three of each
    held = [in_fold([paths], 3, fold, 0)[0] for fold in range(3)]
    assert [len(one) for one in held] == [6, 6, 6] and set().union(*held) == set(range(18))
    for one in [*held, in_share(paths, 4, 0)]:
        assert len(one) == 6 and {i // 3 * 3 for i in one} == {i for i in one if i % 3 == 0}
    assert in_fold([paths[:3]], 2, 0, 0, spare_lone=True) == [set()]
    assert in_share(paths[:3], 1, 0) == set()  # of one picture none: it is trained on


@pytest.mark.parametrize(
    'pair', [(5, None), (None, 0), (1, 0), (5, 5), (5, -1), (5.0, 1), (5, True), ('5', 0)]
)
def test_no_such_fold(pair):
    with pytest.raises(ValueError, match='folds is 2 or more'):
        check_fold(*pair)


def test_a_pair():
    check_fold(None, None)
    check_fold(2, 1)
    assert fold_name(5, 2, 7) == 'fold 2 of 5, seed 7'
