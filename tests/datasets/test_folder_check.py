"""What is found in a folder before a run, against decoding and comparing all of it."""

import re
from collections import defaultdict
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cream_mm.datasets import folder_check as module
from cream_mm.datasets.folder_check import Picture, look_at, why_unreadable
from cream_mm.datasets.transforms.load_image import decode_image

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)


def encoded(kind, **kwargs):
    buffer = BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **kwargs)
    return buffer.getvalue()


WHOLE = {kind: encoded(kind) for kind in ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'AVIF')}


@pytest.mark.parametrize('kind', WHOLE)
def test_it_says_what_decoding_says(tmp_path, kind):
    """Cut anywhere, or with something behind it."""
    content, path = WHOLE[kind], tmp_path / 'a.jpg'
    cuts = [1, 3, 8, 20, len(content) // 2, len(content) - 40, len(content) - 3, len(content) - 1]
    for test in (content, content + b'\0' * 30, *(content[:cut] for cut in cuts)):
        path.write_bytes(test)
        try:
            decode_image(test)
            is_readable = True
        except (OSError, SyntaxError, ValueError):
            is_readable = False
        assert (why_unreadable(path) is None) == is_readable, (kind, len(test), len(content))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP', 'WEBP'])
def test_whole_files_are_not_decoded(tmp_path, kind, monkeypatch):
    (tmp_path / 'a').write_bytes(WHOLE[kind])
    monkeypatch.setattr(module, 'decode_image', lambda content: 1 / 0)
    assert why_unreadable(tmp_path / 'a') is None


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'the file is empty'),
        (WHOLE['JPEG'][:400], 'truncated|Truncated'),
        (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'a HEIC image, whatever its name.*pillow-heif'),
        (b'<!DOCTYPE html><html>404</html>', 'a web page or XML'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        (b'hello', 'no image of a format that Pillow knows'),
    ],
)
def test_reasons(tmp_path, content, reason):
    (tmp_path / 'a.jpg').write_bytes(content)
    assert re.search(reason, why_unreadable(tmp_path / 'a.jpg'))


def test_a_broken_link_and_a_folder(tmp_path):
    (tmp_path / 'a.jpg').symlink_to('nowhere')
    assert why_unreadable(tmp_path / 'a.jpg') == 'No such file or directory'
    assert 'is a folder, not a regular file' in why_unreadable(tmp_path)


# ---- the same picture in two places ------------------------------------------------------------


def set_of(tmp_path, seed=0, number=120):
    """Files of few sizes and contents; equal ends and other beginnings among them."""
    rng = np.random.default_rng(seed)
    pictures = []
    for i in range(number):
        split, name = ('train', 'val')[rng.integers(2)], 'abc'[rng.integers(3)]
        path = tmp_path / split / name / f'{i}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        head = bytes([rng.integers(3)]) * 2
        path.write_bytes(head + b'\x07' * 5000 * rng.integers(1, 3) + bytes([rng.integers(40)]))
        pictures.append(Picture(path, split, name))
    return pictures


@pytest.mark.parametrize('seed', range(3))
def test_repeated_pictures_are_those_of_equal_bytes(tmp_path, seed):
    pictures = set_of(tmp_path, seed)
    by_bytes = defaultdict(list)
    for picture in pictures:
        by_bytes[picture.path.read_bytes()].append(picture)
    expected = [group for group in by_bytes.values() if len(group) > 1]
    found = look_at(pictures)
    assert sorted(found.repeated) == sorted(expected) and len(expected) > 5
    for same in expected:
        several = [len({p.name for p in same}) > 1, len({p.split for p in same}) > 1]
        assert (same in found.in_two_classes, same in found.in_two_splits) == tuple(several)
        assert (same in found.in_one_class) == (not any(several))


def test_only_files_of_equal_size_are_read(tmp_path, monkeypatch):
    pictures = []
    for i in range(10):
        (tmp_path / f'{i}').write_bytes(b'x' * (i + 1))
        pictures.append(Picture(tmp_path / f'{i}', 'train', 'a'))
    monkeypatch.setattr(module, 'why_unreadable', lambda path: None)
    monkeypatch.setattr(module, '_tail', lambda path: 1 / 0)
    assert look_at(pictures).repeated == []


def test_it_is_bounded(tmp_path):
    pictures = set_of(tmp_path)
    assert look_at(pictures, max_images=119) == (120, 0, [], [])
    assert look_at(pictures, max_images=120).num_seen == 120
    found = look_at(pictures, max_seconds=-1)
    assert found.num_seen == 0 and found.num_images == 120
