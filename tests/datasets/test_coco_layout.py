"""Where tools put annotation files and pictures."""

import pytest

from cream_mm.datasets.coco_layout import find_annotations, find_pictures, json_files, split_of
from cream_mm.datasets.folder_listing import TRAIN_NAMES, VAL_NAMES


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_only_cocos_own_names_stand_for_a_split():
    assert split_of('annotations/instances_train2017.json') == TRAIN_NAMES
    assert split_of('instances_val2017.json') == VAL_NAMES
    assert split_of('annotations/train.json') == split_of('instances_val2014.json') == ()


@pytest.mark.parametrize(
    ('files', 'train', 'val'),
    [
        (['train/a.json', 'valid/a.json', 'test/a.json'], 'train/a.json', 'valid/a.json'),
        (['train/a.json', 'test/a.json'], 'train/a.json', 'test/a.json'),
        (['Train/x.json', 'validation.json'], 'Train/x.json', 'validation.json'),
        (['a/train2014.json', 'a/val2014.json'], 'a/train2014.json', 'a/val2014.json'),
        (['instances_default.json'], None, None),
        (['trainval.json', 'constraint.json'], None, None),
        (['train/1.json', 'train/2.json'], None, None),  # one for each picture, as LabelMe's
        (['train_val.json'], None, None),
        (['train/val.json', 'train/train.json'], 'train/train.json', 'train/val.json'),
        (['a/instances_train.json', 'a/captions_train.json'], 'a/instances_train.json', None),
        (['.ipynb_checkpoints/train.json', '__MACOSX/val.json'], None, None),
    ],
)
def test_the_file_of_a_split(tmp_path, files, train, val):
    touch(tmp_path, *files)
    assert find_annotations(str(tmp_path), TRAIN_NAMES) == train
    assert find_annotations(str(tmp_path), VAL_NAMES) == val


def test_json_files_from_the_outside_in(tmp_path):
    touch(tmp_path, 'b/c/3.json', 'b/2.JSON', 'z.json', 'b/c/d/4.json', '.x/5.json', 'a.txt')
    assert json_files(str(tmp_path)) == ['z.json', 'b/2.JSON', 'b/c/3.json']


def test_splits_that_number_their_pictures_alike(tmp_path):
    touch(tmp_path, *(f'images/{s}/{i}.png' for s in ('train', 'val') for i in (1, 2)))
    touch(tmp_path, *(f'{s}/data/{i}.png' for s in ('left', 'right') for i in (3, 4)))
    root, names = str(tmp_path), ['1.png', '2.png']
    found = [
        find_pictures(names, root, f'annotations/instances_{name}.json', split, ())
        for name, split in (('train', TRAIN_NAMES), ('val', VAL_NAMES))
    ]
    assert found == [f'{root}/images/train', f'{root}/images/val']
    assert find_pictures(names, root, 'a.json', (), ()) is None
    assert find_pictures(['3.png'], root, 'right/labels.json', (), ()) == f'{root}/right/data'
    assert find_pictures(['3.png'], root, 'a.json', (), [f'{root}/left/data']) == (
        f'{root}/right/data'
    )
