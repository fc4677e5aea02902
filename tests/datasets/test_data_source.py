"""Every kind of set in one form."""

import json

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets.data_source import open_source


def picture(path, seed=0, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def coco(images, boxes, names):
    return dict(
        images=[dict(id=i, file_name=n, width=64, height=48) for i, n in enumerate(images)],
        annotations=[
            dict(id=j + 1, image_id=i, category_id=k, bbox=b, area=b[2] * b[3], iscrowd=0)
            for j, (i, k, b) in enumerate(boxes)
        ],
        categories=[dict(id=k, name=n) for k, n in enumerate(names)],
    )


def test_class_folders(tmp_path):
    for name in ('train/ant/1.png', 'train/bee/2.png', 'train/bee/3.png', 'valid/bee/4.png'):
        picture(tmp_path / name)
    (tmp_path / 'train/bee/x.txt').write_text('')
    source = open_source(tmp_path)
    assert (source.kind, source.classes) == ('class_folders', ['ant', 'bee'])
    assert {s: [(p.name, p.labels) for p in ps] for s, ps in source.splits.items()} == {
        'train': [
            ('train/ant/1.png', (0,)), ('train/bee/2.png', (1,)), ('train/bee/3.png', (1,)),
        ],
        'val': [('valid/bee/4.png', (1,))],
    }  # fmt: skip
    assert len(source.notes) == 1 and '1 .txt' in source.notes[0]
    assert source.errors == [] and not source.has_boxes and not source.is_multi


def test_class_folders_without_splits(tmp_path):
    for name in ('ant/1.png', 'bee/2.png'):
        picture(tmp_path / name)
    source = open_source(tmp_path)
    assert [p.name for p in source.splits['all']] == ['ant/1.png', 'bee/2.png']


def test_classes_that_only_val_has_are_an_error_and_counted(tmp_path):
    for name in ('train/ant/1.png', 'train/bee/2.png', 'val/Ant/3.png'):
        picture(tmp_path / name)
    (tmp_path / 'train/empty').mkdir()
    source = open_source(tmp_path)
    assert source.classes == ['ant', 'bee', 'empty', 'Ant']
    assert source.splits['val'][0].labels == (3,)
    no_image, case = source.errors
    assert 'no image in' in no_image and 'empty' in no_image
    assert 'has not: Ant' in case


def test_coco(tmp_path):
    for name in ('train2017/a.png', 'train2017/b.png', 'val2017/a.png'):
        picture(tmp_path / name)
    (tmp_path / 'annotations').mkdir()
    first = coco(['a.png', 'b.png'], [(0, 1, [1, 2, 30, 20]), (0, 0, [5, 5, 9, 9])], ['ox', 'yak'])
    second = coco(['a.png'], [(0, 0, [0, 0, 10, 10])], ['yak', 'ox'])
    for split, content in (('train', first), ('val', second)):
        path = tmp_path / f'annotations/instances_{split}2017.json'
        path.write_text(json.dumps(content))
    source = open_source(tmp_path)
    assert (source.kind, source.classes, source.has_boxes) == ('coco', ['ox', 'yak'], True)
    a, b = source.splits['train']
    assert (a.name, a.labels, b.boxes) == ('train2017/a.png', (1, 0), ())
    assert tuple(a.boxes[0]) == (1, 1, 2, 30, 20, False)
    assert source.splits['val'][0].labels == (1,)  # by name, not by place


def test_a_table_of_labels(tmp_path):
    for name in ('images/a.png', 'images/b.png', 'images/c.png'):
        picture(tmp_path / name)
    (tmp_path / 'labels.csv').write_text('file,labels\na.png,red|round\nb.png,red\nc.png,round\n')
    source = open_source(tmp_path)
    assert (source.kind, source.is_multi) == ('label_table', True)
    assert [p.labels for p in source.splits['all']] == [(0, 1), (0,), (1,)]


def test_voc_and_yolo(tmp_path):
    picture(tmp_path / 'voc/JPEGImages/a.png')
    (tmp_path / 'voc/Annotations').mkdir()
    (tmp_path / 'voc/Annotations/a.xml').write_text(
        '<annotation><filename>a.png</filename><object><name>ox</name><bndbox><xmin>11</xmin>'
        '<ymin>6</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>'
    )
    voc = open_source(tmp_path / 'voc')
    assert voc.kind == 'voc' and voc.classes == ['ox']
    assert [box[:3] for p in voc.pictures for box in p.boxes] == [(0, 10, 5)]
    picture(tmp_path / 'yolo/images/train/a.png')
    (tmp_path / 'yolo/labels/train').mkdir(parents=True)
    (tmp_path / 'yolo/labels/train/a.txt').write_text('0 0.5 0.5 0.25 0.5\n')
    (tmp_path / 'yolo/data.yaml').write_text('train: images/train\nnc: 1\nnames: [ox]\n')
    yolo = open_source(tmp_path / 'yolo')
    assert yolo.kind == 'yolo'
    assert [tuple(b[:5]) for p in yolo.pictures for b in p.boxes] == [(0, 24, 12, 16, 24)]


def test_a_csv_of_boxes(tmp_path):
    picture(tmp_path / 'images/a.png')
    (tmp_path / 'boxes.csv').write_text(
        'filename,width,height,class,xmin,ymin,xmax,ymax\na.png,64,48,ox,10,5,30,40\n'
    )
    source = open_source(tmp_path)
    assert (source.kind, source.classes) == ('box_csv', ['ox'])
    assert [tuple(b[:5]) for p in source.pictures for b in p.boxes] == [(0, 10, 5, 20, 35)]


def test_images_alone_and_another_kind_as_asked_for(tmp_path):
    for name in ('train/ant/1.png', 'train/bee/2.png'):
        picture(tmp_path / name)
    source = open_source(tmp_path, 'images')
    assert source.classes == [] and len(source.splits['train']) == 2
    assert source.evidence == 'images, as asked for'


@pytest.mark.parametrize(
    ('name', 'kind', 'error', 'message'),
    [
        ('gone', None, FileNotFoundError, 'is not there'),
        ('file', None, FileNotFoundError, 'is a file, not a folder'),
        ('empty', None, FileNotFoundError, 'holds no images'),
        ('empty', 'dice', ValueError, "got 'dice'"),
    ],
)
def test_what_is_no_set(tmp_path, name, kind, error, message):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(error, match=message):
        open_source(tmp_path / name, kind)
