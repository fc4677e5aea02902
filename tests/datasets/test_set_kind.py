"""Which kind of data set a folder holds."""

import json
import os

import pytest
from PIL import Image

from cream_mm.datasets import set_kind as module
from cream_mm.datasets.set_kind import find_kind, is_box_table, is_yolo_yaml


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp('picture') / 'a.jpg'
    Image.new('RGB', (8, 6)).save(path)
    return path.read_bytes()


@pytest.fixture
def make(tmp_path, picture):
    """Writes files: text, or a picture where there is None."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture if text is None else text.encode())
        return str(tmp_path)

    return write


COCO = json.dumps(dict(images=[], annotations=[], categories=[]))
# Beginnings and ends of large files: an end in the middle of the images.
COCO_CUT = '{"annotations": [{"id": 1, "image_id": 3, "bbox": [1, 2, 3, 4]}' + ' ' * 200_000 + ']}'
VOC = '<annotation><filename>a.jpg</filename></annotation>'
YAML = 'train: images/train\nnc: 1\nnames: [cat]\n'
ROW = '0 0.5 0.5 0.25 0.25\n'
TF_CSV = 'filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,8,6,cat,1,1,4,4\n'
PLAIN_CSV = 'a.jpg,1,1,4,4,cat\nb.jpg,,,,,\n'

SETS = {
    'coco': [
        {'annotations/instances_train2017.json': COCO, 'train2017/a.jpg': None},
        {'train/_annotations.coco.json': COCO, 'train/a.jpg': None},
        {'my set/result.json': COCO, 'my set/images/a.jpg': None},
        {'all.json': COCO_CUT, 'a.jpg': None},
    ],
    'voc': [
        {'VOCdevkit/VOC2007/Annotations/a.xml': VOC, 'VOCdevkit/VOC2007/JPEGImages/a.jpg': None},
        {'train/a.xml': f'<?xml version="1.0"?>\n{VOC}', 'train/a.jpg': None},
        {'a.xml': VOC, 'a.jpg': None},
        {'Annotations/a.xml': '', 'JPEGImages/a.jpg': None},  # damaged, and still of VOC
    ],
    'yolo': [
        {'data.yaml': YAML, 'images/train/a.jpg': None, 'labels/train/a.txt': ''},
        {'sub/data.yaml': YAML, 'sub/train/images/a.jpg': None},
        {'images/a.jpg': None, 'labels/a.txt': f'\n{ROW}'},
        {'a.jpg': None, 'a.txt': ROW, 'classes.txt': 'cat\n'},
        {'obj.data': 'classes = 1\ntrain = data/train.txt\n', 'obj_train_data/a.jpg': None},
        {'labels/a.txt': '0,0.5,0.5,0.25,0.25\r\n', 'images/a.jpg': None},
        {'images/a.jpg': None, 'labels/a.txt': ROW, 'notes.json': '{"categories": []}'},
    ],
    'box_csv': [
        {'train/_annotations.csv': TF_CSV, 'train/a.jpg': None},
        {'boxes.csv': PLAIN_CSV, 'a.jpg': None, 'b.jpg': None},
        {'boxes.csv': PLAIN_CSV.replace(',', ';'), 'images/a.jpg': None},
        {'train.csv': 'ImageID,Source,LabelName,XMin,XMax,YMin,YMax\na,x,/m/1,0,1,0,1\n'},
    ],
    'label_table': [
        {'train.csv': 'image,label\na.jpg,cat\nb.jpg,dog\n', 'images/a.jpg': None},
        {'labels.csv': 'filename,class\na.jpg,cat\nb.jpg,dog\n', 'a.jpg': None, 'b.jpg': None},
        {'train/_classes.csv': 'filename, cat, dog\na.jpg, 1, 0\n', 'train/a.jpg': None},
    ],
    'class_folders': [
        {'train/ant/a.jpg': None, 'train/bee/b.jpg': None, 'val/ant/c.jpg': None},
        {'train/ant/1/a.jpg': None},
        {'ant/a.jpg': None, 'bee/b.jpg': None},
    ],
    'images': [
        {'a.jpg': None},
        {'images/train/a.jpg': None, 'images/val/a.jpg': None},
        {'train2017/a.jpg': None, 'val2017/a.jpg': None, 'notes.txt': 'of 2017'},
        {'all/a.jpg': None, 'labelme.json': '{"shapes": [], "imagePath": "a.jpg"}'},
    ],
}


@pytest.mark.parametrize(
    ('name', 'files'), [(name, files) for name, sets in SETS.items() for files in sets]
)
def test_each_kind_is_known_and_no_other_is_seen(make, name, files):
    kind = find_kind(make(**files))
    assert (kind.name, kind.also) == (name, ())
    sign = kind.evidence.split(': ', 1)[1].split(', ')[0]
    assert any(path.startswith(sign.strip('.')) for path in files), sign


def test_packed_images(make):
    root = make(**{'train/images.npy': 'x', 'train/images.json': '{}'})
    assert find_kind(root) == ('packed', 'packed images: train/images.npy', ())


def test_the_line_for_the_user(make):
    root = make(**{'data.yaml': YAML, 'labels/train/a.txt': ROW, 'images/train/a.jpg': None})
    assert find_kind(root).evidence == 'YOLO: data.yaml, labels/train'


def test_of_several_kinds_the_first_counts_and_the_others_are_told(make):
    root = make(**SETS['voc'][0], **SETS['yolo'][0], **SETS['class_folders'][0])
    kind = find_kind(root)
    assert (kind.name, kind.also) == ('voc', ('yolo', 'class_folders'))
    make(**SETS['coco'][0])
    assert find_kind(root).name == 'coco'


@pytest.mark.parametrize(
    'files',
    [
        {},
        {'a.md': 'text'},
        {'train.json': '[{"image_id": 1, "category_id": 1, "bbox": [], "score": 1}]'},
        {'gt/gt.txt': '1,2,3,4,5,6\n'},  # of tracking: no picture of that name
        {'config.yaml': 'names: [a]\nlr: 1\n'},
        {'log.csv': 'epoch,loss\n1,0.5\n'},
        {'.ipynb_checkpoints/a.xml': VOC, '__MACOSX/b.json': COCO},
    ],
)
def test_nothing_of_any_kind(make, files):
    assert find_kind(make(**files)) is None


def test_no_folder(tmp_path):
    (tmp_path / 'file').touch()
    assert find_kind(tmp_path / 'file') is None
    assert find_kind(tmp_path / 'nowhere') is None


def test_heads_are_data(make, tmp_path):
    """Pipes are not waited for, links in a circle end, text in UTF-16 is read."""
    os.mkfifo(tmp_path / 'a.json')
    (tmp_path / 'circle').symlink_to(tmp_path)
    (tmp_path / 'loop.xml').symlink_to(tmp_path / 'loop.xml')
    (tmp_path / 'b.json').write_bytes(COCO.encode('utf-16'))
    assert find_kind(tmp_path).name == 'coco'


def test_a_large_folder_is_not_listed_to_its_end(make, tmp_path, monkeypatch):
    """A folder of a million images costs no more than some thousand of its entries."""
    listed = []

    class Entries:
        def __init__(self, path):
            self.path = path

        def __enter__(self):
            return self._entries()

        def __exit__(self, *_):
            pass

        def _entries(self):
            for entry in real(self.path):
                listed.append(entry.name)
                yield entry

    make(**{'many/_annotations.csv': TF_CSV}, **{f'many/{i:03}.jpg': '' for i in range(200)})
    real = os.scandir
    monkeypatch.setattr(module, 'MAX_IN_FOLDER', 5)
    monkeypatch.setitem(module._SIGNS, 'label_table', lambda look: [])  # has limits of its own
    monkeypatch.setattr(module.os, 'scandir', Entries)
    kind = find_kind(tmp_path)
    assert len(listed) <= 1 + 6
    assert kind.name == 'box_csv'  # by its name, wherever the system lists it
    listed.clear()
    make(**{f'{i}/{j}.jpg': '' for i in range(20) for j in range(9)})
    monkeypatch.setattr(module, 'MAX_ENTRIES', 30)
    find_kind(tmp_path)
    assert len(listed) < 21 + 30 + 6 + 20


@pytest.mark.parametrize(
    ('text', 'is_boxes'),
    [
        (TF_CSV, True),
        ('image_id\twidth\theight\tbbox\tsource\n', True),
        ('"a b.jpg","1","2","3","4","cat"\n', True),
        ('a.jpg,,,,,\nb.jpg,1,2,3,4,cat\n', True),
        ('filename,class\na.jpg,cat\n', False),
        ('filename, cat, dog\na.jpg, 1, 0\n', False),
        ('a.jpg,cat,1,2,3,4\n' * 3, False),
        ('', False),
    ],
)
def test_tables_of_boxes(text, is_boxes):
    assert is_box_table(text) == is_boxes


def test_yaml_of_yolo():
    assert is_yolo_yaml('# of mine\n"names":\n  0: cat\npath: ../cats\n')
    assert not is_yolo_yaml('model:\n  names: [a]\n  train: 1\n')
