"""What annotation tools write, and what is read: right values, and one line of each kind."""

import copy
import json
import math

import pytest

from cream_mm.datasets.coco_mend import group_names, mend_coco
from cream_mm.datasets.coco_notes import Notes


def content(*boxes, **changes):
    """A good file: 100 x 80 pixels, classes cat (7) and dog (3), a box of 10 x 20 by default."""
    annotations = [
        dict(id=i, image_id=1, category_id=7, bbox=box, area=200, iscrowd=0)
        for i, box in enumerate(boxes or [[10, 10, 10, 20]], 1)
    ]
    return (
        dict(
            images=[dict(id=1, file_name='a.jpg', width=100, height=80)],
            annotations=annotations,
            categories=[dict(id=7, name='cat'), dict(id=3, name='dog')],
        )
        | changes
    )


def mended(given):
    """What becomes of it, and the lines about it."""
    notes = Notes('a.json')
    found = mend_coco(copy.deepcopy(given), notes)
    return found, notes.lines()


def of_annotation(**changes):
    """The annotation as it is read after these changes, and the lines."""
    given = content()
    given['annotations'][0].update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del given['annotations'][0][key]
    found, lines = mended(given)
    return (found['annotations'] or [None])[0], lines


def test_a_good_file_stays_as_it_is():
    good = content([10, 10, 10, 20], [0.25, 0, 99.75, 80.01], [-0.4, 3, 5, 5])
    good['annotations'][1]['segmentation'] = [[0, 0, 99, 0, 99, 80]]
    good['info'] = dict(year=2026)
    assert mended(good) == (good, [])


# --- area, iscrowd ---


@pytest.mark.parametrize('area', [..., 0, -3, None, math.nan, math.inf, 'x'])
def test_area_of_a_box(area):
    annotation, (line,) = of_annotation(area=area)
    assert annotation['area'] == 200
    assert line == (
        'a.json: no area above 0: 1 of 1 annotations, computed from the segmentation or the box '
        '(annotation 1)'
    )


@pytest.mark.parametrize(
    'segmentation, area',
    [
        ([[10, 10, 20, 10, 20, 30]], 100),  # a triangle: half of the box
        ([[10, 10, 20, 10, 20, 30], [10, 20, 14, 20, 14, 30, 10, 30]], 140),
        ([10, 10, 20, 10, 20, 30], 100),  # not nested
        (dict(size=[80, 100], counts=[5, 7, 80, 3, 7905]), 10),
        ([], 200),
        ([[]], 200),
        (None, 200),
        ([[1, 2, 3]], 200),
        (dict(size=[80, 100], counts='PPP'), 200),  # broken off
        (dict(size=[0, 100], counts='04'), 200),
        (dict(size=[80, 100], counts=[5, 7]), 200),
        (dict(counts='04'), 200),
    ],
)
def test_area_of_a_segmentation(segmentation, area):
    assert of_annotation(area=..., segmentation=segmentation)[0]['area'] == pytest.approx(area)


def test_area_of_compressed_runs():
    np = pytest.importorskip('numpy')
    from pycocotools import mask

    pixels = np.zeros((80, 100), np.uint8, order='F')
    pixels[10:30, 10:20] = 1
    pixels[10, 10] = 0
    runs = mask.encode(pixels)
    runs['counts'] = runs['counts'].decode()
    annotation, _ = of_annotation(area=0, segmentation=runs)
    assert annotation['area'] == 199
    annotation, (line,) = of_annotation(bbox=[], segmentation=runs)
    assert annotation['bbox'] == [10, 10, 10, 20] and 'that of the segmentation is taken' in line


@pytest.mark.parametrize(
    'given, crowd, number',
    [(..., 0, 1), (None, 0, 1), (False, 0, 0), (True, 1, 0), ('1', 1, 0), (1.0, 1, 0)],
)
def test_crowds(given, crowd, number):
    annotation, lines = of_annotation(iscrowd=given)
    assert annotation['iscrowd'] == crowd and type(annotation['iscrowd']) is int
    assert len(lines) == number and all('no iscrowd: 1 of 1' in line for line in lines)


def test_a_set_of_crowds_alone_is_none():
    given = content(*[[i, 10, 10, 20] for i in range(10)])
    for annotation in given['annotations']:
        annotation['iscrowd'] = 1
    found, (line,) = mended(given)
    assert {a['iscrowd'] for a in found['annotations']} == {0}
    assert 'every box is marked as a crowd: 10 of 10 annotations, iscrowd is taken as 0' in line
    given['annotations'][4]['iscrowd'] = 0
    assert mended(given) == (given, [])


# --- boxes ---


@pytest.mark.parametrize(
    'given, box, words',
    [
        ([10, 10, 200, 20], [10, 10, 90, 20], 'reach outside the image: 1 of 1 annotations, clip'),
        ([-5, -5, 15, 20], [0, 0, 10, 15], 'reach outside'),
        ([20, 30, -10, -20], [10, 10, 10, 20], 'negative width or height: 1 of 1 annotations, tur'),
        (['10', '10.5', 10, '20'], [10, 10.5, 10, 20], 'written as text: 1 values, read as num'),
        ([10, 10, 0.5, 20], [10, 10, 0.5, 20], 'less than a pixel: 1 of 1 annotations, not train'),
    ],
)
def test_boxes_that_are_mended(given, box, words):
    annotation, (line,) = of_annotation(bbox=given)
    assert annotation['bbox'] == box and words in line and line.endswith(')')


def test_the_area_of_a_clipped_box_follows():
    assert of_annotation(bbox=[90, 10, 20, 20])[0]['area'] == 200
    assert of_annotation(bbox=[95, 10, 20, 20])[0]['area'] == 100
    part = of_annotation(bbox=[95, 10, 20, 20], segmentation=[[95, 10, 100, 10, 100, 30]])
    assert part[0]['area'] == 200  # its own


@pytest.mark.parametrize(
    'given, words',
    [
        ([10, 10, 0, 20], 'without width or height: 1 of 1 annotations, left out (annotation 1)'),
        ([10, 10, 5, 0.0], 'without width or height'),
        ([300, 10, 5, 5], 'wholly outside the image: 1 of 1 annotations, left out (annotation 1: '),
        ([-30, 10, 20, 20], 'wholly outside'),
        ([], 'neither a box nor a segmentation: 1 of 1 annotations, left out'),
        (None, 'neither a box nor a segmentation'),
        (..., 'neither a box nor a segmentation'),
    ],
)
def test_boxes_that_are_left_out(given, words):
    annotation, (line,) = of_annotation(bbox=given)
    assert annotation is None and words in line


@pytest.mark.parametrize('given', [..., None, [], [10, 10, 0, 0]])
def test_the_box_of_a_polygon(given):
    polygon = [[10, 12, 20, 12, 20, 30], [5, 20, 8, 20, 8, 40]]
    annotation, (line,) = of_annotation(bbox=given, segmentation=polygon)
    assert annotation['bbox'] == [5, 12, 15, 28] and annotation['area'] == 200
    assert 'no box, or an empty one: 1 of 1 annotations, that of the segmentation is taken' in line


@pytest.mark.parametrize(
    'box', [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, math.nan], [1, 2, 3, math.inf], [1, 2, 3, 'x'],
            [1, 2, 3, None], [1, 2, 3, True], [[1, 2], [3, 4]], 'abc', 5, dict(x=1)],
    ids=str,
)  # fmt: skip
def test_boxes_that_cannot_be_understood(box):
    with pytest.raises(
        ValueError, match='^annotation 1 of image 1: its bbox .* is not four number'
    ):
        of_annotation(bbox=box)


def test_shares_of_the_image_become_pixels():
    found, (line,) = mended(content([0.1, 0.25, 0.5, 0.5], [0, 0, 1, 1]))
    assert [a['bbox'] for a in found['annotations']] == [[10, 20, 50, 40], [0, 0, 100, 80]]
    assert found['annotations'][0]['area'] == 2000
    assert 'in shares of the image: 2 of 2 annotations' in line
    one_pixel = content([0, 0, 1, 1], [5, 5, 1, 1])
    assert mended(one_pixel) == (one_pixel, [])


def test_corners_are_refused():
    corners = [[50, 40, 90, 70], [60, 30, 95, 75], [70, 50, 99, 80], [0, 0, 10, 10]]
    with pytest.raises(ValueError, match=r'look like corners, \[x1, y1, x2, y2\] \(annotation 1:'):
        mended(content(*corners))
    _, (line,) = mended(content(*corners, [30, 40, 20, 20]))  # that is none
    assert '3 of 5 annotations, clipped' in line


# --- ids ---


@pytest.mark.parametrize('ids', [(0, 1, 2), (5, 5, 9), (None, 1, 2), ('a', 'b', 'c'), (1.5, 2, 3)])
def test_ids_of_annotations(ids):
    given = content([1, 1, 5, 5], [2, 2, 6, 6], [3, 3, 7, 7])
    for number, annotation in zip(ids, given['annotations']):
        annotation['id'] = number
    found, (line,) = mended(given)
    assert [a['id'] for a in found['annotations']] == [1, 2, 3]
    assert [a['bbox'][0] for a in found['annotations']] == [1, 2, 3]
    assert 'ids that are 0, missing, no whole numbers or not unique: ' in line
    number = 2 if ids[0] == 5 else 3 if ids[0] == 'a' else 1
    assert f': {number} of 3 annotations, all numbered anew' in line


def test_an_annotation_that_is_listed_twice():
    given = content([1, 1, 5, 5], [2, 2, 6, 6])
    same, other = copy.deepcopy(given['annotations'][0]), copy.deepcopy(given['annotations'][1])
    other.update(id=9, category_id=3)  # of another class: another one
    given['annotations'] += [same, dict(same, id=8), other]
    found, (line,) = mended(given)
    assert [(a['id'], a['category_id']) for a in found['annotations']] == [(1, 7), (2, 7), (9, 3)]
    assert 'listed twice: 2 of 5 annotations, taken once (annotation 1, annotation 8)' in line


def test_ids_as_text():
    given = content()
    given['images'][0]['id'] = '12'
    given['annotations'][0].update(image_id=12, category_id='7', id=4)
    found, (line,) = mended(given)
    assert found['images'][0]['id'] == found['annotations'][0]['image_id'] == 12
    assert found['annotations'][0]['category_id'] == 7 and 'written as text: 2 values' in line


@pytest.mark.parametrize('names', [('x', 'y'), (1.5, 2), (1, '1'), (2**70, 3)])
def test_ids_of_images_that_are_no_numbers(names):
    given = content([1, 1, 5, 5], [2, 2, 6, 6])
    given['images'] = [
        dict(id=name, file_name=f'{i}.jpg', width=9, height=9) for i, name in enumerate(names)
    ]
    for name, annotation in zip(names, given['annotations']):
        annotation['image_id'] = name
    found, (line,) = mended(given)
    assert [image['id'] for image in found['images']] == [1, 2]
    assert [a['image_id'] for a in found['annotations']] == [1, 2] and 'all numbered anew' in line


def test_two_images_of_one_id_are_refused():
    given = content()
    given['images'].append(dict(id=1, file_name='b.jpg', width=9, height=9))
    with pytest.raises(ValueError, match="image id 1 stands for two images, 'a.jpg' and 'b.jpg'"):
        mended(given)


def test_an_image_that_is_listed_twice():
    given = content([1, 1, 5, 5], [2, 2, 6, 6], [3, 3, 7, 7])
    image = given['images'][0]
    given['images'] += [dict(image), dict(image, id=5)]
    given['annotations'][1]['image_id'] = 5
    found, (line,) = mended(given)
    assert found['images'] == [image]
    assert [a['image_id'] for a in found['annotations']] == [1, 1, 1]
    assert "listed twice: 2 of 3 images, taken as one, with the boxes of both ('a.jpg'" in line


def test_annotations_of_images_that_are_not_there():
    given = content([1, 1, 5, 5], [2, 2, 6, 6], [3, 3, 7, 7])
    given['annotations'][0]['image_id'] = 99
    del given['annotations'][1]['image_id']
    found, (line,) = mended(given)
    assert [a['id'] for a in found['annotations']] == [3]
    assert 'of images that the file does not list: 2 of 3 annotations, left out' in line
    assert 'annotation 1 has image_id 99' in line


@pytest.mark.parametrize('category', [99, None, 'cat', [7], ...])
def test_an_annotation_of_an_unknown_category_is_refused(category):
    with pytest.raises(ValueError, match=r'annotation 1 has category_id=.*categories \(7, 3\)'):
        of_annotation(category_id=category)


# --- categories ---


def test_ids_of_categories_from_zero_and_with_gaps():
    good = content(categories=[dict(id=0, name='a'), dict(id=7, name='b'), dict(id=90, name='c')])
    good['annotations'][0]['category_id'] = 0
    assert mended(good) == (good, [])


def test_names_of_categories():
    given = content(categories=[dict(id=7, name=' cat\n'), dict(id=3, name=5)])
    found, (line,) = mended(given)
    assert [c['name'] for c in found['categories']] == ['cat', '5']
    assert 'names with blanks around them or no text: 2 of 2 categories, mended' in line


def test_a_name_that_stands_twice_is_one_class():
    given = content([1, 1, 5, 5], [2, 2, 6, 6])
    given['categories'].append(dict(id=9, name='cat'))
    given['annotations'][1]['category_id'] = 9
    found, (line,) = mended(given)
    assert [c['id'] for c in found['categories']] == [7, 3]
    assert [a['category_id'] for a in found['annotations']] == [7, 7]
    assert 'names that stand twice: 1 of 3 categories, taken as one class (cat)' in line


def test_names_that_differ_in_case():
    given = content([1, 1, 5, 5], [2, 2, 6, 6])
    given['categories'].append(dict(id=9, name='Cat'))
    found, (line,) = mended(given)
    assert [c['name'] for c in found['categories']] == ['cat', 'dog']
    assert '1 of 3 categories, left out (Cat)' in line
    given['annotations'][1]['category_id'] = 9
    with pytest.raises(ValueError, match=r"'cat' \(1 boxes\), 'Cat' \(1 boxes\) differ in case"):
        mended(given)


@pytest.mark.parametrize(
    'categories, words',
    [
        ([], '"categories" is empty'),
        (['cat', 'dog'], "entry 0: 'cat' is no"),
        ([dict(id=1)], 'entry 0: .* is no'),
        ([dict(id=1, name='')], 'the name is'),
        ([dict(id=1, name=None)], 'the name is None'),
        ([dict(id=None, name='a')], "'a': the id is None"),
        (
            [dict(id=1, name='a'), dict(id=1, name='b')],
            "id 1 stands for two categories, 'a' and 'b",
        ),
        (None, '"categories" is None, not a list'),
    ],
)
def test_categories_that_cannot_be_understood(categories, words):
    with pytest.raises(ValueError, match=words):
        mended(content(categories=categories))


def test_a_category_that_holds_the_others():
    """Roboflow's first one: the name of the project, without a box."""
    categories = [
        dict(id=0, name='pets', supercategory='none'),
        dict(id=1, name='cat', supercategory='pets'),
        dict(id=2, name='dog', supercategory='pets'),
    ]
    assert group_names(categories, [dict(category_id=1)]) == {'pets'}
    assert group_names(categories, [dict(category_id=0)]) == set()
    assert group_names(categories[:1], []) == set()
    plain = [dict(id=1, name='cat', supercategory='animal'), dict(id=2, name='person',
             supercategory='person')]  # fmt: skip
    assert group_names(plain, []) == set()  # COCO's own way


@pytest.mark.parametrize('name', ['_background_', '__ignore__', 'Background'])
def test_a_background_without_a_box_is_no_class(name):
    categories = [dict(id=0, name=name, supercategory=None), dict(id=1, name='cat')]
    assert group_names(categories, [dict(category_id=1)]) == {name}
    assert group_names(categories, [dict(category_id=0), dict(category_id=1)]) == set()


# --- the whole ---


@pytest.mark.parametrize(
    'given, words',
    [
        ([], 'its top level is a list'),
        ([dict(image_id=1, category_id=7, bbox=[1, 2, 3, 4], score=0.5)], 'results of a detector'),
        ('x', "its top level is 'x'"),
        (dict(images=[], categories=[dict(id=1, name='a')], annotations={}), '"annotations" is {}'),
        (dict(annotations=[], categories=[]), 'it has no "images", not a list; it has "annotation'),
        (dict(shapes=[], imagePath='x'), 'it has no "images"'),
        (content(annotations=[dict(image_id=1, segments_info=[])]), 'panoptic'),
        (content(annotations=[dict(image_id=1, id=1, caption='a cat')]), 'captions'),
        (content(annotations=[3]), '"annotations", entry 0 is 3'),
        (content(images=['a.jpg']), '"images", entry 0 is \'a.jpg\''),
        (content(images=[dict(id=1, width=3, height=3)]), 'has no file_name'),
        (content(images=[dict(file_name='a.jpg')]), "'a.jpg': the id is None"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_other_files_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        mended(given)


def test_a_test_set_has_no_annotations():
    given = content()
    del given['annotations']
    assert mended(given)[0]['annotations'] == []


# --- as tools write them ---


def test_label_studio():
    """All ids begin at 0."""
    given = dict(
        images=[dict(width=100, height=80, id=0, file_name='images/1a2b3c4d-a.jpg')],
        categories=[dict(id=0, name='cat'), dict(id=1, name='dog')],
        annotations=[
            dict(id=i, image_id=0, category_id=i, segmentation=[], bbox=[i, i, 20.5, 10.5],
                 ignore=0, iscrowd=0, area=215.25)
            for i in range(2)
        ],
    )  # fmt: skip
    found, (line,) = mended(given)
    assert [(a['id'], a['category_id']) for a in found['annotations']] == [(1, 0), (2, 1)]
    assert 'ids that are 0, missing' in line and ': 1 of 2 annotations' in line


def test_via():
    """Ids are text, and nothing is there but polygons."""
    given = dict(
        images=[dict(id='0', width=100, height=80, file_name='a.jpg', license=0)],
        categories=[dict(id=1, name='cat')],
        annotations=[
            dict(id='1', image_id='0', category_id=1, segmentation=[10, 10, 20, 10, 20, 30])
        ],
    )
    found, lines = mended(given)
    (annotation,) = found['annotations']
    assert annotation['bbox'] == [10, 10, 10, 20] and annotation['area'] == 100
    assert annotation['image_id'] == 0 and annotation['id'] == 1 and annotation['iscrowd'] == 0
    assert len(lines) == 5 and all(line.startswith('a.json: ') for line in lines)


def test_it_can_be_written_again():
    given = content([0.1, 0.25, 0.5, 0.5])
    given['annotations'][0]['segmentation'] = [[1, 2, 3, 4, 5, 6]]
    json.dumps(mended(given)[0])
