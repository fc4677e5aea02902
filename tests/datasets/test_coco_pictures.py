"""Pictures by the names that files have for them; their sizes; which are the same."""

import os

import pytest
from PIL import Image

from cream_mm.datasets.coco_mend import mend_coco
from cream_mm.datasets.coco_notes import Notes
from cream_mm.datasets.coco_pictures import (
    Folder,
    folder_holding,
    picture_size,
    same_name,
    same_pictures,
)


def draw(path, size=(20, 10), color=0, turned=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    Image.new('RGB', size, (color, 0, 0)).save(path, exif=exif)
    return path


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('set')
    for name in ('train/a.jpg', 'train/left/b.jpg', 'train/right/b.jpg', 'train/a b.png',
                 'train/left/C.JPG'):  # fmt: skip
        draw(root / name)
    return root


def read(folder, *names, **image):
    """The images as they are read from a file of these names, and the lines."""
    images = [
        dict(id=i, file_name=name, **dict(dict(width=20, height=10), **image))
        for i, name in enumerate(names)
    ]
    notes = Notes('a.json')
    content = dict(images=images, annotations=[], categories=[dict(id=1, name='x')])
    return mend_coco(content, notes, Folder(str(folder)))['images'], notes.lines()


@pytest.mark.parametrize('name', ['a.jpg', 'left/b.jpg', './a.jpg'])
def test_names_that_are_right_stay(root, name):
    (image,), lines = read(root / 'train', name)
    assert image['file_name'] == name and lines == []


@pytest.mark.parametrize(
    'name, found',
    [
        ('train/a.jpg', 'a.jpg'),
        ('train/left/b.jpg', 'left/b.jpg'),
        (r'left\b.jpg', 'left/b.jpg'),
        (r'..\data\right\b.jpg', 'right/b.jpg'),
        ('../../x/left/b.jpg', 'left/b.jpg'),
        (r'C:\Users\me\set\a.jpg', 'a.jpg'),
        ('/home/me/set/train/left/b.jpg', 'left/b.jpg'),
        ('http://host/data/left/b.jpg?token=1/2', 'left/b.jpg'),
        ('s3://bucket/train/a.jpg', 'a.jpg'),
        ('/data/local-files/?d=set/left/b.jpg', 'left/b.jpg'),
        ('images/1a2b3c4d-a.jpg', 'a.jpg'),
        ('a%20b.png', 'a b.png'),
        ('http://host/up/a%20b.png', 'a b.png'),
        ('A.JPG', 'a.jpg'),
        ('left/c.jpg', 'left/C.JPG'),
        (' a.jpg ', 'a.jpg'),
    ],
)
def test_names_that_are_found_by_their_end(root, name, found):
    (image,), (line,) = read(root / 'train', name)
    assert image['file_name'] == found
    assert line.startswith('a.json: file names that are not those below the folder: 1 of 1 images')
    assert line.endswith(f'{name!r} is {found})')


@pytest.mark.parametrize('name', ['../other/a.jpg', '{root}/other/a.jpg', 'left/../../other/a.jpg'])
def test_names_that_lead_out_of_the_folder(root, tmp_path, name):
    for folder in ('train/left', 'other'):
        draw(tmp_path / folder / 'x.jpg')
    out = draw(tmp_path / 'other/a.jpg')
    name = name.format(root=tmp_path)
    assert os.path.samefile(tmp_path / 'train' / name, out)  # it is there
    with pytest.raises(ValueError, match='1 of its 1 pictures are not below .*train: '):
        read(tmp_path / 'train', name)
    draw(tmp_path / 'train/a.jpg')
    (image,), (line,) = read(tmp_path / 'train', name)
    assert image['file_name'] == 'a.jpg' and line.endswith(' is a.jpg)')


def test_a_whole_path_into_the_folder(root):
    name = f'{root}/train/left/b.jpg'
    (image,), lines = read(root / 'train', name)
    assert image['file_name'] == name and lines == []


def test_a_name_that_no_file_can_have(root):
    with pytest.raises(ValueError, match='1 of its 1 pictures are not below'):
        read(root / 'train', 'x\0y/z.jpg')


def test_accents_that_are_written_in_two_ways(tmp_path):
    draw(tmp_path / 'e\u0301.jpg')
    (image,), _ = read(tmp_path, 'é.jpg')
    assert image['file_name'] == 'e\u0301.jpg'


@pytest.mark.parametrize(
    'names, words',
    [
        (['b.jpg'], "1 of its 1 file names fit several .*'b.jpg' may be left/b.jpg, right/b.jpg"),
        (
            ['a.jpg', 'z.jpg', 'y.jpg'],
            "2 of its 3 pictures are not below .*: 'z.jpg', 'y.jpg'. There",
        ),
        (['x/a.jpg', 'y/a.jpg'], "a.jpg may be 'x/a.jpg' or 'y/a.jpg'"),
        (['a.jpg', 'y/a.jpg'], "a.jpg may be 'a.jpg' or 'y/a.jpg'"),
    ],
)
def test_names_that_are_refused(root, names, words):
    with pytest.raises(ValueError, match=words):
        read(root / 'train', *names)


def test_one_picture_under_two_spellings(root):
    (image,), lines = read(root / 'train', 'left/b.jpg', r'left\b.jpg')
    assert image['file_name'] == 'left/b.jpg' and image['id'] == 0
    assert len(lines) == 2 and 'listed twice: 1 of 2 images' in lines[1]


def test_same_name():
    assert same_name('a/1.jpg', r'.\a\1.jpg') and same_name('http://h/a', 'http://h/a')
    assert not same_name('a/1.jpg', 'b/1.jpg') and not same_name('1.jpg', 'a/1.jpg')


def test_a_folder_that_is_found_by_its_pictures(root, tmp_path):
    assert folder_holding(['a.jpg', 'left/b.jpg'], str(root)) == str(root / 'train')
    assert folder_holding(['train2017/a.jpg'], str(root)) == str(root / 'train')
    assert folder_holding(['b.jpg'], str(root)) is None  # left or right
    assert folder_holding(['a.jpg', 'z.jpg'], str(root)) is None
    # Another set's pictures may have the same names.
    assert folder_holding(['a.jpg'], str(root), [str(root / 'train')]) is None
    assert folder_holding([], str(root)) is None


# --- sizes ---


def test_the_size_of_a_picture(tmp_path):
    assert picture_size(draw(tmp_path / 'a.jpg', (30, 20))) == (30, 20)
    assert picture_size(draw(tmp_path / 'b.jpg', (30, 20), turned=True)) == (20, 30)
    (tmp_path / 'c.jpg').write_bytes(b'no picture')
    os.mkfifo(tmp_path / 'd.jpg')
    assert picture_size(tmp_path / 'c.jpg') is picture_size(tmp_path / 'd.jpg') is None
    assert picture_size(tmp_path / 'e.jpg') is None


def test_it_is_the_size_that_is_loaded(tmp_path):
    from cream_mm.datasets import LoadImage

    path = draw(tmp_path / 'b.jpg', (30, 20), turned=True)
    height, width = LoadImage().transform(dict(img_path=str(path)))['img_shape']
    assert (width, height) == picture_size(path)


@pytest.mark.parametrize('size', [dict(width=None, height=None), dict(width=0), dict(height='x'),
                                  dict(width=-20)])  # fmt: skip
def test_sizes_that_are_missing(root, size):
    (image,), (line,) = read(root / 'train', 'a.jpg', **size)
    assert (image['width'], image['height']) == (20, 10)
    assert "no width and height: 1 of 1 images, taken from the pictures ('a.jpg')" in line


def test_sizes_as_text(root):
    (image,), (line,) = read(root / 'train', 'a.jpg', width='20', height='10')
    assert (image['width'], image['height']) == (20, 10) and 'written as text' in line
    (image,), lines = read(root / 'train', 'a.jpg', width=20.0)
    assert type(image['width']) is int and lines == []


def test_sizes_that_are_wrong(root):
    (image,), (line,) = read(root / 'train', 'a.jpg', width=10, height=20)
    assert (image['width'], image['height']) == (20, 10)
    assert "other than the picture's: 1 of 1 images" in line
    assert line.endswith('(a.jpg is 20 x 10, not 10 x 20)')


def test_in_a_large_set_one_wrong_size_has_all_looked_at(root, monkeypatch):
    monkeypatch.setattr('cream_mm.datasets.coco_mend.SIZES_CHECKED', 2)
    names = ['a.jpg', 'left/b.jpg', 'right/b.jpg', 'a b.png']
    images, (line,) = read(root / 'train', *names, width=10, height=20)
    assert {image['width'] for image in images} == {20} and '4 of 4 images' in line


def test_boxes_on_pictures_of_another_size_are_refused(root):
    image = dict(id=1, file_name='a.jpg', width=40, height=20)  # the picture was halved
    box = dict(id=5, image_id=1, category_id=1, bbox=[22, 12, 10, 5])
    content = dict(images=[image], annotations=[box], categories=[dict(id=1, name='x')])
    with pytest.raises(ValueError, match='1 pictures have another size than it says, and 1 of their'
                       ' 1 boxes fit into its size only .*resized, or turned by EXIF'):  # fmt: skip
        mend_coco(content, Notes('a.json'), Folder(str(root / 'train')))


def test_an_unreadable_picture_without_a_size_is_left_out(tmp_path):
    draw(tmp_path / 'a.jpg')
    (tmp_path / 'b.jpg').write_bytes(b'')
    content = dict(
        images=[dict(id=i, file_name=name) for i, name in enumerate(('a.jpg', 'b.jpg'))],
        annotations=[dict(id=i + 1, image_id=i, category_id=1, bbox=[1, 1, 5, 5], area=25,
                          iscrowd=0)
                     for i in range(2)],
        categories=[dict(id=1, name='x')],
    )  # fmt: skip
    notes = Notes('a.json')
    found = mend_coco(content, notes, Folder(str(tmp_path)))
    assert [i['id'] for i in found['images']] == [0]
    assert [a['image_id'] for a in found['annotations']] == [0]
    assert "no readable picture: 1 of 2 images, left out ('b.jpg')" in notes.lines()[1]


# --- the same pictures in two sets ---


def test_same_pictures(tmp_path):
    a, b, c = (str(draw(tmp_path / f'{i}.jpg', color=80 * i)) for i in range(3))
    twin = tmp_path / 'x.jpg'
    twin.write_bytes((tmp_path / '1.jpg').read_bytes())
    assert same_pictures([a, str(twin)], [b, c]) == ([(str(twin), b)], 2)
    assert same_pictures([a], [a, b]) == ([(a, a)], 1)
    assert same_pictures([a, str(tmp_path / 'gone.jpg')], [b, c]) == ([], 2)
    # Equal ends alone do not make them the same.
    (tmp_path / 'y.jpg').write_bytes(b'1' + 5000 * b'x')
    (tmp_path / 'z.jpg').write_bytes(b'2' + 5000 * b'x')
    assert same_pictures([str(tmp_path / 'y.jpg')], [str(tmp_path / 'z.jpg')])[0] == []
