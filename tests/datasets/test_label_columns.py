import pytest

from cream_mm.datasets.image_index import is_image_name
from cream_mm.datasets.label_columns import (
    Columns,
    Row,
    find_columns,
    has_header,
    is_true,
    split_name,
    split_rows,
)


def columns(text, **options):
    rows = split_rows(text, 'x.csv')
    header = rows[0].fields if has_header(rows, is_image_name) else None
    return find_columns(header, rows[header is not None :], is_image_name, **options)


def test_rows_keep_their_line():
    text = 'file,label\n\n"a.jpg", "two\nlines"\nb.jpg,dog\n'
    assert split_rows(text, 'x.csv') == [
        Row(1, ['file', 'label']), Row(3, ['a.jpg', 'two\nlines']), Row(5, ['b.jpg', 'dog']),
    ]  # fmt: skip


def test_a_damaged_row_is_named():
    with pytest.raises(ValueError, match=r'x.csv, line 2: field larger than field limit'):
        split_rows('a.jpg,b\n"' + 'x' * 200_000 + '",c\n', 'x.csv')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('label,file\ncat,a.jpg\n', Columns(1, [0])),
        ('a.jpg,cat,640\nb.jpg,cat,480\nc.jpg,dog,1\nd.jpg,dog,2\n', Columns(0, [1])),
        ('a.jpg,cat,\nb.jpg,cat,dog\n', Columns(0, [1], goes_on=True)),
        ('file,cat,dog\na.jpg,0,1\n', Columns(0, [1, 2], True)),
        ('file,label,blurred,dark\na.jpg,cat,0,1\n', Columns(0, [1])),
        ('file,breed,split\na.jpg,pug,train\n', Columns(0, [1], split=2)),
        ('file,label,set\na.jpg,pug,A\n', Columns(0, [1])),  # no split
        ('name,label,is_valid\na.jpg,pug,True\n', Columns(0, [1], flag=2)),
        ('file,class_id,class\na.jpg,0,cat\nb.jpg,1,dog\n', Columns(0, [2])),
        ('id,path,label\n1,a.jpg,cat\n', Columns(1, [2])),
    ],
)
def test_which_column_holds_what(text, expected):
    assert columns(text) == expected


def test_several_labels_that_differ_are_refused():
    text = 'file,category,species\na.jpg,pet,cat\nb.jpg,pet,dog\nc.jpg,wild,fox\n'
    with pytest.raises(ValueError, match="'category', 'species' could all be the label"):
        columns(text)
    assert columns(text, label_column='Species') == Columns(0, [2])


def test_names_and_values():
    names = ('TRAIN', 'validation', 'Testing', '1', 'other')
    assert [*map(split_name, names)] == ['train', 'val', 'test', 'val', 'other']
    assert [is_true(value) for value in ('1', 'True', '0.0', '-1', '', '2', 'x')] == [
        True, True, False, False, False, None, None,
    ]  # fmt: skip
