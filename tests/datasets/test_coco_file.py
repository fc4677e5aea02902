"""An annotation file is read once, and the same for all who ask."""

import codecs
import json
import os

import pytest
from PIL import Image

from cream_mm.datasets import coco_file
from cream_mm.datasets.coco_file import left_out, number_classes, read_coco


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'pictures').mkdir()
    Image.new('RGB', (40, 30)).save(tmp_path / 'pictures/a.jpg')
    write(tmp_path / 'a.json')
    return tmp_path


def write(path, encoding='utf-8', **changes):
    content = dict(
        images=[dict(id=1, file_name='a.jpg')],
        annotations=[dict(id=0, image_id=1, category_id=7, bbox=[30, 10, 20, 10])],
        categories=[dict(id=7, name='cät'), dict(id=3, name='dog')],
    )
    path.write_bytes(json.dumps({**content, **changes}, ensure_ascii=False).encode(encoding))


def test_it_is_read_once(root):
    first = read_coco(root / 'a.json', root / 'pictures')
    assert first is read_coco(str(root / 'a.json'), str(root / 'pictures'))
    os.symlink(root / 'a.json', root / 'b.json')
    assert read_coco(root / 'b.json', root / 'pictures') is first
    write(root / 'a.json', images=[dict(id=1, file_name='a.jpg', width=40, height=30)])
    assert read_coco(root / 'a.json', root / 'pictures') is not first


def test_a_metric_gets_the_pictures_of_its_data_set(root):
    """It names the file alone; ids and boxes must be those that were trained on."""
    assert 'width' not in read_coco(root / 'a.json').content['images'][0]
    first = read_coco(root / 'a.json', root / 'pictures')
    assert first.content['annotations'][0]['bbox'] == [30, 10, 10, 10]
    assert read_coco(root / 'a.json') is first


def test_large_files_are_not_held(root, monkeypatch):
    monkeypatch.setattr(coco_file, 'KEPT_BYTES', 10)
    first = read_coco(root / 'a.json', root / 'pictures')
    assert read_coco(root / 'a.json', root / 'pictures') is first  # while somebody has it
    monkeypatch.setattr(coco_file, 'mend_coco', lambda *args: pytest.fail('again'))
    read_coco(root / 'a.json', root / 'pictures')
    del first
    with pytest.raises(pytest.fail.Exception, match='again'):
        read_coco(root / 'a.json', root / 'pictures')


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_marks_of_encodings(root, encoding):
    write(root / 'a.json', encoding)
    file = read_coco(root / 'a.json', root / 'pictures')
    assert file.names == ['cät', 'dog']
    assert any('not plain UTF-8: read as its first bytes say' in line for line in file.notes)


@pytest.mark.parametrize(
    'content, words',
    [
        (b'{"images": [', 'is not valid JSON'),
        (b'', 'is not valid JSON'),
        (codecs.BOM_UTF8, 'is not valid JSON'),
        ('{"ä": 1}'.encode('latin-1'), 'line 1: not UTF-8 text'),
        (b'[]', 'its top level is a list'),
        (b'[' * 100_000, 'nests too deeply'),
        (b'{"images": [], "annotations": [], "categories": []}', '"categories" is empty'),
    ],
    ids=range(7),
)
def test_every_error_names_the_file(root, content, words):
    (root / 'a.json').write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_coco(root / 'a.json', root / 'pictures')
    assert str(root / 'a.json') in str(error.value)


def test_not_a_number_is_found_in_its_annotation(root):
    (root / 'a.json').write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "x"}], '
        '"annotations": [{"id": 4, "image_id": 1, "category_id": 1, "bbox": [1, NaN, 3, 4]}]}'
    )
    with pytest.raises(ValueError, match=r'a.json: annotation 4 of image 1: its bbox \[1, nan, 3'):
        read_coco(root / 'a.json', root / 'pictures')


def test_what_is_asked_of_it(root):
    categories = [dict(id=0, name='pets', supercategory='none')]
    categories += [dict(id=i, name=n, supercategory='pets') for i, n in ((7, 'cat'), (3, 'dog'))]
    write(root / 'a.json', categories=categories)
    file = read_coco(root / 'a.json', root / 'pictures')
    assert file.names == ['pets', 'cat', 'dog'] and file.classes == ['cat', 'dog']
    assert file.counts == {'cat': 1} and file.ids == {'pets': 0, 'cat': 7, 'dog': 3}
    assert number_classes(file.ids, ['dog', 'emu', 'cat', 'owl']) == [3, 8, 7, 9]
    assert left_out(file, ['cat']) is None
    line = left_out(file, ['dog'])
    assert 'no class of the config: 1 of 1 annotations, left out (cat 1)' in line
