import os
import socket

import pytest

from cream_mm.files import read_bytes


def test_reads_through_links(tmp_path):
    (tmp_path / 'a').write_bytes(b'content')
    (tmp_path / 'b').symlink_to('a')
    assert read_bytes(tmp_path / 'a') == read_bytes(str(tmp_path / 'b')) == b'content'


@pytest.mark.parametrize(
    ('kind', 'make'),
    [
        ('a device', lambda path: path.symlink_to('/dev/zero')),
        ('a pipe', os.mkfifo),
        ('a folder', lambda path: path.mkdir()),
    ],
)
def test_what_is_not_regular_is_named(tmp_path, kind, make):
    make(tmp_path / 'x.jpg')
    (tmp_path / 'link.jpg').symlink_to('x.jpg')
    for name in ('x.jpg', 'link.jpg'):
        with pytest.raises(ValueError, match=f'{name} is {kind}, not a regular file'):
            read_bytes(tmp_path / name)


def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('x.jpg')
        with pytest.raises(ValueError, match='a socket, not a regular file'):
            read_bytes('x.jpg')


def test_missing_and_circles_are_errors_of_the_system(tmp_path):
    (tmp_path / 'broken').symlink_to('nowhere')
    (tmp_path / 'a').symlink_to('b')
    (tmp_path / 'b').symlink_to('a')
    for name in ('gone', 'broken', 'a'):
        with pytest.raises(OSError, match=name):
            read_bytes(tmp_path / name)


def test_a_sparse_file_is_not_read(tmp_path):
    path = tmp_path / 'huge.jpg'
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(ValueError, match='huge.jpg is too large: 1,099,511,627,776 bytes'):
        read_bytes(path)
    os.truncate(path, 11)
    with pytest.raises(ValueError, match='11 bytes, over 10'):
        read_bytes(path, max_bytes=10)
    assert read_bytes(path, max_bytes=11) == bytes(11)


@pytest.mark.skipif(not os.path.isfile('/proc/self/status'), reason='no /proc')
def test_files_of_proc_are_empty():
    assert read_bytes('/proc/self/status') == b''
