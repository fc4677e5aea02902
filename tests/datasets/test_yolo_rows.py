"""Rows of YOLO label files as annotation tools write them."""

import pytest

from cream_mm.datasets.box_set import Box, BoxNotes
from cream_mm.datasets.yolo_rows import RowReader

SIZE = (200, 100)  # width, height


@pytest.fixture
def read(tmp_path):
    """Reads a label file of this content; the notes and the reader are its own."""

    def read(content, classes=('ant', 'bee', 'cat'), keypoints=None):
        path = tmp_path / 'a.txt'
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        read.reader = RowReader(classes, BoxNotes('set'), keypoints)
        boxes = read.reader.read(path, SIZE)
        read.lines = read.reader.notes.lines()
        return boxes

    return read


def refusal(read, content, **kwargs):
    with pytest.raises(ValueError) as caught:
        read(content, **kwargs)
        read.reader.check_labels()
    return str(caught.value)


def test_a_box_in_pixels(read):
    # Centre (0.5, 0.4) of 200 x 100 is (100, 40); 0.3 x 0.25 of it is 60 x 25.
    [box] = read('1 0.5 0.4 0.3 0.25\n')
    assert box == Box(1, *map(pytest.approx, (70, 27.5, 60, 25)))
    assert not read.lines


def test_floats_are_not_truncated(read):
    [box] = read('0 0.5003 0.5 0.1001 0.3333\n')
    assert box[1:5] == pytest.approx((90.05, 33.335, 20.02, 33.33), abs=1e-9)


# ---- D10: boxes and polygons ---------------------------------------------------------------------


def test_polygons_become_their_boxes(read):
    boxes = read(
        '0 0.5 0.5 0.2 0.2\n'
        '1 0.1 0.2 0.3 0.2 0.2 0.6\n'  # a triangle
        '2 0.5 0.1 0.75 0.1 0.75 0.9 0.5 0.9\n'  # four corners, as of turned boxes
    )
    assert [box.label for box in boxes] == [0, 1, 2]
    assert boxes[1][1:5] == pytest.approx((20, 20, 40, 40))
    assert boxes[2][1:5] == pytest.approx((100, 10, 50, 80))
    assert len(read.lines) == 1
    assert read.lines[0].startswith('set: polygons: 2, their boxes are taken (')
    assert 'a.txt, line 2' in read.lines[0]


@pytest.mark.parametrize(
    ('row', 'number', 'why'),
    [
        ('0 0.1 0.2 0.3 0.2 0.2 0.6 0.7', 8, 'even number'),
        ('0 0.1 0.2 0.3', 4, '3 points'),
        ('0 0.1 0.2', 3, '3 points'),
        ('0', 1, '3 points'),
        ('0 0.5 0.5 0.2 0.2 0.93', 6, 'score'),
        ('0 0.5 0.5 0.2 0.2 ' + '0.5 0.5 2 ' * 17, 56, 'kpt_shape: [17, 3]'),
    ],
)
def test_other_numbers_of_values_are_refused(read, row, number, why):
    message = refusal(read, f'0 0.5 0.5 0.2 0.2\n{row}\n')
    assert f'a.txt, line 2: {number} values' in message
    assert why in message


def test_a_polygon_of_two_points(read):
    """Five values are a box, also among polygons, unless it cannot be one."""
    polygon = '0 0.1 0.2 0.3 0.2 0.2 0.6\n'
    assert read(f'{polygon}1 0.5 0.5 0.2 0.2\n')[1][1:5] == pytest.approx((80, 40, 40, 20))
    # From (0.1, 0.1) to (0.9, 0.8); as a box it would begin at -0.35.
    assert 'line 2: 5 values among polygons' in refusal(read, f'{polygon}1 0.1 0.1 0.9 0.8\n')


def test_key_points(read):
    row = '0 0.5 0.5 0.2 0.2 ' + '0.5 0.5 2 ' * 3
    assert read(row, keypoints=(3, 3))[0][1:5] == pytest.approx((80, 40, 40, 20))
    assert 'line 1: 14 values, but kpt_shape asks for 11' in refusal(read, row, keypoints=(2, 3))


# ---- D11: numbers of classes ---------------------------------------------------------------------


def test_a_number_with_a_point(read):
    assert [box.label for box in read('2.0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n')] == [2, 0]


def test_a_class_beyond_the_last(read):
    message = refusal(read, '0 0.5 0.5 0.2 0.2\n\n3 0.5 0.5 0.2 0.2\n')
    assert 'a.txt, line 3: the class is 3, and names has 3' in message
    assert 'The classes are 0 to 2: ant, bee, cat' in message
    assert '1-based' not in message


def test_classes_that_count_from_one(read):
    rows = ''.join(f'{n} 0.5 0.{n} 0.2 0.2\n' for n in (1, 2, 3))
    message = refusal(read, rows)
    assert 'a.txt, line 3' in message
    assert 'looks 1-based: 3 occurs, and 0 never does' in message
    # One beyond the next is a mistake of another kind.
    assert '1-based' not in refusal(read, '1 0.5 0.5 0.2 0.2\n4 0.5 0.5 0.2 0.2\n')


@pytest.mark.parametrize(
    ('label', 'why'),
    [
        ('-1', 'Classes count from 0'),
        ('1.5', 'no number of a class'),
        ('bee', 'by its number, 1'),
        ('nan', 'no number of a class'),
        ('1_0', 'no number of a class'),
    ],
)
def test_what_is_no_class(read, label, why):
    message = refusal(read, f'{label} 0.5 0.5 0.2 0.2\n')
    assert 'a.txt, line 1' in message
    assert why in message


# ---- D14: what separates values ------------------------------------------------------------------


@pytest.mark.parametrize(
    'content',
    [
        '1\t0.5\t0.4\t0.3\t0.25\n0 0.5 0.5 0.1 0.1\n',
        '1  0.5  0.4  0.3  0.25   \r\n0 0.5 0.5 0.1 0.1\r\n\r\n',
        '\ufeff1 0.5 0.4 0.3 0.25\n \n0 0.5 0.5 0.1 0.1',
        '1 0.5 0.4 0.3 0.25\n0 0.5 0.5 0.1 0.1'.encode('utf-16'),
        '1 5e-1 .4 +0.3 0.25\r0 0.5 0.5 0.1 0.1\r',
    ],
)
def test_blanks_tabs_marks_and_ends_of_lines(read, content):
    boxes = read(content)
    assert [box.label for box in boxes] == [1, 0]
    assert boxes[0][1:5] == pytest.approx((70, 27.5, 60, 25))
    assert not read.lines


@pytest.mark.parametrize(
    ('row', 'line'),
    [
        ('1,0.5,0.4,0.3,0.25', 'commas separate: 1, read so'),
        ('1, 0.5, 0.4, 0.3, 0.25', 'commas separate: 1, read so'),
        ('1;0.5;0.4;0.3;0.25;', 'commas separate: 1, read so'),
        ('1 0.5,0.4 0.3,0.25', 'commas separate: 1, read so'),
        ('1 0,5 0,4 0,3 0,25', 'a comma for the point: 1, read so'),
        ('1;0,5;0,4;0,3;0,25', 'a comma for the point: 1, read so'),
    ],
)
def test_commas(read, row, line):
    [box] = read(row)
    assert box[1:5] == pytest.approx((70, 27.5, 60, 25))
    assert len(read.lines) == 1
    assert line in read.lines[0]


def test_text_in_another_encoding(read):
    message = refusal(read, '0 0.5 0.5 0.2 0.2 caf\xe9\n'.encode('latin-1'))
    assert 'a.txt, line 1: not UTF-8 text' in message


# ---- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize('content', ['', '\n', ' \r\n\t\n', '\ufeff'])
def test_an_empty_file(read, content):
    assert read(content) is None


@pytest.mark.parametrize(
    ('row', 'why'),
    [
        ('0 100 40 60 25', '100 is no share of the image, 0 to 1. If the boxes are in pixels'),
        ('0 0.5 -1.5 0.2 0.2', '-1.5 is no share'),
        ('0 0.5 x 0.2 0.2', "'x' is no number"),
        ('0 0.5 nan 0.2 0.2', "'nan' is no number"),
        ('0 0.5 inf 0.2 0.2', "'inf' is no number"),
    ],
)
def test_values_that_are_no_shares(read, row, why):
    message = refusal(read, row)
    assert 'a.txt, line 1' in message
    assert why in message


def test_boxes_at_the_edge(read):
    boxes = read(
        '0 1.0 0.5 0.2 0.2\n'  # half of it is outside
        '1 1.5 0.5 0.2 0.2\n'  # all of it
        '2 0.5 0.5 0 0.2\n'
        '0 0.1 0.5 0.2000001 0.2\n'  # by rounding
    )
    assert [box[0] for box in boxes] == [0, 0]
    assert boxes[0][1:5] == pytest.approx((180, 40, 20, 20))
    assert boxes[1][3] == pytest.approx(40, abs=1e-3)
    found = [line.split(': ')[1:3] for line in read.lines]
    assert found == [
        ['boxes that reach outside the image', found[0][1]],
        ['boxes wholly outside the image', found[1][1]],
        ['boxes without width or height', found[2][1]],
    ]
    assert all(what.startswith('1, ') for _, what in found)


def test_a_row_that_stands_twice(read):
    assert len(read('0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n')) == 2
    assert 'rows that stand twice: 1, taken once' in read.lines[0]
