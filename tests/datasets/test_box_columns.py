"""Columns of tables of boxes."""

import pytest

from cream_mm.datasets.box_columns import (
    BoxColumns,
    find_box_columns,
    read_numbers,
    table_rows,
)


@pytest.mark.parametrize(
    ('header', 'columns'),
    [
        (
            'filename,width,height,class,xmin,ymin,xmax,ymax',
            BoxColumns(0, (4, 5, 6, 7), 'corners', 3, size=(1, 2)),
        ),
        (
            'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf',
            BoxColumns(0, (4, 6, 5, 7), 'corners', 2, crowd=8),
        ),
        (
            'label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height',
            BoxColumns(5, (1, 2, 3, 4), 'size', 0, size=(6, 7)),
        ),
        ('image_id,width,height,bbox,source', BoxColumns(0, (3,), 'size', None, size=(1, 2))),
        ('Split,Path,X,Y,W,H,Label', BoxColumns(1, (2, 3, 4, 5), 'size', 6, split=0)),
        ('image,x_center,y_center,w,h,class_id', BoxColumns(0, (1, 2, 3, 4), 'centre', 5)),
    ],
)
def test_headers(header, columns):
    assert find_box_columns(header.split(',')) == (columns, True)


def test_without_a_header():
    plain = BoxColumns(0, (1, 2, 3, 4), 'corners', 5)
    assert find_box_columns(['a.jpg', '1', '2.5', '3', '4', 'cat']) == (plain, False)
    assert find_box_columns(['a.jpg', '', '', '', '', '']) == (plain, False)
    with pytest.raises(ValueError, match="'cat, 1, 2, 3, 4', does not name the columns of a box"):
        find_box_columns(['cat', '1', '2', '3', '4'])


@pytest.mark.parametrize('separator', [',', ';', '\t'])
def test_separators_and_lines(separator):
    text = '\n"a b","c"\n\n , \n"d ""e""\nf",g\n'.replace(',', separator)
    assert list(table_rows(text, 'x.csv')) == [(2, ['a b', 'c']), (5, ['d "e"\nf', 'g'])]


def test_a_field_without_end():
    with pytest.raises(ValueError, match='x.csv, line 2: '):
        list(table_rows('a,b\n"' + 'x' * 200_000, 'x.csv'))


@pytest.mark.parametrize(
    ('fields', 'is_cell', 'numbers'),
    [
        (['1', '-2.5', '.5', '1e2'], False, [1, -2.5, 0.5, 100]),
        (['1', '2,5', '3', '4'], False, [1, 2.5, 3, 4]),
        (['[1, 2.5, 3, 4]'], True, [1, 2.5, 3, 4]),
        (['(1 2 3 4)'], True, [1, 2, 3, 4]),
        (['1', '2', '3', ''], False, None),
        (['1', '2', 'inf', '4'], False, None),
        (['1', '2', '3 4', '5'], False, None),
        (['[1, 2, 3]'], True, None),
    ],
)
def test_numbers(fields, is_cell, numbers):
    assert read_numbers(fields, is_cell) == numbers
