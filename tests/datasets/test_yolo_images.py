"""Which images are of which split."""

import pytest

from cream_mm.datasets.box_set import BoxNotes
from cream_mm.datasets.yolo_images import common_root, find_pictures
from cream_mm.datasets.yolo_labels import Labels
from cream_mm.datasets.yolo_yaml import YoloIndex


@pytest.fixture
def find(tmp_path):
    """Images of each split, below the root; lines are kept in ``find.said``."""

    def find(*names, index=None, **texts):
        for name in (*names, *texts):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(texts.get(name, ''))
        root, find.said = str(tmp_path), []
        if index is not None:
            index = YoloIndex(f'{root}/data.yaml', places=index)
        found = find_pictures(root, index, Labels(root), BoxNotes(root), find.said)
        return {
            split: [path.removeprefix(f'{root}/') for path in paths]
            for split, paths in found.items()
        }

    return find


def test_the_outermost_folder_of_a_split_counts(find):
    assert find('train/a/test/1.jpg', 'a/val2017/2.jpg', 'Testing/3.jpg') == dict(
        train=['train/a/test/1.jpg'], val=['a/val2017/2.jpg'], test=['Testing/3.jpg']
    )
    assert not find.said


def test_images_beside_the_splits_are_left_out(find):
    found = find('train/1.jpg', 'val/2.jpg', 'preview.png', 'runs/3.jpg')
    assert found == dict(train=['train/1.jpg'], val=['val/2.jpg'])
    assert (
        '2 images lie beside the folders of the set: left out (preview.png, runs/3.jpg)'
        in (find.said[0])
    )


def test_masks_are_no_images(find):
    assert find('images/1.jpg', 'masks/1.png', 'more/2.jpg', 'more/2.txt') == dict(
        all=['images/1.jpg', 'more/2.jpg']
    )
    assert 'masks/1.png' in find.said[0]


def test_a_set_that_lies_in_a_folder_called_test(find):
    assert find('test/1.jpg', 'test/2.jpg') == dict(all=['test/1.jpg', 'test/2.jpg'])
    assert find('val/3.jpg') == dict(val=['val/3.jpg'], test=['test/1.jpg', 'test/2.jpg'])


def test_folders_of_a_file(find):
    found = find('a/1.jpg', 'a/b/2.jpg', 'c/3.jpg', index=dict(train=['a', 'a/b'], val=['c/*.jpg']))
    assert found == dict(train=['a/1.jpg', 'a/b/2.jpg'], val=['c/3.jpg'])


def test_a_split_without_images(find, tmp_path):
    (tmp_path / 'v').mkdir()
    assert find('a/1.jpg', index=dict(train=['a'], val=['v'])) == dict(train=['a/1.jpg'])
    assert 'val has no image: taken as a set without val' in find.said[0]
    with pytest.raises(ValueError, match='no image to train on, of a kind that is read here'):
        find(index=dict(train=['v'], val=['a']))


def test_a_test_set_that_is_not_there_is_told_once(find):
    index = dict(train=['a'], val=['v'], test=['../test/images'])
    assert find('a/1.jpg', 'v/2.jpg', index=index) == dict(train=['a/1.jpg'], val=['v/2.jpg'])
    assert sum('taken as a set without test' in line for line in find.said) == 1


def test_nothing_to_train_on(find):
    with pytest.raises(ValueError, match='data.yaml does not say where the images to train on are'):
        find('a/1.jpg', index=dict(val=['a']))


def test_lists_go_before_folders(find):
    found = find('val/1.jpg', 'val/2.jpg', **{'train.txt': 'val/1.jpg\n', 'test.txt': 'val/2.jpg'})
    assert found == dict(train=['val/1.jpg'], test=['val/2.jpg'])
    with pytest.raises(ValueError, match='train.txt: 2.jpg may be a/2.jpg, val/2.jpg'):
        find('a/2.jpg', **{'train.txt': '2.jpg\n'})


def test_a_label_file_called_train_is_no_list(find):
    assert find('train.jpg', **{'train.txt': '0 0.5 0.5 0.2 0.2\n'}) == dict(all=['train.jpg'])


def test_the_root_of_images():
    assert common_root('/set', ['/set/a/1.jpg', '/set/2.jpg']) == '/set'
    assert common_root('/cfg', ['/data/a/1.jpg', '/data/b/2.jpg']) == '/data'
