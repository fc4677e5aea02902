"""YOLO sets as tools lay them out: every form gives the same images, boxes and classes."""

import os

import pytest
from PIL import Image

from cream_mm.datasets.set_kind import find_kind
from cream_mm.datasets.yolo_file import read_yolo

SIZES = {'a': (40, 20), 'b': (30, 60), 'c': (20, 20), 'd': (10, 50)}
ROWS = {
    'a': '0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.1 0.4\n',
    'b': '1 0.5 0.25 0.2 0.1\n',
    'c': '0 0.5 0.5 1 1\n',
    'd': '0 0.5 0.5 0.2 0.2\n',
}
# Left, top, width, height in pixels, reckoned by hand.
BOXES = {
    'a': [(0, 10, 5, 20, 10), (1, 8, 6, 4, 8)],
    'b': [(1, 12, 12, 6, 6)],
    'c': [(0, 0, 0, 20, 20)],
    'd': [(0, 4, 20, 2, 10)],
}
YAML = 'train: {}\nval: {}\nnames: [ant, bee]\n'


@pytest.fixture
def make(tmp_path):
    """Writes a set: a picture where a name ends as one, else a text or the label file of a name."""

    def write(*names, **texts):
        for name in (*names, *texts):
            path = tmp_path / 'set' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            stem, extension = os.path.splitext(os.path.basename(name))
            if name in texts:
                text = texts[name]
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            elif extension == '.txt':
                path.write_text(ROWS[stem])
            else:
                Image.new('RGB', SIZES[stem], (9, 99, 200)).save(path)
        return str(tmp_path / 'set')

    return write


def boxes_of(images):
    return {
        os.path.splitext(os.path.basename(image.path))[0]: [
            (box.label, *(round(value, 6) for value in box[1:5])) for box in image.boxes
        ]
        for image in images
    }


def check(box_set, **splits):
    assert box_set.classes == ['ant', 'bee']
    assert {split: boxes_of(images) for split, images in box_set.splits.items()} == {
        split: {stem: BOXES[stem] for stem in stems} for split, stems in splits.items()
    }
    for image in (image for images in box_set.splits.values() for image in images):
        assert os.path.isfile(os.path.join(box_set.root, image.path))
        stem = os.path.splitext(os.path.basename(image.path))[0]
        assert (image.width, image.height) == SIZES[stem]


# ---- D19: layouts --------------------------------------------------------------------------------

IMAGES_TRAIN = ['images/train/a.png', 'images/train/b.png', 'images/val/c.png', 'images/val/d.png']
LABELS_TRAIN = ['labels/train/a.txt', 'labels/train/b.txt', 'labels/val/c.txt', 'labels/val/d.txt']
TRAIN_IMAGES = ['train/images/a.png', 'train/images/b.png', 'valid/images/c.png']
TRAIN_LABELS = ['train/labels/a.txt', 'train/labels/b.txt', 'valid/labels/c.txt']
CLASSES = {'classes.txt': 'ant\nbee\n'}
DARKNET = {
    'obj.data': 'classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n',
    'obj.names': 'ant\nbee\n',
    'train.txt': 'data/obj_train_data/a.png\ndata/obj_train_data/b.png\n',
}


@pytest.mark.parametrize(
    ('names', 'texts', 'splits', 'layout'),
    [
        (
            IMAGES_TRAIN + LABELS_TRAIN,
            {'data.yaml': YAML.format('images/train', 'images/val')},
            dict(train='ab', val='cd'),
            'by data.yaml: train: 2 images in images/train, 2 label files in labels/train; val: 2 '
            'images in images/val, 2 label files in labels/val',
        ),
        (
            IMAGES_TRAIN + LABELS_TRAIN,
            CLASSES,
            dict(train='ab', val='cd'),
            'by its folders: train: 2 images in images/train',
        ),
        (
            TRAIN_IMAGES + TRAIN_LABELS,
            {'data.yaml': YAML.format('../train/images', '../valid/images')},
            dict(train='ab', val='c'),
            'train: 2 images in train/images, 2 label files in train/labels',
        ),
        (
            TRAIN_IMAGES + TRAIN_LABELS,
            {'train/_darknet.labels': 'ant\nbee\n', 'valid/_darknet.labels': 'ant\nbee'},
            dict(train='ab', val='c'),
            'by its folders',
        ),
        (
            ['a.png', 'a.txt', 'b.png', 'b.txt'],
            CLASSES,
            dict(all='ab'),
            'all: 2 images in ., 2 label files beside them',
        ),
        (
            ['images/a.png', 'labels/a.txt', 'images/b.png', 'labels/b.txt'],
            {'notes.json': '{"categories": [{"id": 0, "name": "ant"}, {"id": 1, "name": "bee"}]}'},
            dict(all='ab'),
            'all: 2 images in images, 2 label files in labels',
        ),
        (
            ['train/a.png', 'train/a.txt', 'train/b.png', 'train/b.txt', 'test/c.png',
             'test/c.txt'],
            {'train/classes.txt': 'ant\nbee\n', 'test/classes.txt': 'ant\nbee\n'},
            dict(train='ab', test='c'),
            'label files beside them',
        ),
        (
            ['train/a.png', 'labels/train/a.txt', 'val/c.png', 'labels/val/c.txt'],
            {'labels/classes.txt': 'ant\nbee\n'},
            dict(train='a', val='c'),
            'train: 1 images in train, 1 label files in labels/train',
        ),
        (
            ['obj_train_data/a.png', 'obj_train_data/a.txt', 'obj_train_data/b.png',
             'obj_train_data/b.txt'],
            DARKNET,
            dict(train='ab'),
            'by obj.data: train: 2 images in obj_train_data, 2 label files beside them',
        ),
        (
            ['images/old/images/a.png', 'images/old/labels/a.txt', 'images/old/labels/b.txt',
             'images/old/images/b.png'],
            CLASSES,
            dict(all='ab'),
            'in images/old/labels',
        ),
        (
            ['images_new/a.png', 'images_new/a.txt'],
            {**CLASSES, 'labels_new/a.txt': '1 0.5 0.5 0.1 0.1\n'},
            dict(all='a'),
            'in images_new, 1 label files beside them',
        ),
        (
            ['JPEGImages/a.png', 'labels/a.txt', 'masks/b.png'],
            CLASSES,
            dict(all='a'),
            'in JPEGImages',
        ),
        (
            ['Images/Train/a.png', 'Labels/Train/a.txt', 'Images/Val/c.png', 'Labels/Val/c.txt'],
            CLASSES,
            dict(train='a', val='c'),
            'in Labels/Train',
        ),
        (
            ['my set/images/train2017/a.png', 'my set/labels/train2017/a.txt'],
            {'my set/classes.txt': 'ant\nbee\n'},
            dict(train='a'),
            'in my set/labels/train2017',
        ),
        (
            ['images/a.png', 'images/b.png', 'images/c.png', 'labels/a.txt', 'labels/b.txt',
             'labels/c.txt'],
            {
                **CLASSES,
                'train.txt': './images/a.png\r\nimages/b.png\r\n\r\n',
                'val.txt': 'images\\c.png',
            },
            dict(train='ab', val='c'),
            'by its folders',
        ),
    ],
)  # fmt: skip
def test_layouts(make, names, texts, splits, layout):
    root = make(*names, **texts)
    assert find_kind(root).name == 'yolo'
    box_set = read_yolo(root)
    assert box_set.root == root
    check(box_set, **splits)
    assert layout in box_set.notes[0]


def test_the_yaml_by_its_own_name_and_images_outside(make, tmp_path):
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN)
    path = tmp_path / 'cfg/mine.yaml'
    path.parent.mkdir()
    path.write_text(f'path: {root}\n' + YAML.format('images/train', 'images/val'))
    box_set = read_yolo(path)
    check(box_set, train='ab', val='cd')
    assert box_set.root == os.path.join(root, 'images')
    path.write_text('path: ../set\n' + YAML.format('images/train', '[images/val]'))
    check(read_yolo(path), train='ab', val='cd')


def test_a_file_that_lists_its_images(make, tmp_path):
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **{
        'data.yaml': YAML.format('lists/train.txt', 'lists/val.txt'),
        'lists/train.txt': '../images/train/a.png\n/somewhere/set/images/train/b.png\n',
        'lists/val.txt': f'{tmp_path}/set/images/val/c.png\nimages/val/d.png\nimages/val/d.png\n',
    })  # fmt: skip
    box_set = read_yolo(root)
    check(box_set, train='ab', val='cd')
    assert any('found by the end of their path (/somewhere/' in line for line in box_set.notes)
    assert any('names twice: 1, taken once' in line for line in box_set.notes)
    make(**{'lists/val.txt': 'images/val/c.png\nimages/val/x.png\n'})
    with pytest.raises(ValueError, match='val.txt: 1 of the 2 images .* are not below .*x.png'):
        read_yolo(root)


def test_several_files_that_describe_a_set(make):
    yaml = YAML.format('images/train', 'images/val')
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **{'x.yaml': yaml, 'y.yaml': yaml})
    with pytest.raises(ValueError, match='several files that describe a set: .*x.yaml, .*y.yaml'):
        read_yolo(root)
    make(**{'data.yaml': yaml})
    check(read_yolo(root), train='ab', val='cd')


def test_train_and_val_are_the_same(make):
    """As in the examples of Ultralytics; nobody could tell what is learned."""
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **{
        'data.yaml': YAML.format('images/train', 'images/train')
    })  # fmt: skip
    box_set = read_yolo(root)
    check(box_set, all='ab')
    assert any('taken as a set without a split' in line for line in box_set.notes)


def test_a_test_set_that_is_not_there_or_has_no_labels(make):
    yaml = YAML.format('images/train', 'images/val') + 'test: ../test/images\n'
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **{'data.yaml': yaml})
    box_set = read_yolo(root)
    check(box_set, train='ab', val='cd')
    assert any('there is no ../test/images' in line for line in box_set.notes)
    make('test/images/a.png')
    box_set = read_yolo(root)
    check(box_set, train='ab', val='cd')
    assert any('test has no label file' in line for line in box_set.notes)
    make('test/labels/a.txt')
    check(read_yolo(root), train='ab', val='cd', test='a')


def test_a_validation_set_that_is_not_there(make):
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **{'data.yaml': YAML.format('images/train', 'v/x')})
    said = 'data.yaml: there is no v/x. Tried: .*/set/v/x.* remove the line'
    with pytest.raises(FileNotFoundError, match=said):
        read_yolo(root)


# ---- D13: empty and missing label files ----------------------------------------------------------


def test_few_are_empty_or_missing(make):
    names = [f'images/{n}{extension}' for n in 'abcd' for extension in ('.png',)]
    root = make(*names, 'labels/a.txt', **CLASSES, **{'labels/b.txt': '\n', 'labels/c.txt': ''})
    box_set = read_yolo(root)
    assert boxes_of(box_set.splits['all']) == dict(a=BOXES['a'], b=[], c=[], d=[])
    assert f'{root}: images without a label file: 1, taken as background (images/d.png)' in (
        box_set.notes
    )
    assert f'{root}: empty label files: 2, taken as background (labels/b.txt, labels/c.txt)' in (
        box_set.notes
    )


def test_all_are_missing(make):
    root = make('images/a.png', 'images/b.png', 'texts/a.txt', 'texts/b.txt', **CLASSES)
    with pytest.raises(ValueError, match='2 of 2 images of all have no label file') as caught:
        read_yolo(root)
    message = str(caught.value)
    assert f'Looked in {root}/labels' in message
    assert f'one of that name in {root}/texts' in message


def test_all_are_empty(make):
    """As CVAT writes of polygons and masks."""
    root = make('a.png', 'b.png', **CLASSES, **{'a.txt': '', 'b.txt': '\n'})
    with pytest.raises(ValueError, match='no label file of all has a row. CVAT'):
        read_yolo(root)


def test_label_files_without_an_image(make):
    root = make('images/a.png', 'labels/a.txt', 'labels/b.txt', **{
        'labels/classes.txt': 'ant\nbee\n', 'labels/train.txt': 'images/a.png\n'
    })  # fmt: skip
    box_set = read_yolo(root)
    check(box_set, all='a')
    assert f'{root}: label files without an image of the set: 1, passed over (labels/b.txt)' in (
        box_set.notes
    )


def test_two_images_of_one_name(make):
    root = make('images/a.png', 'images/a.bmp', 'labels/a.txt', **CLASSES)
    box_set = read_yolo(root)
    assert [image.boxes for image in box_set.splits['all']] == [box_set.splits['all'][0].boxes] * 2
    assert any('label files of two images: 1' in line for line in box_set.notes)


def test_an_image_that_cannot_be_read(make):
    root = make('a.png', 'a.txt', 'b.txt', **CLASSES, **{'b.png': 'no image'})
    box_set = read_yolo(root)
    check(box_set, all='a')
    assert f'{root}: images that cannot be read: 1, left out (b.png)' in box_set.notes


def test_an_image_that_lies_on_its_side(make, tmp_path):
    """Shares are of the image as it is looked at."""
    root = make('a.png', 'a.txt', **CLASSES)
    image = Image.new('RGB', SIZES['a'][::-1])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / 'set/a.jpg', exif=exif)
    os.remove(tmp_path / 'set/a.png')
    check(read_yolo(root), all='a')


# ---- class names ---------------------------------------------------------------------------------


def test_no_names(make):
    root = make('images/a.png', 'labels/a.txt')
    with pytest.raises(ValueError, match=r'nothing says .* Write .*set/classes.txt: one name on'):
        read_yolo(root)
    make('train/images/a.png', 'train/labels/a.txt', **{'data.yaml': YAML.format('train', 'val')})
    with pytest.raises(ValueError, match='set/data.yaml describes a set: give its folder'):
        read_yolo(os.path.join(root, 'train'))


def test_names_that_contradict_each_other(make):
    yaml = YAML.format('images/train', 'images/val')
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **{'data.yaml': yaml})
    make(**{'labels/classes.txt': 'bee\nant\n'})
    with pytest.raises(ValueError, match='classes.txt lists the same classes in another order'):
        read_yolo(root)
    make(**{'labels/classes.txt': 'dog\nperson\nant\nbee\n'})  # those that labelImg begins with
    box_set = read_yolo(root)
    check(box_set, train='ab', val='cd')
    assert any('classes.txt lists other classes than data.yaml' in line for line in box_set.notes)
    os.remove(os.path.join(root, 'data.yaml'))
    make(**{'labels/train/classes.txt': 'ant\nbee\n'})
    with pytest.raises(ValueError, match='lists other classes than'):
        read_yolo(root)


def test_names_that_differ_in_case(make):
    root = make('a.png', 'a.txt', **{'classes.txt': 'Dog\ndog\n'})
    with pytest.raises(ValueError, match=r"'Dog' \(1 boxes\), 'dog' \(1 boxes\) differ in case"):
        read_yolo(root)
    make(**{'classes.txt': 'Dog\nbee\ndog\n'})
    box_set = read_yolo(root)
    assert f'{root}: classes without a box: 1 (dog)' in box_set.notes


def test_a_class_beyond_the_last_in_any_file(make):
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **CLASSES)
    make(**{'labels/val/d.txt': '2 0.5 0.5 0.2 0.2\n'})
    with pytest.raises(ValueError, match='labels/val/d.txt, line 1: the class is 2') as caught:
        read_yolo(root)
    assert '1-based' not in str(caught.value)
    for name in LABELS_TRAIN:
        make(**{name: '1 0.5 0.5 0.2 0.2\n'})
    make(**{'labels/val/d.txt': '2 0.5 0.5 0.2 0.2\n'})
    with pytest.raises(ValueError, match='looks 1-based: 2 occurs, and 0 never does'):
        read_yolo(root)


def test_what_is_no_set(make, tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder or file'):
        read_yolo(tmp_path / 'nowhere')
    root = make(**CLASSES)
    with pytest.raises(ValueError, match='no image to train on'):
        read_yolo(root)


def test_lines_name_places_below_the_set(make):
    root = make('a.png', **CLASSES, **{'a.txt': ROWS['a'] * 2 + '0,0.5,0.5,0.1,0.1\n'})
    assert read_yolo(root).notes[1:] == [
        f'{root}: rows whose values commas separate: 1, read so (a.txt, line 5)',
        f'{root}: rows that stand twice: 2, taken once (a.txt, line 3, a.txt, line 4)',
    ]


def test_label_files_that_cannot_be_read_are_told_together(make):
    root = make(*IMAGES_TRAIN, *LABELS_TRAIN, **CLASSES)
    bad = {LABELS_TRAIN[0]: '0 0.5 x 0.2 0.2\n', LABELS_TRAIN[1]: '0 0.5\n'}
    make(**bad)
    with pytest.raises(ValueError, match='^2 label files cannot be read:\n') as caught:
        read_yolo(root)
    assert all(f'{name}, line 1' in str(caught.value) for name in bad)
