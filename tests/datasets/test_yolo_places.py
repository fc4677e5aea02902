"""D17: where a path in a YOLO file leads."""

import pytest

from cream_mm.datasets.yolo_places import find_place, split_called


@pytest.fixture
def set_(tmp_path, monkeypatch):
    """A set in ``home/set``, looked at from another folder."""
    root = tmp_path / 'home/set'
    for folder in ('train/images', 'valid/images', 'images/train2017'):
        (root / folder).mkdir(parents=True)
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    return root


def find(root, value, base=''):
    place, is_named = find_place(value, str(root / 'data.yaml'), base, str(root))
    return place.removeprefix(f'{root}/'), is_named


@pytest.mark.parametrize(
    ('value', 'base', 'place', 'is_named'),
    [
        ('train/images', '', 'train/images', True),
        ('./train/images/', '', 'train/images', True),
        ('train', '', 'train', True),
        ('images/train2017', '.', 'images/train2017', True),
        ('images/train2017', '../set', 'images/train2017', True),
        ('../train/images', '', 'train/images', False),  # as Roboflow writes it
        ('../valid/images', '', 'valid/images', False),
        ('/home/someone/data/set/train/images', '', 'train/images', False),
        ('C:/Users/me/set/valid/images', '', 'valid/images', False),
        ('images/train2017', '../datasets/set', 'images/train2017', False),
        ('images/train2017', '/data/sets/set', 'images/train2017', False),
        ('set/train/images', '', 'train/images', False),  # of the folder above
    ],
)
def test_one_place_fits(set_, value, base, place, is_named):
    assert find(set_, value, base) == (place, is_named)


def test_it_does_not_hang_on_the_working_folder(set_, monkeypatch, tmp_path):
    (tmp_path / 'elsewhere/train/images').mkdir(parents=True)
    assert find(set_, 'train/images') == ('train/images', True)
    assert find(set_, '../train/images') == ('train/images', False)
    (tmp_path / 'elsewhere/my/train').mkdir(parents=True)
    assert find(set_, 'my/train') == ('train', False)  # in the set before outside of it
    (tmp_path / 'elsewhere/pictures').mkdir()
    assert find(set_, 'pictures') == ('pictures', False)  # but better there than nowhere


def test_a_place_outside_that_is_named(set_, tmp_path):
    (tmp_path / 'store/images').mkdir(parents=True)
    assert find(set_, 'images', str(tmp_path / 'store')) == (f'{tmp_path}/store/images', True)


def test_two_places_fit(set_, tmp_path):
    """Beside the set lies another one, and the path can be of either."""
    (tmp_path / 'home/train/images').mkdir(parents=True)
    with pytest.raises(ValueError, match='data.yaml: ../train/images may be') as caught:
        find(set_, '../train/images')
    assert f'{tmp_path}/home/train/images or {set_}/train/images' in str(caught.value)


def test_no_place_fits(set_):
    with pytest.raises(FileNotFoundError, match='there is no ../test/images. Tried: ') as caught:
        find(set_, '../test/images')
    for tried in ('home/test/images', 'set/test/images', '../test/images'):
        assert tried in str(caught.value)


def test_the_end_of_a_path_names_the_split(set_, tmp_path):
    """``images`` is there, but it is not that of the validation."""
    with pytest.raises(FileNotFoundError):
        find(set_, '/x/val/images')
    assert find(set_, '/x/images') == ('images', False)


@pytest.mark.parametrize(
    ('name', 'split'),
    [
        ('train', 'train'), ('Training', 'train'), ('train_2012', 'train'), ('val2017', 'val'),
        ('valid', 'val'), ('dev', 'val'), ('test', 'test'), ('TESTING', 'test'),
        ('trains', None), ('my_train', None), ('testimages', None), ('', None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_called(name) == split
