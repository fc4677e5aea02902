"""Splits on the disk: what is written is read again as it was split, and the source stays."""

import json

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets.box_set import Box
from cream_mm.datasets.copies import Copies
from cream_mm.datasets.data_check import DataCheck
from cream_mm.datasets.data_source import DataSource, Picture, open_source
from cream_mm.datasets.picture_look import Look
from cream_mm.datasets.split_files import write_copy, write_lists


def made(root, names, labels, *, boxes=None, is_multi=False, classes=('ant', 'bee')):
    pictures = []
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(values).save(path)
        pictures.append(Picture(str(path), name, labels[i], boxes[i] if boxes else None))
    source = DataSource(str(root), '', '', list(classes), {'train': pictures}, is_multi=is_multi)
    looks = [Look(width=30, height=20) for _ in names]
    return DataCheck(source, looks, Copies(), [])


def state(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*.png')}


def read(folder, root):
    source = open_source(folder)
    return source, {
        split: sorted((p.path.rpartition('/')[2], [source.classes[k] for k in p.labels])
                      for p in pictures)
        for split, pictures in source.splits.items()
    }  # fmt: skip


CLASSES = ['train/ant/1.png', 'train/ant/2.png', 'train/bee/3 x,y.png', 'train/bee/4.png']
PARTS = dict(train=[0, 2], val=[1, 3])


@pytest.mark.parametrize('write', [write_copy, write_lists])
def test_class_folders(tmp_path, write):
    check = made(tmp_path / 'set', CLASSES, [(0,), (0,), (1,), (1,)])
    before = state(tmp_path / 'set')
    folder = write(check, PARTS, tmp_path / 'new')
    source, found = read(folder, tmp_path / 'set')
    assert source.kind == ('class_folders' if write is write_copy else 'label_table')
    assert found == {
        'train': [('1.png', ['ant']), ('3 x,y.png', ['bee'])],
        'val': [('2.png', ['ant']), ('4.png', ['bee'])],
    }
    assert state(tmp_path / 'set') == before


@pytest.mark.parametrize('write', [write_copy, write_lists])
def test_several_labels(tmp_path, write):
    labels = [(0, 1), (0,), (1,), (0, 1)]
    check = made(tmp_path / 'set', [f'{i}.png' for i in range(4)], labels, is_multi=True)
    source, found = read(write(check, PARTS, tmp_path / 'new'), tmp_path)
    assert source.is_multi
    assert found == {
        'train': [('0.png', ['ant', 'bee']), ('2.png', ['bee'])],
        'val': [('1.png', ['ant']), ('3.png', ['ant', 'bee'])],
    }


@pytest.mark.parametrize('write', [write_copy, write_lists])
def test_boxes(tmp_path, write):
    boxes = [(Box(0, 1, 2, 10.5, 9), Box(1, 3, 3, 5, 5, True)), (Box(1, 0, 0, 4, 4),), (), ()]
    labels = [tuple(box.label for box in own) for own in boxes]
    check = made(tmp_path / 'set', [f'a/{i}.png' for i in range(4)], labels, boxes=boxes)
    source = open_source(write(check, PARTS, tmp_path / 'new'))
    assert (source.kind, source.notes) == ('coco', [])
    assert {s: [p.boxes for p in ps] for s, ps in source.splits.items()} == {
        'train': [boxes[0], ()], 'val': [boxes[1], ()],
    }  # fmt: skip


def test_two_files_of_one_name_are_both_copied(tmp_path):
    check = made(tmp_path / 'set', ['train/ant/1.png', 'val/ant/1.png', 'val/bee/1.png'],
                 [(0,), (0,), (1,)])  # fmt: skip
    pictures = check.source.splits.pop('train')
    check.source.splits.update(train=pictures[:1], val=pictures[1:])
    write_copy(check, dict(train=[0, 1, 2]), tmp_path / 'new')
    assert sorted(state(tmp_path / 'new')) == [
        'train/ant/train_1.png', 'train/ant/val_1.png', 'train/bee/val_1.png',
    ]  # fmt: skip


def test_lists_are_written_anew_but_nothing_else(tmp_path):
    check = made(tmp_path / 'set', CLASSES, [(0,), (0,), (1,), (1,)])
    write_lists(check, dict(PARTS, test=[3]), tmp_path / 'new')
    write_lists(check, PARTS, tmp_path / 'new')
    assert sorted(p.name for p in (tmp_path / 'new').iterdir()) == [
        'images', 'split.json', 'train.csv', 'val.csv',
    ]  # fmt: skip
    assert json.loads((tmp_path / 'new/split.json').read_text())['images'] == dict(train=2, val=2)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/x').write_text('')
    with pytest.raises(FileExistsError, match='holds no split'):
        write_lists(check, PARTS, tmp_path / 'mine')
    with pytest.raises(FileExistsError, match='is there already'):
        write_copy(check, PARTS, tmp_path / 'mine')
    with pytest.raises(ValueError, match='would link to'):
        write_lists(check, PARTS, tmp_path / 'set/split')


def test_packed_images_are_refused(tmp_path):
    check = made(tmp_path / 'set', CLASSES, [(0,), (0,), (1,), (1,)])
    check.source.has_files = False
    with pytest.raises(ValueError, match='split the set that they were packed from'):
        write_copy(check, PARTS, tmp_path / 'new')
