import argparse
import errno
import os
import subprocess
import sys
import warnings

import pytest
import torch
from mmengine.config import DictAction

from cream_mm.command_line import (
    OptionsAction,
    check_checkpoint,
    check_config,
    check_file,
    check_pair,
    check_writable,
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


def test_an_import_says_nothing_of_a_metric_that_nobody_asked_for():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        with one_line_errors():
            warnings.warn('faster_coco_eval is not installed, and more', stacklevel=1)
            warnings.warn('another', stacklevel=1)
    assert [str(warning.message) for warning in caught] == ['another']


@pytest.mark.parametrize(('tool', 'words'), [('train.py', '--resume'), ('report.py', 'stays')])
def test_an_interrupted_command_says_how_to_go_on(monkeypatch, capsys, tool, words):
    monkeypatch.setattr('sys.argv', [f'tools/{tool}'])
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130
    (line,) = capsys.readouterr().err.split('\n')[1:-1]
    assert line.startswith('interrupted: ') and words in line


def test_a_reader_that_has_enough_ends_it_without_a_word():
    code = 'from cream_mm.command_line import one_line_errors\nwith one_line_errors():\n'
    code += "    for i in range(9999): print('line', i, flush=True)"
    command = [sys.executable, '-c', code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'line 0\n'
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b'', 141)
    with pytest.raises(BrokenPipeError), one_line_errors():  # of a worker
        raise BrokenPipeError(errno.EPIPE, 'Broken pipe')


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(FileNotFoundError, match='no config file .*: it is a folder.*--resume'):
        check_config(str(tmp_path))


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
    message = capsys.readouterr().err
    is_pair = value.startswith('a=')
    assert 'error: argument --cfg-options: ' in message
    assert (f'{value!r} is not of the form KEY=VALUE' in message) is not is_pair
    assert 'What it does.\n\n  as it stands' in parser.format_help()


@pytest.mark.parametrize(
    'text', ["{'a':1}", "{'a':1,'b':[1,2]}", 'dict(a=1, b=2)', "[{'a':1},{'b':2}]", '{}']
)
def test_a_dictionary_is_no_value_of_an_option(text, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', f'model.teacher={text}'])
    message = capsys.readouterr().err
    assert 'model.teacher is given a dictionary; give its entries one by one, ' in message
    assert 'model.teacher.NAME=V' in message


def test_files_that_are_not_there(tmp_path, monkeypatch):
    (tmp_path / 'config.py').touch()
    (tmp_path / 'config.yaml').touch()
    check_config(tmp_path / 'config.py')
    with pytest.raises(ValueError, match='a .py file; got .*config.yaml'):
        check_config(tmp_path / 'config.yaml')
    for check, what in ((check_config, 'no config file'), (check_checkpoint, 'no checkpoint')):
        for path in (tmp_path, tmp_path / 'gone'):
            with pytest.raises(FileNotFoundError, match=f'^{what} {path}(: it is a folder.*)?$'):
                check(path)
    for name in ('configs/photos/search.py', 'photos/search.py'):
        monkeypatch.chdir(tmp_path)
        for check in (check_config, lambda path: check_pair(path, None)):
            with pytest.raises(
                FileNotFoundError,
                match=f'no config file {tmp_path / name}.*; '
                'that of the package is cream_mm::photos/search.py$',
            ):
                check(name)
    with pytest.raises(FileNotFoundError, match='^no table$'):
        check_file(tmp_path / 'gone', 'no table')


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
    for key in ('data_root', 'val_dataloader.dataset.folder', 'work_dir', 'load_from',
                'train_dataloader.dataset.data_prefix.img'):  # fmt: skip
        assert options(f'{key}={name}') == {key: name}


def test_quotes_around_a_place_and_the_home(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    given = options('data_root="my data"', "folder='x'", 'work_dir=~/runs', 'load_from=None')
    expected = dict(data_root='my data', folder='x', work_dir='/home/me/runs', load_from=None)
    assert given == expected


@pytest.mark.parametrize(
    'text', ['01201201', '1201', '430 3340 2340 1441 14441 0', '1 1 0 1 | 0 2 0 2', '1e3',
             '|none~0|+|none~0|none~1|', 'lite0', 'my runs (2)/a, b/best_arch.json']
)  # fmt: skip
def test_an_architecture_keeps_every_letter(text):
    assert options(f'model.backbone.arch={text}', f'arch="{text}"') == {
        'model.backbone.arch': text, 'arch': text
    }  # fmt: skip


def test_an_architecture_in_brackets_is_a_list():
    nested = [[0], [3, 3], [0]]
    for text in ('[[0],[3,3],[0]]', ' [[0], [3, 3], [0]]', "'[[0],[3,3],[0]]'"):
        assert options(f'model.backbone.arch={text}') == {'model.backbone.arch': nested}
    assert options('arch=0, 1,2', 'b.arch=None') == {'arch': [0, 1, 2], 'b.arch': None}
    with pytest.raises(SystemExit):
        options('model.backbone.arch={"a": 1}')


def test_other_values_are_as_mmengine_reads_them():
    given = options('budget.macs_m=[200, 350]', 'batch_size=8', 'scale=(96,64)', 'metric=None',
                    'optim_wrapper.optimizer.lr=1e-3', 'resume=true',
                    'train_pipeline.3.pad_val.img=(114,114,114)')  # fmt: skip
    assert given == {
        'budget.macs_m': [200, 350], 'batch_size': 8, 'scale': (96, 64), 'metric': None,
        'optim_wrapper.optimizer.lr': 1e-3, 'resume': True,
        'train_pipeline.3.pad_val.img': (114, 114, 114),
    }  # fmt: skip
