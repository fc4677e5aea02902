import argparse
import errno
import os

import pytest
import torch

from cream_mm.command_line import OptionsAction, one_line_errors
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


# ---- --cfg-options -----------------------------------------------------------------------------


def options(*given):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    return parser.parse_args(['--cfg-options', *given]).cfg_options


@pytest.mark.parametrize(
    'name', ['2024', '007', '1e3', '2024.10', 'true', 'my data', 'a,b', '(x', '[y]', 'a=b', 'Käfer',
             '🐜', "it's", './"x"', '{{ x }}', ' blank']
)  # fmt: skip
def test_the_name_of_a_place_keeps_every_letter(name):
    for key in ('data_root', 'val_dataloader.dataset.folder', 'work_dir', 'load_from'):
        assert options(f'{key}={name}') == {key: name}


def test_quotes_around_a_place_and_the_home(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    given = options('data_root="my data"', "folder='x'", 'work_dir=~/runs', 'load_from=None')
    expected = dict(data_root='my data', folder='x', work_dir='/home/me/runs', load_from=None)
    assert given == expected


def test_other_values_are_as_mmengine_reads_them():
    given = options('budget.macs_m=[200, 350]', 'batch_size=8', 'scale=(96,64)', 'metric=None',
                    'optim_wrapper.optimizer.lr=1e-3', 'resume=true')  # fmt: skip
    assert given == {
        'budget.macs_m': [200, 350], 'batch_size': 8, 'scale': (96, 64), 'metric': None,
        'optim_wrapper.optimizer.lr': 1e-3, 'resume': True,
    }  # fmt: skip


def test_what_is_no_pair(capsys):
    with pytest.raises(SystemExit):
        options('batch_size')
    assert "'batch_size' is not of the form KEY=VALUE" in capsys.readouterr().err
