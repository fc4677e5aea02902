import copy
import json
import os
import pickle
import tracemalloc

import numpy as np
import pytest

from cream_mm.datasets import ImageFolder
from cream_mm.datasets.folder_listing import list_classes
from cream_mm.datasets.packed_images import PackedImages, is_packed, write_packed

FILES = {'ant': ['0.png', 'deep/1.png'], 'bee': [], 'cat': ['2.png']}


def pixels(count=3):
    return np.arange(count * 4 * 5 * 3).reshape(count, 4, 5, 3).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    write_packed(tmp_path / 'train', FILES, pixels())
    return tmp_path / 'train'


def test_what_was_written_is_read(folder):
    packed = PackedImages(folder)
    assert packed.files == FILES and list(packed.files) == list(FILES)
    assert len(packed) == 3
    assert all(np.array_equal(packed[i], pixels()[i]) for i in range(3))
    assert [packed.first_row(name) for name in FILES] == [0, 2, 2]
    assert np.array_equal(np.load(folder / 'images.npy'), pixels())  # for anyone


def test_a_sample_may_be_written_to(folder):
    packed = PackedImages(folder)
    packed[1][:] = 0
    assert np.array_equal(packed[1], pixels()[1])


def test_a_worker_gets_the_place_not_the_pixels(folder):
    packed = PackedImages(folder)
    assert len(pickle.dumps(packed)) < 300
    for other in (pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed)):
        assert np.array_equal(other[2], pixels()[2])
        assert isinstance(other._pixels.base, np.memmap)


def test_the_dataset_lists_it(folder):
    assert list_classes(folder.parent) == ['ant', 'bee', 'cat']
    with pytest.raises(ValueError, match='no image in .*bee'):  # as in an unpacked folder
        ImageFolder(str(folder.parent))


def test_folders_beside_it_are_not_passed_over(folder):
    assert is_packed(folder) and not is_packed(folder.parent)
    (folder / 'dog').mkdir()
    with pytest.raises(ValueError, match='holds packed images.*dog. Remove one'):
        list_classes(folder.parent)


@pytest.mark.parametrize('name', ['images.npy', 'images.json'])
def test_a_half_is_refused(folder, name):
    (folder / name).unlink()
    assert is_packed(folder)
    with pytest.raises(FileNotFoundError, match=f'{name} is missing; write the folder again'):
        PackedImages(folder)


def test_damaged_pixels(folder):
    path = folder / 'images.npy'
    whole = path.read_bytes()
    for content in (whole[:-7], whole[:60], b'', b'x' * 200):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='images.npy is damaged'):
            PackedImages(folder)
    for wrong in (pixels(2), pixels().astype(np.float32), pixels()[..., 0]):
        np.save(path, wrong)
        with pytest.raises(ValueError, match=r'names 3 images|not \(N, H, W, 3\) of uint8'):
            PackedImages(folder)
    np.save(path, np.array([print, None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match='damaged'):  # nothing is unpickled
        PackedImages(folder)


def test_no_more_is_read_than_is_declared(folder):
    path = folder / 'images.npy'
    whole = path.read_bytes()

    def refused(content, size, message):
        path.write_bytes(content)
        os.truncate(path, size)  # the rest is a hole
        tracemalloc.start()
        with pytest.raises(ValueError, match=message):
            PackedImages(folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2e6

    ten_gb = 10 * 10**9
    refused(b'', ten_gb, 'damaged')
    refused(whole, ten_gb, f'{ten_gb - len(whole)} bytes too many')
    refused(whole[:-7], len(whole) - 7, '7 bytes too few')
    # A header that says to be of 4 GB.
    refused(b'\x93NUMPY\x02\x00' + b'\xff' * 4, ten_gb, r'NPY version \(2, 0\)')
    refused(b'\x93NUMPY\x01\x00' + b'\xff' * 2 + b'(' * 65535, ten_gb, 'damaged')
    # One image as large as the file: it would be read as a whole.
    side, header = 57_000, np.lib.format
    with open(path, 'wb') as file:
        fields = dict(descr='|u1', fortran_order=False, shape=(3, side, side, 3))
        header.write_array_header_1_0(file, fields)
        end = file.tell()
    refused(path.read_bytes(), end + 9 * side**2, 'images of 57000 x 57000 pixels')


@pytest.mark.parametrize('name', ['images.npy', 'images.json'])
@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_special_files_are_refused(folder, name, kind):
    path = folder / name
    path.unlink()
    if kind == 'pipe':
        os.mkfifo(path)
    else:
        path.symlink_to('/dev/zero')
    assert is_packed(folder)
    with pytest.raises(ValueError, match=f'{name} is a {kind}, not a regular file'):
        list_classes(folder.parent)


@pytest.mark.parametrize(
    'content',
    ['{', '[]', '{"files": {}}', '[' * 100_000, '{"format": "cream_mm.packed_images/1"}',
     json.dumps(dict(format='cream_mm.packed_images/1', files=dict(ant=[1, 2, 3]))),
     json.dumps(dict(format='cream_mm.packed_images/2', files=FILES))],
    ids=['cut', 'list', 'no format', 'deep', 'no files', 'numbers', 'later format'],
)  # fmt: skip
def test_damaged_names(folder, content):
    (folder / 'images.json').write_text(content)
    with pytest.raises(ValueError, match=r'images\.json is (damaged|not of the format)'):
        PackedImages(folder)


def test_too_few_images_leave_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match='3 names, but 2 images'):
        write_packed(tmp_path, FILES, pixels(2))
    with pytest.raises(FileNotFoundError):
        PackedImages(tmp_path)
