"""Files that are on the disk whole, or as they were."""

import errno
import os

import pytest

from cream_mm.files import write_json, write_whole


def test_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / 'folder/file'
    write_whole(path, b'old')
    write_whole(path, b'new')
    assert path.read_bytes() == b'new' and os.listdir(path.parent) == ['file']
    write_json(path, dict(a=1))
    assert path.read_text() == '{\n "a": 1\n}\n'


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / 'file'
    write_whole(path, b'old')

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match='cannot write .*file: No space left on device') as error:
        write_whole(path, b'new')
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['file']
