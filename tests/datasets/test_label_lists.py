import doctest

import pytest

from cream_mm.datasets import label_lists as module
from cream_mm.datasets.label_lists import list_separator, name_classes, sort_classes, split_labels


def test_examples():
    assert doctest.testmod(module) == (0, 4)


@pytest.mark.parametrize(
    ('fields', 'options', 'separator'),
    [
        (['a,b', 'a', 'b'], {}, ','),
        (['a,b', 'c,d'], {}, None),  # could be names
        (['a,b', 'c,d'], dict(multi_label=True), ','),
        (['a|b', 'c'], dict(multi_label=False), None),
        (['1 2', '1', '2'], {}, ' '),
        (['red shirt', 'red dress', 'blue shirt', 'blue dress'], dict(is_plural=True), None),
        (['sky sea', 'sky', 'sea'], {}, None),
        (['sky sea', 'sky', 'sea'], dict(is_plural=True), ' '),
        (['[1, 2]', '[3]'], {}, ','),
    ],
)
def test_what_separates(fields, options, separator):
    assert list_separator(fields, **options) == separator


def test_labels_of_a_field():
    assert split_labels('b; a;b;', ';') == ('b', 'a')
    assert split_labels('[]', ',') == ()


def test_order_of_classes():
    assert sort_classes(['2', '10', '-1']) == ['-1', '2', '10']
    assert sort_classes(['2', 'x', '10']) == ['10', '2', 'x']
    assert sort_classes(['c', 'a'], ['c', 'b', 'a']) == ['c', 'a']


@pytest.mark.parametrize(
    ('classes', 'expected'),
    [
        (['0', '2'], (['ant', 'cat'], '0')),
        (['1', '3'], (['ant', 'cat'], '1')),  # the third is used: from 1
        (['1', '2'], (['bee', 'cat'], '0')),
        (['0', '3'], None),
        (['x'], None),
    ],
)
def test_numbers_get_names(classes, expected):
    assert name_classes(classes, ['ant', 'bee', 'cat']) == expected
