"""Figures of a data report: drawn where there is something to draw."""

import re

from cream_mm.datasets.box_set import Box
from cream_mm.datasets.copies import Copies
from cream_mm.datasets.data_check import DataCheck
from cream_mm.datasets.data_source import DataSource, Picture
from cream_mm.datasets.picture_look import Look
from cream_mm.reports.data_figures import MAX_CLASSES, draw_boxes, draw_classes, draw_sizes


def made(sizes, boxes=None, classes=('ant', 'bee')):
    pictures = [
        Picture('', str(i), (i % len(classes),), boxes[i] if boxes else None)
        for i in range(len(sizes))
    ]
    looks = [Look(width=w, height=h) for w, h in sizes]
    source = DataSource('', '', '', list(classes), {'train': pictures, 'val': pictures[:1]})
    return DataCheck(source, [*looks, looks[0]], Copies(), [])


def test_shares_of_classes():
    svg = draw_classes(made([(9, 9)] * 3))
    assert 'train (3)' in svg and 'val (1)' in svg and svg.index('bee') < svg.index('ant')
    assert 'images of a split' in svg
    many = draw_classes(made([(9, 9)] * 90, classes=[f'class{k}' for k in range(90)]))
    assert len(set(re.findall(r'class\d+', many)) - {'classes'}) == MAX_CLASSES
    assert draw_classes(DataCheck(DataSource('', ''), [], Copies(), [])) is None


def test_sizes_only_where_they_differ():
    assert draw_sizes(made([(9, 9)] * 3)) is None
    svg = draw_sizes(made([(60, 9), (90, 20), (470, 600)]))
    assert 'width, pixels' in svg and {'60', '100', '200'} <= set(re.findall(r'>(\d+)</text>', svg))
    assert 'times' not in svg and '>10<tspan' not in svg  # 2 x 10^2
    assert draw_sizes(made([(9, 9), (90, 20)])).startswith('<svg')


def test_boxes_only_where_there_are_any():
    assert draw_boxes(made([(9, 9)] * 2)) is None
    assert draw_boxes(made([(9, 9)] * 2, [(), ()])) is None
    svg = draw_boxes(made([(90, 90)] * 2, [(Box(0, 1, 1, 20, 30),), ()]))
    assert 'boxes in an image' in svg
