"""The report of a data set: text, JSON and page."""

import re

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets.box_set import Box
from cream_mm.datasets.data_check import check_source
from cream_mm.datasets.data_source import DataSource, Picture
from cream_mm.reports.data_report import DataReport


def made(root, number=4, with_boxes=False, classes=('ant', 'bee & <b>')):
    pictures = []
    for i in range(number):
        values = np.random.default_rng(i).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        path = root / f'{i}.png'
        Image.fromarray(values).resize((80, 60 + i), Image.Resampling.BICUBIC).save(path)
        box = Box(i % len(classes), 5, 6, 30, 20, is_crowd=i == 1)
        pictures.append(
            Picture(str(path), path.name, (i % len(classes),), (box,) if with_boxes else None)
        )
    splits = {'train': pictures[: number // 2], 'val': pictures[number // 2 :]}
    return DataSource(str(root), 'coco', 'COCO: a.json', list(classes), splits)


@pytest.mark.parametrize('with_boxes', [False, True])
def test_the_page_stands_alone(tmp_path, with_boxes):
    report = DataReport(check_source(made(tmp_path, with_boxes=with_boxes)))
    page = report.save(tmp_path / 'out/page.html').read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert 'bee &amp; &lt;b&gt;' in page and '<b>ee' not in page
    assert page.count('data:image/jpeg;base64,') == 4
    assert ('<h2>Boxes</h2>' in page) is with_boxes
    assert page.count('<rect x="5" y="6" width="30" height="20"') == (4 if with_boxes else 0)
    assert page == report.to_html()  # the same bytes each time


def test_text_and_json(tmp_path):
    source = made(tmp_path, with_boxes=True)
    source.errors.append('something is wrong ' * 12)
    report = DataReport(check_source(source))
    text = report.to_text(80)
    assert report.headline == '4 images, 4 boxes of 2 classes in train and val'
    assert re.search(r'\n  ant +1 +1\n', text) and re.search(r'\n  \(images\) +2 +2\n', text)
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith('ERROR'))
    content = report.to_dict()
    assert content['counts'] == {'train': [1, 1], 'val': [1, 1]}
    assert content['findings'][0]['level'] == 'error'
    assert report.verdict.startswith('1 error, ')


def test_of_many_classes_the_largest_and_the_smallest_are_shown(tmp_path):
    source = made(tmp_path, 4, classes=[f'class{k}' for k in range(40)])
    text = DataReport(check_source(source)).to_text()
    assert '... 16 more classes' in text and 'class0 ' in text and 'class39 ' in text


def test_a_picture_that_cannot_be_read_is_not_shown(tmp_path):
    source = made(tmp_path)
    (tmp_path / '0.png').write_bytes(b'')
    page = DataReport(check_source(source)).to_html()
    assert page.count('data:image/jpeg;base64,') == 3 and '0.png' in page
