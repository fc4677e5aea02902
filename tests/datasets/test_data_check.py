"""Findings: each is found where it was put, and only there."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets.box_set import Box
from cream_mm.datasets.data_check import check_source
from cream_mm.datasets.data_source import DataSource, Picture, open_source


def scene(path, seed, size=(80, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, alike in shares: 20 and 20 to train on, 10 and 10 to validate on."""
    for k, name in enumerate(('ant', 'bee')):
        for i in range(30):
            split = 'train' if i < 20 else 'val'
            scene(tmp_path / split / name / f'{i:02}.png', 100 * k + i)
    return tmp_path


def found(folder, level=None):
    check = check_source(open_source(folder))
    return [(f.text, f.examples) for f in check.findings if level in (None, f.level)], check


def texts(folder, level=None):
    return [text for text, _ in found(folder, level)[0]]


def test_a_good_set_has_only_its_small_validation_set(folder):
    (text,) = texts(folder)
    # sqrt(0.85 * 0.15 / 20) is 7.98 points; of two of them, 95 %: 22.1.
    assert text.startswith('val has 20 images') and '8.0 points' in text and '22.1 points' in text


def test_a_picture_in_two_classes_and_one_in_two_splits(folder):
    shutil.copy(folder / 'train/ant/03.png', folder / 'train/bee/wrong.png')
    shutil.copy(folder / 'train/ant/04.png', folder / 'val/ant/seen.png')
    Image.open(folder / 'train/bee/05.png').save(folder / 'val/bee/look.jpg', quality=80)
    Image.open(folder / 'train/bee/06.png').save(folder / 'train/bee/twice.jpg', quality=80)
    warnings, _ = found(folder, 'warning')
    assert warnings[:3] == [
        ('1 group of pictures with the same bytes in two classes: WRONG LABELS, one of them at '
         'least', ['train/ant/03.png = train/bee/wrong.png']),
        ('1 group of pictures with the same bytes in two splits, so that results come out too high',
         ['train/ant/04.png = val/ant/seen.png']),
        ('1 group of pictures that look the same in two splits, so that results come out too high',
         ['train/bee/05.png = val/bee/look.jpg']),
    ]  # fmt: skip
    notes, check = found(folder, 'note')
    assert notes == [('1 group of pictures that look the same within one split',
                      ['train/bee/06.png = train/bee/twice.jpg'])]  # fmt: skip
    assert not check.has_errors


def test_files_that_cannot_be_read_are_errors(folder):
    (folder / 'train/ant/empty.jpg').write_bytes(b'')
    errors, check = found(folder, 'error')
    assert errors == [('1 image cannot be read whole: the file is empty', ['train/ant/empty.jpg'])]
    assert check.has_errors and check.findings[0].level == 'error'


def test_kinds_sizes_and_few_images(folder):
    Image.new('RGBA', (70, 70), (9, 9, 9, 9)).save(folder / 'train/ant/clear.png')
    scene(folder / 'train/ant/wee.png', 900, (20, 20))
    scene(folder / 'train/ant/long.png', 901, (400, 60))
    for i in range(9):
        scene(folder / f'train/cow/{i}.png', 800 + i)
    all_texts = texts(folder)
    for start in (
        '1 image with transparent parts', '1 image with a side of less than 32 pixels',
        '1 image more than 4 times as long as wide', '1 of 3 classes with fewer than 10 images',
        '1 of 3 classes without images in val',
    ):  # fmt: skip
        assert sum(text.startswith(start) for text in all_texts) == 1, start


def test_other_shares_in_val(folder):
    for i in range(60):
        scene(folder / f'val/bee/more{i}.png', 500 + i)  # chi-square 20, of 120 images
    check = check_source(open_source(folder))
    (finding,) = [f for f in check.findings if 'class shares' in f.text]
    assert finding.level == 'warning' and "Cramer's V 0.40" in finding.text
    assert finding.examples[0] in (
        'ant: 50.0 % of train, 12.5 % of val', 'bee: 50.0 % of train, 87.5 % of val',
    )  # fmt: skip
    assert check.counts() == {'train': [20, 20], 'val': [10, 70]}


def test_names_in_two_cases(folder):
    scene(folder / 'train/Ant/1.png', 700)
    (finding,) = [
        f for f in check_source(open_source(folder)).findings if 'differ in case' in f.text
    ]
    assert finding.examples == ['Ant / ant']


def test_boxes(tmp_path):
    pictures = []
    for i, boxes in enumerate((
        [Box(0, 5, 5, 30, 20), Box(0, 5, 5, 30, 20.5), Box(1, 5, 5, 30, 20)],  # one twice
        [Box(0, 5, 5, 3, 40)],  # tiny
        [Box(1, 1, 1, 10, 10)] + [Box(0, x, 20, 5, 5) for x in range(0, 808, 8)],  # 102
        [],
    )):  # fmt: skip
        path = tmp_path / f'{i}.png'
        scene(path, i)
        labels = tuple(box.label for box in boxes)
        pictures.append(Picture(str(path), path.name, labels, tuple(boxes)))
    source = DataSource(str(tmp_path), 'coco', '', ['ox', 'yak'], {'train': pictures})
    found = {f.text: f.examples for f in check_source(source).findings}
    for text, example in (
        ('1 box on top of another of the same class', '0.png'),
        ('1 box of less than 4 pixels', '1.png'),
        ('1 image with more than 100 boxes', '2.png'),
        ('1 image without a box', '3.png'),
    ):
        assert found[text] == [example]


def test_one_picture_that_is_labelled_in_two_ways(tmp_path):
    scene(tmp_path / 'a.png', 1)
    shutil.copy(tmp_path / 'a.png', tmp_path / 'b.png')
    pictures = [
        Picture(str(tmp_path / n), n, (k,), (Box(k, 1, 1, 20, 20),))
        for k, n in enumerate(('a.png', 'b.png'))
    ]
    source = DataSource(str(tmp_path), 'voc', '', ['ox', 'yak'], {'train': pictures})
    texts = [f.text for f in check_source(source).findings if f.level == 'warning']
    assert any('labelled differently' in text for text in texts)


def test_what_a_reader_of_boxes_leaves_out_as_unreadable_is_an_error(tmp_path):
    """Empty files, which it never hands on, as well as those that are cut off."""
    for split in ('train', 'val'):
        (tmp_path / f'images/{split}').mkdir(parents=True)
        (tmp_path / f'labels/{split}').mkdir(parents=True)
        for i in range(3):
            Image.new('RGB', (40, 40), (80 * i, 9, 9)).save(tmp_path / f'images/{split}/{i}.png')
            (tmp_path / f'labels/{split}/{i}.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    (tmp_path / 'data.yaml').write_text('train: images/train\nval: images/val\nnames: [a]\n')
    (tmp_path / 'images/train/1.png').write_bytes(b'')
    found = check_source(open_source(str(tmp_path)))
    (error,) = [finding for finding in found.findings if finding.level == 'error']
    assert 'images that cannot be read: 1, left out' in error.text and 'save them' in error.remedy
