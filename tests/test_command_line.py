import argparse
import errno
import os

import pytest
import torch
from mmengine.config import DictAction

from cream_mm.command_line import (
    OptionsAction,
    check_checkpoint,
    check_config,
    check_file,
    one_line_errors,
    tool_parser,
)
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
    'values',
    [
        ['a=1', 'b=1.5', 'c=1e-3', 'd=True', 'e=false', 'f=None', 'g=text', 'h=', 'i=a=b'],
        ['a=1,2,3', 'b=[1,2]', 'c=(1,2)', 'd=[(1,2),[a,b],c]', 'e="x y"', "f='[1, 2]'", 'g=[]'],
        ['model.backbone.arch=[[0],[3,3],[0]]', 'a.0.b=x', 'a=1', 'a=2', 'b=nan', 'c=-1'],
    ],
)
def test_options_are_those_of_mmengine(values):
    parsers = [argparse.ArgumentParser() for _ in range(2)]
    for parser, action in zip(parsers, (OptionsAction, DictAction)):
        parser.add_argument('--cfg-options', nargs='+', action=action)
    argv = ['--cfg-options', *values]
    ours, theirs = (parser.parse_args(argv * 2).cfg_options for parser in parsers)
    assert repr(ours) == repr(theirs)  # nan is not itself


@pytest.mark.parametrize('value', ['a', '', '=1', ' =1', 'a=[(1,2]', 'a=1,(2'])
def test_what_is_no_option_ends_the_command(value, capsys):
    parser = tool_parser('What it does.\n\n  as it stands')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'b=1', value])
    assert 'error: argument --cfg-options: ' in capsys.readouterr().err
    assert 'What it does.\n\n  as it stands' in parser.format_help()


def test_files_that_are_not_there(tmp_path):
    (tmp_path / 'config.py').touch()
    (tmp_path / 'config.yaml').touch()
    check_config(tmp_path / 'config.py')
    with pytest.raises(ValueError, match='a .py file; got .*config.yaml'):
        check_config(tmp_path / 'config.yaml')
    for check, what in ((check_config, 'no config file'), (check_checkpoint, 'no checkpoint')):
        for path in (tmp_path, tmp_path / 'gone'):
            with pytest.raises(FileNotFoundError, match=f'^{what} {path}$'):
                check(path)
    with pytest.raises(FileNotFoundError, match='^no table$'):
        check_file(tmp_path / 'gone', 'no table')
