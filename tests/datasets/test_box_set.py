"""Images with boxes as every reader gives them, and the COCO file that is made of them."""

import json

import pytest

from cream_mm.datasets.box_set import Box, BoxImage, BoxNotes, BoxSet, coco_content, mend_box
from cream_mm.datasets.coco_file import read_coco


def two_images():
    boxes = [Box(1, 4, 5.5, 10, 2), Box(0, 0, 0, 1.5, 3, True)]
    images = [BoxImage('x/a.jpg', 40, 30, boxes), BoxImage('b.jpg', 20, 10)]
    return BoxSet('cards', ['ace', 'king'], {'train': images[:1], 'val': images[1:]})


def test_the_coco_file_of_a_set(tmp_path):
    box_set = two_images()
    content = coco_content(box_set, [*box_set.splits['val'], *box_set.splits['train']])
    assert {key: content[key] for key in ('images', 'annotations', 'categories')} == dict(
        images=[
            dict(id=1, file_name='b.jpg', width=20, height=10),
            dict(id=2, file_name='x/a.jpg', width=40, height=30),
        ],
        annotations=[
            dict(id=1, image_id=2, category_id=2, bbox=[4, 5.5, 10, 2], area=20, iscrowd=0),
            dict(id=2, image_id=2, category_id=1, bbox=[0, 0, 1.5, 3], area=4.5, iscrowd=1),
        ],
        categories=[
            dict(id=1, name='ace', supercategory=''),
            dict(id=2, name='king', supercategory=''),
        ],
    )
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    file = read_coco(path)
    assert file.notes == []  # nothing to mend
    assert file.content == content
    assert file.classes == box_set.classes


def test_counts_of_boxes():
    assert two_images().counts('train') == [1, 1]
    assert two_images().counts('val') == [0, 0]


@pytest.mark.parametrize(
    ('corners', 'expected', 'line'),
    [
        ((4, 5, 14, 15.5), (4, 5, 10, 10.5), None),
        ((-1, -1, 41, 31), (-1, -1, 42, 32), None),  # a pixel outside, as COCO's own boxes
        ((14, 15, 4, 5), (4, 5, 10, 10), 'turned round (a.xml)'),
        ((-2, 5, 14, 15), (0, 5, 14, 10), 'clipped (a.xml)'),
        ((30, 20, 400, 300), (30, 20, 10, 10), 'clipped (a.xml)'),
        ((4, 5, 4, 15), None, 'left out (a.xml)'),
        ((50, 5, 60, 15), None, 'boxes wholly outside the image: 1, left out (a.xml)'),
    ],
)
def test_boxes_are_mended_as_those_of_coco_files(corners, expected, line):
    notes = BoxNotes('set')
    box = mend_box(3, corners, (40, 30), notes, 'a.xml')
    assert (None if box is None else box[1:5]) == expected
    assert box is None or box.label == 3
    assert not box or not box.is_crowd
    assert len(notes.lines()) == (line is not None)
    assert line is None or notes.lines()[0].endswith(line)


def test_a_corner_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r'a\.xml, object 2: the box \(1, nan, 3, 4\) is not four'):
        mend_box(0, (1, float('nan'), 3, 4), (40, 30), BoxNotes('set'), 'a.xml, object 2')


def test_lines_count_and_give_the_first_examples():
    notes = BoxNotes('set')
    for number in range(5):
        notes.add('odd', 'mended', f'{number}.xml')
    notes.add('zero', 'all', 'a', 7)
    assert notes.lines() == [
        'set: odd: 5, mended (0.xml, 1.xml, 2.xml, ...)',
        'set: zero: 7, all (a, ...)',
    ]
