"""One annotation file in the form of PASCAL VOC, as tools write it."""

import math

import pytest

from cream_mm.datasets.voc_xml import read_voc_xml

BOX = '<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>7</xmax><ymax>8</ymax></bndbox>'


def read(tmp_path, content):
    path = tmp_path / 'a.xml'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_voc_xml(path)


def one(tmp_path, inside):
    (found,) = read(tmp_path, f'<annotation><object>{inside}</object></annotation>').objects
    return found


def refused(tmp_path, content):
    with pytest.raises(ValueError, match=r'a\.xml') as error:
        read(tmp_path, content)
    return str(error.value)


def test_children_in_any_order_with_others_beside_them(tmp_path):
    text = (
        '<annotation verified="yes"><object><occluded>0</occluded><bndbox>'
        '<xmin>5</xmin><xmax>7</xmax><ymin>6</ymin><ymax>8</ymax><zmin/></bndbox>'
        '<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>'
        '</bndbox></part><difficult>1</difficult><name>dog</name></object>'
        '<filename> a.jpg </filename>'
        '<size><height>20</height><depth>3</depth><width>10</width></size></annotation>'
    )
    file = read(tmp_path, text)
    assert file.filename == 'a.jpg'
    assert file.size == (10, 20)
    assert [tuple(item) for item in file.objects] == [
        (1, 'dog', (5.0, 6.0, 7.0, 8.0), True, 'bndbox', False)
    ]


def test_names_of_elements_in_any_case(tmp_path):
    text = (
        '<Annotation><Size><Width>3</Width><Height>4</Height></Size>'
        f'<Object><Name>a</Name>{BOX.replace("xmin", "XMin")}</Object></Annotation>'
    )
    file = read(tmp_path, text)
    assert file.size == (3, 4)
    assert file.objects[0].corners == (5, 6, 7, 8)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ('', None),
        ('<size/>', None),
        ('<size><width>0</width><height>0</height><depth>0</depth></size>', None),
        ('<size><width>640.0</width><height>480</height></size>', (640, 480)),
        ('<size><width>640.5</width><height>480</height></size>', None),
        ('<size><width>wide</width><height>480</height></size>', None),
        ('<imagesize><nrows>480</nrows><ncols>640</ncols></imagesize>', (640, 480)),
    ],
)
def test_sizes(tmp_path, size, expected):
    assert read(tmp_path, f'<annotation>{size}</annotation>').size == expected


def test_coordinates_are_floats_and_not_cut(tmp_path):
    box = BOX.replace('>5<', '> 45.70\n<').replace('>7<', '>1e2<')
    assert one(tmp_path, f'<name>a</name>{box}').corners == (45.7, 6, 100, 8)


@pytest.mark.parametrize('text', ['(88, 100)', '', 'left', '45,7', 'nan', 'inf'])
def test_no_numbers_are_refused_with_the_object(tmp_path, text):
    good = f'<object><name>a</name>{BOX}</object>'
    bad = f'<object><name>b</name>{BOX.replace(">6<", f">{text}<")}</object>'
    message = refused(tmp_path, f'<annotation>{good}{bad}</annotation>')
    assert f'a.xml, object 2 (b): <ymin> is {text!r}, not a number' in message


@pytest.mark.parametrize(
    ('inside', 'message'),
    [
        (BOX, 'object 1: its <name> is missing'),
        (f'<name> \n</name>{BOX}', 'object 1: its <name> is empty'),
        (f'<name/>{BOX}', 'object 1: its <name> is empty'),
        (f'<name>a</name>{BOX}{BOX}', 'object 1 (a): it has 2 <bndbox>. Make one object of each'),
        ('<name>a</name>', 'object 1 (a): it has no <bndbox>'),
        ('<name>a</name><bndbox/>', 'object 1 (a): it has no <bndbox>'),
        (f'<name>a</name>{BOX.replace("xmax", "xmin")}', 'it has 2 <xmin>'),
        (f'<name>a</name>{BOX.replace("xmax", "width")}', 'it has no <xmax>'),
        ('<name>a</name><polygon><x1>1</x1><y1>1</y1></polygon>', 'its <polygon> not three points'),
    ],
)
def test_what_cannot_be_an_object_is_refused(tmp_path, inside, message):
    assert message in refused(tmp_path, f'<annotation><object>{inside}</object></annotation>')


def test_a_name_with_blanks_is_taken_without(tmp_path):
    found = one(tmp_path, f'<name>\n traffic light </name>{BOX}')
    assert found.name == 'traffic light'
    assert found.has_blanks


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('1', True), ('true', True), ('0', False), ('', False), ('Unspecified', False)],
)
def test_difficult(tmp_path, text, expected):
    found = one(tmp_path, f'<name>a</name><difficult>{text}</difficult>{BOX}')
    assert found.is_difficult is expected


def test_boxes_of_polygons_and_turned_boxes(tmp_path):
    points = ''.join(f'<pt><x>{x}</x><y>{y}</y></pt>' for x, y in ((3, 9), (1, 4), (8, 5)))
    found = one(tmp_path, f'<name>a</name><polygon><username>me</username>{points}</polygon>')
    assert (found.corners, found.shape) == ((1, 4, 8, 9), 'polygon')

    numbered = '<x1>3</x1><y1>9</y1><x2>1</x2><y2>4</y2><x3>8</x3><y3>5</y3>'
    found = one(tmp_path, f'<name>a</name><bndbox></bndbox><polygon>{numbered}</polygon>')
    assert (found.corners, found.shape) == ((1, 4, 8, 9), 'polygon')

    both = one(tmp_path, f'<name>a</name>{BOX}<polygon>{numbered}</polygon>')
    assert (both.corners, both.shape) == ((5, 6, 7, 8), 'bndbox')

    turned = f'<cx>50</cx><cy>40</cy><w>20</w><h>10</h><angle>{math.pi / 2}</angle>'
    found = one(tmp_path, f'<name>a</name><type>robndbox</type><robndbox>{turned}</robndbox>')
    assert found.corners == pytest.approx((45, 30, 55, 50))
    assert found.shape == 'robndbox'


def test_deleted_objects_of_labelme_are_none(tmp_path):
    gone = f'<object><name>a</name><deleted>1</deleted>{BOX}</object>'
    kept = f'<object><name>b</name><deleted>0</deleted>{BOX}</object>'
    found = read(tmp_path, f'<annotation>{gone}{kept}</annotation>').objects
    assert [(item.number, item.name) for item in found] == [(2, 'b')]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty'),
        (b' \n', 'the file is empty'),
        (b'<annotation><object></annotation>', 'not well-formed XML (mismatched tag: line 1'),
        (b'<annotation>', 'not well-formed XML (no element found'),
        (b'\xff\xd8\xff\xe0 a picture', 'not well-formed XML'),
        (b'<html></html>', 'its outermost element is <html>, not <annotation>'),
        (b'<annotations/>', 'of CVAT, one file for all images'),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "says encoding='klingon'"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    assert message in refused(tmp_path, content)


@pytest.mark.parametrize(
    'declaration',
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://localhost/x"> %x;]>',
    ],
)
def test_entities_are_neither_fetched_nor_expanded(tmp_path, declaration):
    text = f'{declaration}<annotation><object><name>&x;</name>{BOX}</object></annotation>'
    assert 'it defines entities' in refused(tmp_path, text)


def test_encodings(tmp_path):
    text = '<?xml version="1.0" encoding="{}"?><annotation><object><name>狗</name>' + BOX
    text += '</object></annotation>'
    for name in ('UTF-8', 'gb2312', 'GBK', 'utf-16', 'Shift_JIS'):
        found = read(tmp_path, text.format(name).encode(name))
        assert found.objects[0].name == '狗', name
    assert read(tmp_path, b'\xef\xbb\xbf' + text.format('utf-8').encode()).objects[0].name == '狗'
    assert 'not well-formed' in refused(tmp_path, text.format('utf-8').encode('gbk'))
    assert 'is not that' in refused(tmp_path, text.format('gb2312').encode('utf-8') + b'\xff\xff')
