"""D19: where the label file of an image is looked for."""

import pytest

from cream_mm.datasets.box_set import BoxNotes
from cream_mm.datasets.yolo_labels import MAX_MISSING, Labels, check_missing, first_line


def test_the_last_folder_images_is_the_one_replaced():
    labels = Labels('/home/images/set')
    assert labels.places('/home/images/set/images/train')[0] == '/home/images/set/labels/train'
    assert labels.places('/home/images/set/images/a/images')[0] == (
        '/home/images/set/images/a/labels'
    )
    # Part of a name is no folder of that name; where the set itself lies comes after that.
    assert labels.places('/home/images/set/images_new') == [
        '/home/labels/set/images_new',
        '/home/Labels/set/images_new',
        '/home/images/set/images_new',
        '/home/images/set/labels/images_new',
    ]
    assert Labels('/set').places('/set/train') == ['/set/train', '/set/labels/train']


def test_the_folder_of_labels_goes_before_that_of_the_image(tmp_path):
    for name in ('images/a.txt', 'images/b.txt', 'labels/a.TXT', 'labels/a.b.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    labels = Labels(str(tmp_path))
    found = {name: labels.find(str(tmp_path / f'images/{name}.jpg')) for name in ('a', 'b', 'a.b')}
    assert {name: path.removeprefix(f'{tmp_path}/') for name, path in found.items()} == {
        'a': 'labels/a.TXT', 'b': 'images/b.txt', 'a.b': 'labels/a.b.txt',
    }  # fmt: skip
    assert labels.find(str(tmp_path / 'images/c.jpg')) is None


@pytest.mark.parametrize('missing', [5, 6])
def test_half_of_the_files_may_be_missing(missing):
    assert MAX_MISSING == 0.5
    paths = [f'/set/{n}.jpg' for n in range(10)]
    found = [None] * missing + ['x'] * (10 - missing)
    notes = BoxNotes('set')
    if missing == 5:
        check_missing('/set', 'train', paths, found, Labels('/set'), notes)
        assert notes.lines() == [
            'set: images without a label file: 5, taken as background (0.jpg, 1.jpg, 2.jpg, ...)'
        ]
    else:
        with pytest.raises(ValueError, match=r'/set: 6 of 10 images of train .* Looked in /set'):
            check_missing('/set', 'train', paths, found, Labels('/set'), notes)


def test_the_first_line(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes(b'\xef\xbb\xbf\r\n \n 0 1 \r\n2\n')
    assert first_line(path) == '0 1'
    assert first_line(tmp_path / 'b.txt') == ''
