import errno
import os

import pytest
import torch

from cream_mm.command_line import check_writable, one_line_errors
from cream_mm.files import write_whole


def test_errors_of_ours_are_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    unwritable = pytest.raises(SystemExit, match='^error: cannot write .*file/x: ')
    with unwritable as end, one_line_errors():
        write_whole(tmp_path / 'dir', b'')
        (tmp_path / 'dir').unlink()
        (tmp_path / 'dir').mkdir()
        os.rename(tmp_path / 'file', tmp_path / 'dir/file')
        (tmp_path / 'dir/file').unlink()
        (tmp_path / 'dir/file').mkdir()
        (tmp_path / 'dir/file/x').mkdir()
        write_whole(tmp_path / 'dir/file/x', b'')  # a folder is in the way
    assert '\n' not in str(end.value)


def test_a_full_disk_elsewhere_is_one_line_too():
    with pytest.raises(SystemExit, match='No space left.*--resume'), one_line_errors():
        raise OSError(errno.ENOSPC, 'No space left on device', 'scalars.json')


def test_other_errors_keep_their_traceback():
    with pytest.raises(PermissionError), one_line_errors():
        raise PermissionError('not ours')


@pytest.mark.parametrize(
    'fault',
    [
        lambda: torch.empty(2**60),  # what torch says on this machine
        lambda: bytearray(2**62),
        lambda: (_ for _ in ()).throw(
            torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        ),
        lambda: (_ for _ in ()).throw(RuntimeError('CUDA error: out of memory\nmore of it')),
    ],
    ids=['cpu', 'python', 'cuda', 'driver'],
)
def test_out_of_memory_names_what_helps(fault, capsys):
    with pytest.raises(SystemExit) as end, one_line_errors():
        fault()
    message = str(end.value)
    assert message.startswith('error: out of memory: ') and '\n' not in message
    assert 'batch_size=N' in message and '--amp' in message and '--resume' in message
    assert 'Traceback' in capsys.readouterr().err


def test_other_runtime_errors_keep_their_traceback():
    with pytest.raises(RuntimeError, match='shape'), one_line_errors():
        raise RuntimeError('shape mismatch')


@pytest.mark.parametrize(
    ('folder', 'line'),
    [
        ('file/run', 'cannot write into HERE/file/run: HERE/file: Not a directory'),
        ('file', 'cannot write into HERE/file: Not a directory'),
        ('/proc/run', 'cannot write into /proc/run: /proc: No such file or directory'),
        ('gone/run', 'cannot write into HERE/gone/run: HERE/gone: No such file or directory'),
    ],
)
def test_a_folder_that_cannot_be_written(folder, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    (tmp_path / 'gone').symlink_to(tmp_path / 'nowhere')
    with pytest.raises(SystemExit) as end, one_line_errors():
        check_writable(folder)
    line = line.replace('HERE', str(tmp_path))
    assert str(end.value) == f'error: {line}. Name another folder, with --work-dir'
    check_writable('new/run')
    check_writable(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'gone']  # nothing is left


def test_an_error_of_the_system_names_its_file(tmp_path, monkeypatch):
    """What a call to it raises in a file of ours holds the name beside the text."""
    monkeypatch.setattr('sys.argv', [__file__])
    with pytest.raises(SystemExit) as end, one_line_errors():
        os.mkdir(tmp_path / 'nowhere' / 'report')
    assert str(end.value) == f'error: {tmp_path}/nowhere/report: No such file or directory'
