"""Copies: by bytes, by look, by name; other pictures are none."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from cream_mm.datasets import copies
from cream_mm.datasets.copies import find_copies, num_bits
from cream_mm.datasets.picture_look import look_at_pictures


def scene(seed):
    """Smooth noise: as different from another as photographs are."""
    values = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    for seed in range(6):
        scene(seed).save(tmp_path / f'{seed}.jpg', quality=95)
    return tmp_path


def found_in(folder):
    paths = sorted(str(p) for p in folder.iterdir())
    found = find_copies(look_at_pictures(paths), paths)

    def names(groups):
        return [[paths[i].rpartition('/')[2] for i in group] for group in groups]

    return names(found.by_bytes), names(found.by_look), names(found.by_name), found


def test_different_pictures_are_no_copies(folder):
    *groups, found = found_in(folder)
    assert groups == [[], [], []]
    assert found.groups(6) == [0, 1, 2, 3, 4, 5] and found.is_whole


def test_copies_by_bytes_and_by_look(folder):
    (folder / 'same.jpg').write_bytes((folder / '0.jpg').read_bytes())
    scene(1).save(folder / 'weak.jpg', quality=25)
    scene(1).resize((70, 60)).save(folder / 'wee.png')
    ImageEnhance.Brightness(scene(2)).enhance(0.85).save(folder / 'x_dark.jpg')
    by_bytes, by_look, _, found = found_in(folder)
    assert by_bytes == [['0.jpg', 'same.jpg']]
    assert by_look == [['1.jpg', 'weak.jpg', 'wee.png'], ['2.jpg', 'x_dark.jpg']]
    assert found.groups(10) == [0, 1, 2, 3, 4, 5, 0, 1, 1, 2]


def test_a_group_by_look_holds_copies_by_bytes_too(folder):
    (folder / 'same.jpg').write_bytes((folder / '0.jpg').read_bytes())
    scene(0).save(folder / 'weak.jpg', quality=25)
    by_bytes, by_look, _, _ = found_in(folder)
    assert (by_bytes, by_look) == ([['0.jpg', 'same.jpg']], [['0.jpg', 'same.jpg', 'weak.jpg']])


def test_pictures_of_one_colour_do_not_look_alike(tmp_path):
    for level in (100, 101):
        Image.new('RGB', (40, 40), (level,) * 3).save(tmp_path / f'{level}.png')
    assert found_in(tmp_path)[1] == []


def test_of_very_many_only_equal_hashes_are_compared(folder, monkeypatch):
    monkeypatch.setattr(copies, 'MAX_COMPARED', 3)
    Image.open(folder / '3.jpg').save(folder / 'again.png')
    _, by_look, _, found = found_in(folder)
    assert not found.is_whole
    assert by_look == [['3.jpg', 'again.png']]


def test_names_of_augmented_copies(folder):
    for mark in ('0123456789abcdef', 'fedcba9876543210'):
        scene(int(mark[0], 16) + 20).save(folder / f'cat_jpg.rf.{mark}.jpg')
    (names,) = found_in(folder)[2]
    assert names == ['cat_jpg.rf.0123456789abcdef.jpg', 'cat_jpg.rf.fedcba9876543210.jpg']


def test_bits_are_counted_alike_with_any_numpy(monkeypatch):
    values = np.array([0, 1, 2**64 - 1, 0x8000000000000001, 12345678901234567], np.uint64)
    right = [int(v).bit_count() for v in values.tolist()]
    assert num_bits(values).tolist() == right
    monkeypatch.delattr(np, 'bitwise_count', raising=False)
    assert num_bits(values).tolist() == right
