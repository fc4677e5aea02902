"""Sets in the form of PASCAL VOC, as tools and people leave them."""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets.box_set import Box
from cream_mm.datasets.voc_file import read_voc

CARDS = Path(__file__).parents[2] / 'data' / 'cards'


def picture(path, width=40, height=30, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    kind = {'.png': 'PNG', '.bmp': 'BMP'}.get(path.suffix.lower(), 'JPEG')
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, kind, exif=exif)


def thing(name='dog', box=(5, 6, 15, 16), more=''):
    tags = ('xmin', 'ymin', 'xmax', 'ymax')
    inner = ''.join(f'<{tag}>{value}</{tag}>' for tag, value in zip(tags, box))
    return f'<object><name>{name}</name>{more}<bndbox>{inner}</bndbox></object>'


def xml(path, *things, size=(40, 30), filename=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = '<size><width>{}</width><height>{}</height></size>'.format(*size) if size else ''
    name = f'<filename>{filename or path.stem + ".jpg"}</filename>'
    path.write_text(f'<annotation>{name}{text}{"".join(things)}</annotation>')


def both(root, stem, *things, **settings):
    picture(root / 'JPEGImages' / f'{stem}.jpg')
    xml(root / 'Annotations' / f'{stem}.xml', *things, **settings)


def single(box_set):
    ((image,),) = box_set.splits.values()
    return image


def test_coordinates_count_from_one(tmp_path):
    both(tmp_path, 'a', thing('dog', (5, 6, 15, 26)), thing('cat', (1, 1.5, 40, 30)))
    found = read_voc(tmp_path)
    assert found.classes == ['cat', 'dog']
    assert list(found.splits) == ['all']
    image = single(found)
    assert (image.path, image.width, image.height) == ('JPEGImages/a.jpg', 40, 30)
    assert image.boxes == [Box(1, 4, 5, 10, 20), Box(0, 0, 0.5, 39, 28.5)]
    assert found.notes == []


def test_coordinates_count_from_zero_where_one_is_zero(tmp_path):
    both(tmp_path, 'a', thing('dog', (5, 6, 15, 26)))
    both(tmp_path, 'b', thing('dog', (0, 6, 15, 26)))
    found = read_voc(tmp_path)
    assert [image.boxes for image in found.splits['all']] == [
        [Box(0, 5, 6, 10, 20)],
        [Box(0, 0, 6, 15, 20)],
    ]
    assert found.notes == [
        f"{tmp_path}: boxes that begin at 0: 1, all count from 0, not from VOC's 1 "
        '(Annotations/b.xml, object 1)'
    ]


def test_the_size_is_the_images_own(tmp_path):
    sizes = dict(a=(40, 30), b=None, c=(0, 0), d=(30, 40), e=('40.0', 30))
    for stem, size in sizes.items():
        both(tmp_path, stem, thing(), size=size)
    picture(tmp_path / 'JPEGImages' / 'f.jpg', 30, 40, orientation=6)  # upright 40 x 30
    xml(tmp_path / 'Annotations' / 'f.xml', thing())
    found = read_voc(tmp_path)
    assert {(image.width, image.height) for image in found.splits['all']} == {(40, 30)}
    assert found.notes == [
        f'{tmp_path}: XML files without the size of the image: 2, taken from the image '
        '(Annotations/b.xml, Annotations/c.xml)',
        f'{tmp_path}: XML files with another size than the image: 1, taken from the image '
        '(JPEGImages/d.jpg is 40 x 30, not 30 x 40)',
    ]


def test_boxes_that_were_drawn_on_another_size_are_refused(tmp_path):
    for stem in 'abc':
        both(tmp_path, stem, thing('dog', (300, 200, 390, 290)), size=(400, 300))
    with pytest.raises(ValueError, match=r'3 of their 3 boxes fit into that size only .*resized'):
        read_voc(tmp_path)


def test_boxes_are_mended(tmp_path):
    both(
        tmp_path, 'a',
        thing('dog', (15, 16, 5, 6)), thing('dog', (-5, 6, 15, 90)), thing('dog', (5, 5, 5, 9)),
        thing('dog', (50, 6, 60, 9)), thing('dog', (2, 3, 41, 31)),
    )  # fmt: skip
    found = read_voc(tmp_path)
    assert single(found).boxes == [
        Box(0, 4, 5, 10, 10),
        Box(0, 0, 5, 14, 25),
        Box(0, 1, 2, 39, 28),  # to the edge: as it is
    ]
    assert [re.sub('.*?: ', '', line, count=1) for line in found.notes] == [
        'boxes with right left of left, or bottom above top: 1, turned round '
        '(Annotations/a.xml, object 1)',
        'boxes that reach outside the image: 1, clipped (Annotations/a.xml, object 2)',
        'boxes without width or height: 1, left out (Annotations/a.xml, object 3)',
        'boxes wholly outside the image: 1, left out (Annotations/a.xml, object 4)',
    ]


def test_boxes_in_shares_of_the_image(tmp_path):
    both(tmp_path, 'a', thing('dog', (0, 0.5, 0.25, 1)))
    found = read_voc(tmp_path)
    assert single(found).boxes == [Box(0, 0, 15, 10, 15)]
    assert len(found.notes) == 1
    assert 'boxes in shares of the image: 1, multiplied' in found.notes[0]


def test_difficult_objects_are_crowds(tmp_path):
    both(tmp_path, 'a', thing(more='<difficult>1</difficult>'), thing('cat'))
    found = read_voc(tmp_path)
    assert [box.is_crowd for box in single(found).boxes] == [True, False]
    assert found.notes == [
        f'{tmp_path}: objects marked as difficult: 1, neither trained on nor counted '
        '(Annotations/a.xml, object 1)'
    ]


def test_every_file_that_cannot_be_read_is_named(tmp_path):
    both(tmp_path, 'a', thing())
    both(tmp_path, 'b', thing(box=(1, '(88, 100)', 3, 4)))
    both(tmp_path, 'c')
    (tmp_path / 'Annotations' / 'd.xml').write_text('')
    (tmp_path / 'Annotations' / 'e.xml').write_text('<annotation>')
    (tmp_path / 'Annotations' / 'Thumbs.db').write_text('x')
    (tmp_path / 'Annotations' / '._a.xml').write_text('x')
    with pytest.raises(ValueError, match='3 of 5 XML files below') as error:
        read_voc(tmp_path)
    message = str(error.value)
    folder = tmp_path / 'Annotations'
    assert f"{folder}/b.xml, object 1 (dog): <ymin> is '(88, 100)', not a number" in message
    assert f'{folder}/d.xml: the file is empty' in message
    assert f'{folder}/e.xml: not well-formed XML' in message


def test_what_has_no_partner_is_left_out_and_no_objects_are_background(tmp_path):
    both(tmp_path, 'a', thing())
    both(tmp_path, 'b')
    picture(tmp_path / 'JPEGImages' / 'c.jpg')
    picture(tmp_path / 'JPEGImages' / 'd.jpg')
    xml(tmp_path / 'Annotations' / 'e.xml', thing())
    found = read_voc(tmp_path)
    assert [(image.path, len(image.boxes)) for image in found.splits['all']] == [
        ('JPEGImages/a.jpg', 1),
        ('JPEGImages/b.jpg', 0),
    ]
    assert found.notes == [
        f'{tmp_path}: XML files without an image: 1, left out (Annotations/e.xml)',
        f'{tmp_path}: images without an XML file: 2, left out (JPEGImages/c.jpg, JPEGImages/d.jpg)',
    ]


def test_images_of_other_kinds_and_names(tmp_path):
    for stem, suffix in dict(a='.png', b='.JPG', c='.bmp', d='..jpg').items():
        picture(tmp_path / 'JPEGImages' / f'{stem}{suffix}')
        xml(tmp_path / 'Annotations' / f'{stem}.xml', thing(), filename=f'{stem}.jpg')
    found = read_voc(tmp_path)
    assert [image.path for image in found.splits['all']] == [
        f'JPEGImages/{name}' for name in ('a.png', 'b.JPG', 'c.bmp', 'd..jpg')
    ]
    assert found.notes == [
        f'{tmp_path}: <filename> is another than the image has: 4, images go by their stem '
        '(Annotations/a.xml: a.jpg is a.png, Annotations/b.xml: b.jpg is b.JPG, '
        'Annotations/c.xml: c.jpg is c.bmp, ...)'
    ]


def test_images_that_cannot_be_read(tmp_path):
    for stem, size in dict(a=(40, 30), b=(40, 30), c=None).items():
        both(tmp_path, stem, thing(), size=size)
    for stem in 'bc':
        (tmp_path / 'JPEGImages' / f'{stem}.jpg').write_bytes(b'')
    found = read_voc(tmp_path)
    assert [image.path[-5:] for image in found.splits['all']] == ['a.jpg', 'b.jpg']
    assert found.notes == [
        f'{tmp_path}: images that cannot be read, and whose size is not known: 1, left out '
        '(JPEGImages/c.jpg)'
    ]


def test_names_with_blanks_are_one_class(tmp_path):
    both(tmp_path, 'a', thing('dog'), thing('\n dog '))
    found = read_voc(tmp_path)
    assert found.classes == ['dog']
    assert 'names of classes with blanks around them: 1, taken without' in found.notes[0]


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    both(tmp_path, 'a', thing('dog'), thing('dog'), thing('cat'))
    both(tmp_path, 'b', thing('cat'), thing('Dog'))
    with pytest.raises(ValueError, match='case alone') as error:
        read_voc(tmp_path)
    assert "'Dog' (1), 'dog' (2); 'Dog' stands in Annotations/b.xml, object 2" in str(error.value)
    assert "All names: 'Dog' (1), 'cat' (2), 'dog' (2)" in str(error.value)


def test_a_name_that_may_be_a_slip_is_told(tmp_path):
    both(tmp_path, 'a', *[thing('traffic light')] * 20, thing('trafic light'), thing('dog'))
    found = read_voc(tmp_path)
    assert found.classes == ['dog', 'traffic light', 'trafic light']
    assert found.notes == [
        f"{tmp_path}: classes that may be slips of the pen: 1, kept ('trafic light', 1 boxes; "
        "'trafic light' stands in Annotations/a.xml, object 21; 'traffic light' is meant?)"
    ]


def test_a_list_of_classes_gives_the_order(tmp_path):
    both(tmp_path, 'a', thing('dog'), thing('cat'))
    (tmp_path / 'classes.txt').write_text('dog\ncat\nemu\n')
    found = read_voc(tmp_path)
    assert found.classes == ['dog', 'cat', 'emu']
    assert [box.label for box in single(found).boxes] == [0, 1]
    assert found.notes == [f'{tmp_path}: classes of classes.txt without a box: 1, kept (emu)']
    (tmp_path / 'classes.txt').unlink()
    (tmp_path / 'labelmap.txt').write_text('# label:color\nbackground:::\ndog:::\ncat:::\n')  # CVAT
    found = read_voc(tmp_path)
    assert found.classes == ['dog', 'cat'] and single(found).boxes[0].label == 0
    (note,) = found.notes
    assert (
        note == f'{tmp_path}: classes of labelmap.txt that are no object: 1, left out (background)'
    )
    (tmp_path / 'labelmap.txt').unlink()
    (tmp_path / 'classes.txt').write_text('Dog\ncat\n')
    with pytest.raises(ValueError, match=r"lists Dog, cat; XML files also have 'dog' \(1\); 'dog'"):
        read_voc(tmp_path)


def test_polygons_without_a_box_are_told(tmp_path):
    polygon = '<polygon><x1>5</x1><y1>6</y1><x2>15</x2><y2>6</y2><x3>9</x3><y3>16</y3></polygon>'
    both(tmp_path, 'a', f'<object><name>dog</name>{polygon}</object>')
    found = read_voc(tmp_path)
    assert single(found).boxes == [Box(0, 4, 5, 10, 10)]
    assert 'objects with a <polygon> and no <bndbox>: 1, its box is taken' in found.notes[0]


@pytest.mark.parametrize(
    ('image', 'file'),
    [
        ('{}.jpg', '{}.xml'),
        ('images/{}.jpg', 'annotations/{}.xml'),
        ('images/{}.jpg', 'annotations/xmls/{}.xml'),
        ('VOCdevkit/VOC2007/JPEGImages/{}.jpg', 'VOCdevkit/VOC2007/Annotations/{}.xml'),
        ('data/{}.jpg', 'data/{}.xml'),
    ],
)
def test_other_names_of_folders(tmp_path, image, file):
    for stem in 'ab':
        picture(tmp_path / image.format(stem))
        xml(tmp_path / file.format(stem), thing())
    found = read_voc(tmp_path)
    assert [i.path for i in found.splits['all']] == [image.format(stem) for stem in 'ab']


def test_folders_of_splits(tmp_path):
    for split in ('train', 'valid', 'test'):
        picture(tmp_path / split / 'a.jpg')
        xml(tmp_path / split / 'a.xml', thing())
    found = read_voc(tmp_path)
    assert {name: [i.path for i in images] for name, images in found.splits.items()} == {
        'train': ['train/a.jpg'],
        'val': ['valid/a.jpg'],
        'test': ['test/a.jpg'],
    }


def test_lists_of_splits(tmp_path):
    for stem in 'abc':
        both(tmp_path, stem, thing())
    main = tmp_path / 'ImageSets' / 'Main'
    main.mkdir(parents=True)
    (main / 'train.txt').write_text('b\r\n\r\nz\r\n')
    (main / 'val.txt').write_text('a  1\n')
    found = read_voc(tmp_path)
    splits = {name: [i.path for i in images] for name, images in found.splits.items()}
    assert splits == {'train': ['JPEGImages/b.jpg'], 'val': ['JPEGImages/a.jpg']}
    assert found.notes == [
        f'{tmp_path}: names in lists without an image and its XML file: 1, passed over '
        '(ImageSets/Main/train.txt, line 3: z)',
        f'{tmp_path}: images that no list names: 1, left out (JPEGImages/c.jpg)',
    ]


def test_a_folder_without_such_a_set(tmp_path):
    picture(tmp_path / 'a.jpg')
    with pytest.raises(FileNotFoundError, match='no XML file, as PASCAL VOC has one for each'):
        read_voc(tmp_path)
    xml(tmp_path / 'b.xml', thing())
    with pytest.raises(FileNotFoundError, match=r'any of its 1 XML files .*b\.xml; 1 images are'):
        read_voc(tmp_path)
    os.rename(tmp_path / 'b.xml', tmp_path / 'a.xml')
    xml(tmp_path / 'a.xml')
    with pytest.raises(ValueError, match='its 1 XML files have no object'):
        read_voc(tmp_path)


@pytest.mark.skipif(not CARDS.exists(), reason='data/cards is not there')
def test_boxes_of_real_photographs_are_those_of_mmdet():
    from mmdet.datasets import XMLDataset

    found = read_voc(CARDS)
    assert found.notes == []
    names = re.findall('<name>(.*?)</name>', ''.join(
        path.read_text() for path in sorted((CARDS / 'Annotations').iterdir())
    ))  # fmt: skip
    counts = Counter(names)
    assert found.classes == sorted(counts)
    total = np.add(found.counts('train'), found.counts('val'))
    assert total.tolist() == [counts[name] for name in found.classes]
    for split, number in dict(train=296, val=67).items():
        golden = XMLDataset(
            data_root=str(CARDS), ann_file=f'ImageSets/Main/{split}.txt', test_mode=True,
            data_prefix=dict(sub_data_root=''), metainfo=dict(classes=tuple(found.classes)),
        )  # fmt: skip
        assert len(golden) == len(found.splits[split]) == number
        for image, other in zip(found.splits[split], golden.data_list):
            assert str(CARDS / image.path) == other['img_path']
            assert (image.width, image.height) == (other['width'], other['height'])
            assert [
                [b.label, b.x, b.y, b.x + b.width, b.y + b.height] for b in image.boxes
            ] == [[one['bbox_label'], *one['bbox']] for one in other['instances']]  # fmt: skip


def test_sets_that_are_taken_as_one_are_named(tmp_path):
    """Those of years and splits belong together."""
    for year in (2007, 2012):
        both(tmp_path / f'years/VOC{year}', f'a{year}', thing())
    assert read_voc(tmp_path / 'years').notes == []
    for name in ('cards', 'dogs'):
        both(tmp_path / f'any/{name}', name, thing())
    (note,) = read_voc(tmp_path / 'any').notes
    assert '2 sets are taken as one: cards, dogs. If they do not belong together' in note
