"""Which image an XML file is of, and which split that belongs to."""

import pytest

from cream_mm.datasets.voc_layout import (
    Lists,
    by_folders,
    find_pictures_of_voc,
    listed_classes,
    pair,
    split_named,
)


def write(root, **files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def touch(root, *names):
    write(root, **dict.fromkeys(names, ''))


@pytest.mark.parametrize(
    ('file', 'name', 'images', 'expected'),
    [
        ('Annotations/a.xml', 'a.jpg', ['JPEGImages/a.jpg'], 'JPEGImages/a.jpg'),
        ('Annotations/a.xml', 'a.jpg', ['JPEGImages/a.PNG'], 'JPEGImages/a.PNG'),
        ('Annotations/a.xml', 'a', ['JPEGImages/a.bmp'], 'JPEGImages/a.bmp'),
        ('Annotations/a.xml', 'b.jpg', ['x/a.jpg', 'x/b.jpg'], 'x/a.jpg'),  # by its stem
        ('Annotations/a.xml', 'C:\\x\\b.jpg', ['x/b.jpg'], 'x/b.jpg'),  # else by what it names
        ('Annotations/a.xml', None, ['x/b.jpg'], None),
        ('a.xml', 'a..jpg', ['a..jpg'], 'a..jpg'),
        ('a..xml', None, ['a.jpg'], 'a.jpg'),
        ('a.jpg.xml', None, ['a.jpg', 'a.b.jpg'], 'a.jpg'),
        ('v1.2.xml', None, ['v1.2.jpg', 'v1.jpg'], 'v1.2.jpg'),
        ('A.xml', None, ['a.jpg'], 'a.jpg'),
        ('A.xml', None, ['a.jpg', 'A.jpg'], 'A.jpg'),
        ('a.xml', 'a.png', ['a.jpg', 'a.png'], 'a.png'),
        ('x/a.xml', None, ['x/a.jpg', 'y/a.jpg'], 'x/a.jpg'),
        ('xml/val/a.xml', None, ['jpg/train/a.jpg', 'jpg/val/a.jpg'], 'jpg/val/a.jpg'),
        ('V12/Annotations/a.xml', None, ['V07/img/a.jpg', 'V12/img/a.jpg'], 'V12/img/a.jpg'),
        ('Cafe\u0301.xml', None, ['Caf\u00e9.jpg'], 'Caf\u00e9.jpg'),
    ],
)
def test_the_image_of_a_file(file, name, images, expected):
    found, lacking, unpaired = pair({file: name}, images)
    assert found == ({file: expected} if expected else {})
    assert lacking == ([] if expected else [file])
    assert unpaired == [image for image in images if image != expected]


def test_an_image_of_another_split_does_not_stand_in():
    files = {'train/a.xml': 'a.jpg', 'valid/a.xml': 'a.jpg'}
    found, lacking, _ = pair(files, ['valid/a.jpg'])
    assert found == {'valid/a.xml': 'valid/a.jpg'}
    assert lacking == ['train/a.xml']


def test_what_is_not_plain_is_refused():
    with pytest.raises(ValueError, match=r'a\.xml may be of a\.jpg or a\.png: write the name into'):
        pair({'a.xml': None}, ['a.jpg', 'a.png'])
    with pytest.raises(
        ValueError, match=r'x/a\.jpg has several annotation files: old/a\.xml, new/'
    ):
        pair({'old/a.xml': None, 'new/a.xml': None}, ['x/a.jpg'])


def test_drawn_masks_are_no_photographs(tmp_path):
    touch(
        tmp_path, 'JPEGImages/a.jpg', 'SegmentationClass/a.png', 'SegmentationObject/a.png',
        'AnnotationsVisualization/a.jpg', 'masks/a.png', 'a.txt', '.x/a.jpg',
    )  # fmt: skip
    assert find_pictures_of_voc(str(tmp_path)) == ['JPEGImages/a.jpg']


def test_names_of_splits():
    names = [
        'TRAIN',
        'valid',
        'test_list',
        'train2012',
        'val_images',
        'trainval',
        'VOCtest',
        'eval',
    ]
    found = [split_named(name) for name in names]
    assert found == ['train', 'val', 'test', 'train', 'val', 'trainval', None, 'val']
    others = ('cat_train', 'default', 'trains', 'VOCtest', 'train_val', '2007', '')
    assert not any(map(split_named, others))


IMAGES = [f'JPEGImages/{name}.jpg' for name in ('a', 'b 1', 'c', 'd.2')]


def test_lists_in_many_hands(tmp_path):
    main = 'ImageSets/Main'
    write(tmp_path, **{
        f'{main}/train.txt': '\ufeffa\r\n\r\nb 1\r\n',
        f'{main}/val.txt': 'c.jpg  1\nd.2 -1\n\n',
        f'{main}/cat_train.txt': 'c 1\n',
        'ImageSets/Layout/train.txt': 'c\n',
        'train.txt': 'c\n',
    })  # fmt: skip
    lists = Lists(str(tmp_path))
    assert lists.places == {'': {'train': f'{main}/train.txt', 'val': f'{main}/val.txt'}}
    splits, unknown, rest = lists.take(IMAGES)
    assert splits == {'train': IMAGES[:2], 'val': IMAGES[2:]}
    assert unknown == rest == []


def test_lists_of_paths_and_pairs(tmp_path):
    write(tmp_path, **{
        'train_list.txt': './JPEGImages/a.jpg ./Annotations/a.xml\n/home/me/JPEGImages/b 1.jpg\n',
        'val_list.txt': 'JPEGImages\\c.jpg\nx\n',
    })  # fmt: skip
    splits, unknown, rest = Lists(str(tmp_path)).take(IMAGES)
    assert splits == {'train': IMAGES[:2], 'val': IMAGES[2:3]}
    assert unknown == ['val_list.txt, line 2: x']
    assert rest == IMAGES[3:]


@pytest.mark.parametrize(
    ('lists', 'expected'),
    [
        (dict(trainval='abcd', val='cd'), dict(train='ab', val='cd')),
        (dict(trainval='abc', test='d'), dict(train='abc', test='d')),
        (dict(train='a', trainval='abc', val='bc', test='d'), dict(train='a', val='bc', test='d')),
        (dict(val='b'), dict(train='acd', val='b')),
        (dict(train='ab'), dict(train='ab')),
    ],
)
def test_lists_that_are_there(tmp_path, lists, expected):
    write(tmp_path, **{f'ImageSets/Main/{n}.txt': '\n'.join(v) for n, v in lists.items()})
    splits, _, _ = Lists(str(tmp_path)).take([f'{name}.jpg' for name in 'abcd'])
    assert {n: ''.join(i[0] for i in images) for n, images in splits.items()} == expected


def test_lists_of_two_years(tmp_path):
    write(tmp_path, **{
        'VOC2007/ImageSets/Main/train.txt': 'a\n',
        'VOC2007/ImageSets/Main/test.txt': 'b\n',
        'VOC2012/ImageSets/Main/train.txt': 'b\n',
        'VOC2012/ImageSets/Main/val.txt': 'a\n',
    })  # fmt: skip
    images = [f'VOC{year}/JPEGImages/{name}.jpg' for year in (2007, 2012) for name in 'ab']
    splits, _, rest = Lists(str(tmp_path)).take([*images, 'loose.jpg'])
    assert splits == {
        'train': [images[0], images[3]],
        'val': [images[2]],
        'test': [images[1]],
    }
    assert rest == ['loose.jpg']


def test_a_name_in_a_list_that_may_be_two_images(tmp_path):
    write(tmp_path, **{'train.txt': 'x/a.jpg\n'})
    images = ['x/a.jpg', 'y/a.jpg']
    assert Lists(str(tmp_path)).take(images)[0] == {'train': ['x/a.jpg']}
    write(tmp_path, **{'train.txt': 'x/a.jpg\na\n'})
    with pytest.raises(ValueError, match=r'train\.txt, line 2: a may be x/a\.jpg or y/a\.jpg'):
        Lists(str(tmp_path)).take(images)


def test_folders_of_splits():
    split = by_folders({'train/a.jpg': 'train/a.xml', 'x/b.jpg': 'Valid/b.xml', 'c.jpg': 'c.xml'})
    assert split == ({'train': ['train/a.jpg'], 'val': ['x/b.jpg']}, ['c.jpg'])
    assert by_folders({'a.jpg': 'a.xml'}) == ({}, ['a.jpg'])
    split = by_folders({'images/a.jpg': 'images/a.xml', 'test/b.jpg': 'test/b.xml'})
    assert split == ({'test': ['test/b.jpg'], 'train': ['images/a.jpg']}, [])


def test_files_of_class_names(tmp_path):
    assert listed_classes(str(tmp_path), ()) is None
    write(tmp_path, **{'y/labels.txt': '\ufeffdog\r\n\r\n cat \r\n'})
    assert listed_classes(str(tmp_path), ()) is None
    assert listed_classes(str(tmp_path), ['y']) == (f'{tmp_path}/y/labels.txt', ['dog', 'cat'])
    write(tmp_path, **{'labelmap.txt': '# label:color_rgb:parts:actions\nant:0,0,0::\nbee:1,1,1::'})
    assert listed_classes(str(tmp_path), ['y']) == (f'{tmp_path}/labelmap.txt', ['ant', 'bee'])
    write(tmp_path, **{'classes.txt': 'a\nb\na\n'})
    with pytest.raises(ValueError, match=r"classes\.txt has the class 'a' twice"):
        listed_classes(str(tmp_path), ())
