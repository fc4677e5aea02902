"""Tables of boxes as tools write them: every form gives the same images, boxes and classes."""

import os

import pytest
from PIL import Image

from cream_mm.datasets.box_csv import read_box_csv
from cream_mm.datasets.set_kind import find_kind

SIZES = {'a': (40, 20), 'b': (30, 60), 'c': (20, 20)}
# Left, top, width, height; of b there are two.
BOXES = {'a': [('ant', 4, 2, 20.5, 10)], 'b': [('bee', 0, 30, 30, 30), ('ant', 3, 6, 9, 12)]}


@pytest.fixture
def make(tmp_path):
    def write(*names, **texts):
        for name in (*names, *texts):
            path = tmp_path / 'set' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in texts:
                text = texts[name]
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            else:
                stem = os.path.splitext(path.name)[0].split()[-1]
                Image.new('RGB', SIZES[stem], (9, 99, 200)).save(path)
        return str(tmp_path / 'set')

    return write


def boxes_of(box_set, split='all'):
    return {
        os.path.splitext(os.path.basename(image.path))[0]: [
            (box_set.classes[box.label], *(round(v, 6) for v in box[1:5])) for box in image.boxes
        ]
        for image in box_set.splits[split]
    }


HEADER = 'filename,width,height,class,xmin,ymin,xmax,ymax\n'
TENSORFLOW = HEADER + (
    'a.png,40,20,ant,4,2,24.5,12\nb.png,30,60,bee,0,30,30,60\nb.png,30,60,ant,3,6,12,18\n'
)
RETINANET = 'a.png,4,2,24.5,12,ant\nb.png,0,30,30,60,bee\nb.png,3,6,12,18,ant\n'
# Shares of 40 x 20 and 30 x 60.
OPEN_IMAGES = (
    'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf\n'
    'a,x,/m/1,1,0.1,0.6125,0.1,0.6,0,0\nb,x,/m/2,1,0,1,0.5,1,0,1\nb,x,/m/1,1,0.1,0.4,0.1,0.3,0,0\n'
)
SIZED = 'image_id,x,y,w,h,label\na,4,2,20.5,10,ant\nb,0,30,30,30,bee\nb,3,6,9,12,ant\n'
CENTRES = (
    'path,x_center,y_center,width,height,label\n'
    'a.png,14.25,7,20.5,10,ant\nb.png,15,45,30,30,bee\nb.png,7.5,12,9,12,ant\n'
)
CELL = (
    'image_id,width,height,bbox,class\n'
    'a,40,20,"[4.0, 2.0, 20.5, 10.0]",ant\nb,30,60,"[0, 30, 30, 30]",bee\n'
    'b,30,60,"[3, 6, 9, 12]",ant\n'
)


@pytest.mark.parametrize(
    'texts',
    [
        {'boxes.csv': TENSORFLOW},
        {'boxes.csv': TENSORFLOW.replace(',', ';').replace('\n', '\r\n')},
        {'boxes.tsv': TENSORFLOW.replace(',', '\t')},
        {'boxes.csv': '\ufeff' + TENSORFLOW},
        {'boxes.csv': TENSORFLOW.encode('utf-16')},
        {'boxes.csv': ''.join(f'"{line}"\n' for line in TENSORFLOW.replace(',', '","').split())},
        {'boxes.csv': TENSORFLOW.replace(',', ' , ')},
        {'boxes.csv': RETINANET},
        {'boxes.csv': RETINANET, 'classes.csv': 'ant,0\nbee,1\n'},
        {'boxes.csv': OPEN_IMAGES, 'class-descriptions.csv': '/m/1,ant\n/m/2,bee\n/m/3,cat\n'},
        {'boxes.csv': SIZED},
        {'boxes.csv': CENTRES},
        {'boxes.csv': CELL},
        {'labels/boxes.csv': RETINANET.replace('a.png', r'C:\data\images\a.png')},
    ],
)
def test_forms(make, texts):
    root = make('images/a.png', 'images/b.png', **texts)
    assert find_kind(root).name == 'box_csv'
    box_set = read_box_csv(root)
    assert box_set.classes == ['ant', 'bee']
    assert boxes_of(box_set) == BOXES
    assert [(i.path, i.width, i.height) for i in box_set.splits['all']] == [
        ('images/a.png', 40, 20), ('images/b.png', 30, 60),
    ]  # fmt: skip
    assert 'all: 2 images, 3 boxes' in box_set.notes[0]


def test_groups_of_open_images_are_crowds(make):
    box_set = read_box_csv(make('a.png', 'b.png', **{'boxes.csv': OPEN_IMAGES}))
    crowds = {b.label: b.is_crowd for i in box_set.splits['all'] for b in i.boxes}
    assert crowds == {0: False, 1: True}
    assert box_set.classes == ['/m/1', '/m/2']
    assert any('in shares of the image: 3, multiplied' in line for line in box_set.notes)


def test_classes_go_by_their_file(make):
    root = make('a.png', 'b.png', **{'boxes.csv': RETINANET, 'classes.csv': 'bee,0\nant,1\n'})
    box_set = read_box_csv(root)
    assert box_set.classes == ['bee', 'ant']
    assert boxes_of(box_set) == BOXES
    make(**{'classes.csv': 'bee,0\ncat,1\n'})
    with pytest.raises(ValueError, match='its file of classes has not ant; it has bee, cat'):
        read_box_csv(root)


@pytest.mark.parametrize(
    ('train', 'val'),
    [
        ('train/_annotations.csv', 'valid/_annotations.csv'),
        ('train.csv', 'val.csv'),
        ('data/train_labels.csv', 'data/test_labels.csv'),
        ('oidv6-train-annotations-bbox.csv', 'validation-annotations-bbox.csv'),
    ],
)
def test_a_table_for_each_split(make, train, val):
    row_c = f'{HEADER}c.png,20,20,ant,1,1,5,5\n'
    root = make('train/a.png', 'train/b.png', 'valid/c.png', **{train: TENSORFLOW, val: row_c})
    box_set = read_box_csv(root)
    other = 'test' if 'test' in val else 'val'
    assert boxes_of(box_set, 'train') == BOXES
    assert boxes_of(box_set, other) == dict(c=[('ant', 1, 1, 4, 4)])


def test_splits_that_number_their_images_alike(make):
    root = make('train/a.png', 'valid/a.png', **{
        f'{split}/_annotations.csv': HEADER + 'a.png,40,20,ant,4,2,24,12\n'
        for split in ('train', 'valid')
    })  # fmt: skip
    box_set = read_box_csv(root)
    assert [i.path for s in ('train', 'val') for i in box_set.splits[s]] == [
        'train/a.png', 'valid/a.png',
    ]  # fmt: skip


def test_a_column_of_splits(make):
    text = 'split,file,x1,y1,x2,y2,class\ntrain,a.png,1,1,5,5,ant\nVALID,b.png,1,1,5,5,ant\n'
    root = make('a.png', 'b.png', **{'all.csv': text})
    assert {s: len(images) for s, images in read_box_csv(root).splits.items()} == dict(
        train=1, val=1
    )
    make(**{'all.csv': text.replace('VALID', 'other')})
    with pytest.raises(ValueError, match="all.csv, line 3: 'other' is not train, val or test"):
        read_box_csv(root)


# ---- D31 -----------------------------------------------------------------------------------------


def test_a_row_without_a_box_is_background(make):
    root = make('a.png', 'b.png', 'c.png', **{'boxes.csv': RETINANET + 'c.png,,,,,\n'})
    box_set = read_box_csv(root)
    assert boxes_of(box_set) == {**BOXES, 'c': []}
    assert f'{root}: images without a box: 1, taken as background (c.png)' in box_set.notes
    make(**{'boxes.csv': 'c.png,,,,,\n' + RETINANET})  # also where it is the first row
    assert boxes_of(read_box_csv(root)) == {**BOXES, 'c': []}


@pytest.mark.parametrize(
    ('row', 'why'),
    [
        ('a.png,1,2,3,4,ant,5,6,7,8,bee', 'line 4: 11 fields, not 6. Each row holds one box'),
        ('a.png,1,2,3', 'line 4: 4 fields, not 6'),
        ('a.png,"1 5",2,3,4,ant', "line 4: '1 5, 2, 3, 4' is not the four numbers of a box"),
        ('a.png,1,2,,4,ant', 'line 4: .* is not the four numbers'),
        ('a.png,1,2,nan,4,ant', 'line 4: .* is not the four numbers'),
        ('a.png,,,,,ant', "line 4: the class 'ant' has no box"),
        ('a.png,1,2,3,4,', 'line 4: the box has no class'),
        (',1,2,3,4,ant', 'line 4: it names no image'),
        ('d.png,1,2,3,4,ant', r'1 images of its tables are not below it: d.png \(.*line 4\)'),
    ],
)
def test_rows_that_are_refused(make, row, why):
    root = make('a.png', 'b.png', **{'boxes.csv': f'{RETINANET}{row}\n'})
    with pytest.raises(ValueError, match=why):
        read_box_csv(root)


def test_several_boxes_in_one_cell(make):
    root = make('a.png', **{'boxes.csv': 'image_id,bbox,class\na,"[1,2,3,4],[5,6,7,8]",ant\n'})
    with pytest.raises(ValueError, match='line 2: .*not the four numbers of a box. Each row'):
        read_box_csv(root)


def test_shares_of_the_image(make):
    text = HEADER + 'a.png,40,20,ant,0.1,0.1,0.6125,0.6\n'
    box_set = read_box_csv(make('a.png', **{'boxes.csv': text}))
    assert boxes_of(box_set) == dict(a=BOXES['a'])
    assert any(
        'boxes in shares of the image: 1, multiplied by its width' in n for n in box_set.notes
    )


@pytest.mark.parametrize(
    ('labels', 'classes', 'line'),
    [
        ('0 1 99', ['0', '1', '99'], True),
        ('10 9 1', ['1', '9', '10'], True),
        ('0 1 2', ['0', '1', '2'], False),
        ('1.0 0.0 1.0', ['0', '1'], False),
    ],
)
def test_classes_that_are_numbers(make, labels, classes, line):
    rows = (f'a.png,1,{i},9,9,{label}\n' for i, label in enumerate(labels.split(), 1))
    box_set = read_box_csv(make('a.png', **{'boxes.csv': ''.join(rows)}))
    assert box_set.classes == classes
    found = [text for text in box_set.notes if 'taken as names, and numbered 0 to 2' in text]
    assert bool(found) == line
    assert [box_set.classes[b.label] for b in box_set.splits['all'][0].boxes] == [
        str(int(float(label))) for label in labels.split()
    ]


def test_no_column_of_classes(make):
    text = 'image_id,width,height,bbox,source\na,40,20,"[4, 2, 10, 10]",x\n'
    box_set = read_box_csv(make('a.png', **{'train.csv': text}))
    assert box_set.classes == ['object']
    assert boxes_of(box_set, 'train') == dict(a=[('object', 4, 2, 10, 10)])
    assert any('no column of classes' in line for line in box_set.notes)


def test_names_that_differ_in_case(make):
    text = RETINANET.replace('bee', 'Ant')
    with pytest.raises(ValueError, match=r"'ant' \(2 boxes\), 'Ant' \(1 boxes\) differ in case"):
        read_box_csv(make('a.png', 'b.png', **{'boxes.csv': text}))


# ---- sizes, images, files ------------------------------------------------------------------------


def test_numbers_with_a_comma(make):
    text = RETINANET.replace(',', ';').replace('24.5', '24,5')
    box_set = read_box_csv(make('a.png', 'b.png', **{'boxes.csv': text}))
    assert boxes_of(box_set) == BOXES
    assert any('comma for the point: 1, read so' in line for line in box_set.notes)


def test_sizes_that_the_images_have_not(make):
    root = make('a.png', 'b.png', **{'boxes.csv': TENSORFLOW.replace('40,20', '20,40')})
    box_set = read_box_csv(root)
    assert boxes_of(box_set) == BOXES
    assert any('(a.png is 40 x 20, not 20 x 40)' in line for line in box_set.notes)
    make(**{'boxes.csv': HEADER + 'a.png,80,40,ant,50,2,70,12\n'})
    with pytest.raises(ValueError, match='1 images have another size than its tables say'):
        read_box_csv(root)


def test_corners_that_are_called_sizes(make):
    rows = ''.join(f'a,{20 + i},8,{30 + i},18,ant\n' for i in range(3))
    root = make('a.png', **{'boxes.csv': 'image_id,x,y,w,h,label\n' + rows})
    with pytest.raises(ValueError, match='3 boxes reach outside .* not as corners'):
        read_box_csv(root)


def test_images_without_a_row_and_rows_that_stand_twice(make):
    root = make('a.png', 'b.png', 'c.png', **{'boxes.csv': TENSORFLOW + TENSORFLOW[len(HEADER) :]})
    box_set = read_box_csv(root)
    assert boxes_of(box_set) == BOXES
    assert f'{root}: images without a row: 1, left out (c.png)' in box_set.notes
    assert any('rows that stand twice: 3, taken once' in line for line in box_set.notes)


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('filename,xmin,ymin,class\na.png,1,2,ant\n', 'does not name the columns of a box'),
        ('shot,xmin,ymin,xmax,ymax\na.png,1,2,3,4\n', 'no column is called as that of the image'),
        (HEADER, 'its tables have no row'),
        (HEADER + 'a.png,1,1,,,,,\n', 'no row of its tables has a box'),
        (b'a.png,1,2,3,4,caf\xe9\n', 'boxes.csv, line 1: not UTF-8 text'),
    ],
)
def test_tables_that_are_refused(make, text, why):
    root = make('a.png', **{'boxes.csv': text})
    with pytest.raises(ValueError, match=why):
        read_box_csv(root)


def test_no_table_or_several(make):
    root = make('a.png', 'b.png', **{'notes.csv': 'a,b\n1,2\n'})
    with pytest.raises(FileNotFoundError, match='no table of boxes in'):
        read_box_csv(root)
    make(**{'x.csv': RETINANET, 'y.csv': RETINANET})
    with pytest.raises(ValueError, match='several tables of boxes: .*x.csv, .*y.csv'):
        read_box_csv(root)
    assert boxes_of(read_box_csv(os.path.join(root, 'x.csv'))) == BOXES
    make(**{'train.csv': RETINANET})  # one that is named is taken whole
    assert boxes_of(read_box_csv(os.path.join(root, 'train.csv'))) == BOXES
