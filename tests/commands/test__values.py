"""Budgets, times and folders of data, as they are typed."""

import argparse

import pytest

from cream_mm.commands._values import boxes_in, kind_of_data, macs_range, milliseconds, minutes
from cream_mm.testing import write_image_folder


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('150M', [0, 150]), ('0.3G', [0, 300]), ('40M-80M', [40, 80]), ('40-80m', [40, 80]),
     ('0.04G-80M', [40, 80]), ('500k', [0, 0.5]), ('.5G', [0, 500])],
)  # fmt: skip
def test_budgets(text, expected):
    assert macs_range(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    'text', ['150', '150MB', '-5M', '1e3M', '80M-40M', '40M-40M', '0M', '', 'M', '5ms', 'nanM']
)
def test_no_budgets(text):
    with pytest.raises(argparse.ArgumentTypeError, match='budget'):
        macs_range(text)


def test_times():
    assert milliseconds('5ms') == 5 and milliseconds(' 0.8 MS') == 0.8 and milliseconds('2s') == 2e3
    assert minutes('0.5') == 0.5
    for text in ('5', '5us', '0ms', '-1ms', 'ms', '1:30'):
        with pytest.raises(argparse.ArgumentTypeError, match='latency is a time with its unit'):
            milliseconds(text)
    for text in ('0', '-1', 'an hour', 'inf', 'nan'):
        with pytest.raises(argparse.ArgumentTypeError, match='minutes are a number above 0'):
            minutes(text)


def test_what_a_folder_is_labelled_with(tmp_path):
    data = str(write_image_folder(tmp_path / 'set', train=2, val=1))
    assert kind_of_data(data) == 'classes'
    assert kind_of_data(_voc(tmp_path / 'voc')) == 'boxes'
    with pytest.raises(ValueError, match='is labelled with classes, and a detector learns from'):
        boxes_in(data)
    (tmp_path / 'plain').mkdir()
    with pytest.raises(ValueError, match='plain: no images with labels. To classify, put them'):
        kind_of_data(str(tmp_path / 'plain'))
    with pytest.raises(ValueError, match='is a file: give the folder that it lies in'):
        kind_of_data(__file__)
    with pytest.raises(FileNotFoundError, match='no such folder'):
        kind_of_data(str(tmp_path / 'gone'))


def _voc(root):
    """One image of PASCAL VOC."""
    for name in ('Annotations', 'JPEGImages'):
        (root / name).mkdir(parents=True)
    (root / 'Annotations/a.xml').write_text(
        '<annotation><object><name>x</name></object></annotation>'
    )
    (root / 'JPEGImages/a.jpg').touch()
    return str(root)
