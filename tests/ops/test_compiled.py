"""The cache of compiled kernels: whole and the user's own, or not used; then one line."""

import os
import subprocess
import sys

import pytest
import torch

from cream_mm.ops import compiled, cpu_kernels, norm_act
from cream_mm.ops.compiled import load_compiled

pytestmark = pytest.mark.skipif(cpu_kernels.load() is None, reason='no C++ compiler')

SOURCE = 'extern "C" int answer() { return 42; }\n'
# The file alone: importing cream_mm takes seconds.
LOAD = f"""
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location('compiled', {compiled.__file__!r})
compiled = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compiled)
try:
    flags = ['-shared', '-fPIC']
    print(compiled.load_compiled(pathlib.Path(sys.argv[1]), flags, ['answer']).answer())
except OSError as error:
    print('refused:', ' '.join(str(error).split()))
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'kernels.cpp'
    path.write_text(SOURCE)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / 'cache'
    monkeypatch.setenv('CREAM_MM_CACHE', str(folder))
    return folder


def load(source, flags=('-shared', '-fPIC'), symbols=('answer',), tell=print):
    return load_compiled(source, flags, symbols, tell).answer()


def library_of(cache):
    (path,) = cache.glob('cpu_*.so')
    return path


def in_another_process(source):
    """A library in use must not be written over: here it is loaded for as long as pytest runs."""
    done = subprocess.run(
        [sys.executable, '-c', LOAD, str(source)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_built_once_into_a_private_folder(source, cache, monkeypatch):
    assert load(source) == 42
    assert cache.stat().st_mode & 0o777 == 0o700
    before = library_of(cache).stat()
    assert before.st_mode & 0o777 == 0o700
    monkeypatch.setattr(compiled, '_build', None)  # it is not asked to
    assert load(source) == 42
    assert os.listdir(cache) == [library_of(cache).name]
    assert library_of(cache).stat() == before


@pytest.mark.parametrize('damage', ['cut short', 'garbage', 'empty', 'a bit', 'a folder'])
def test_what_is_not_whole_is_built_anew(source, cache, damage):
    assert in_another_process(source) == '42'
    path = library_of(cache)
    content = path.read_bytes()
    damaged = dict(
        [('cut short', content[:4096]), ('garbage', b'garbage' * 999), ('empty', b'')],
        **{'a bit': content[:-1] + bytes([content[-1] ^ 1])},
    )
    if damage == 'a folder':
        path.unlink()
        path.mkdir()
        assert 'refused' in in_another_process(source)
        return
    path.write_bytes(damaged[damage])
    assert in_another_process(source) == '42'
    assert library_of(cache).read_bytes() == content


def test_what_others_wrote_or_may_write_is_not_loaded(source, cache, tmp_path):
    assert in_another_process(source) == '42'
    path = library_of(cache)
    foreign = tmp_path / 'foreign.cpp'
    foreign.write_text(SOURCE.replace('42', '13'))
    planted = tmp_path / 'planted.so'
    subprocess.run(['g++', '-shared', '-fPIC', str(foreign), '-o', str(planted)], check=True)
    digest = compiled._digest(planted)  # a name that fits the content is no proof
    for make in (
        lambda to: to.symlink_to(planted),
        lambda to: to.write_bytes(planted.read_bytes()),
    ):
        target = path.with_name(f'{path.stem.split("-")[0]}-{digest}.so')
        make(target)
        if not target.is_symlink():
            target.chmod(0o666)
        assert in_another_process(source) == '42'
        target.unlink()
    cache.chmod(0o777)
    assert in_another_process(source).startswith('refused: others may write to')


@pytest.mark.skipif(
    not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='needs root to give away'
)
def test_files_and_folders_of_another_user(source, cache):
    assert in_another_process(source) == '42'
    path = library_of(cache)
    os.chown(path, 65534, 65534)
    assert in_another_process(source) == '42'
    assert library_of(cache).stat().st_uid == 0  # built anew
    os.chown(cache, 65534, 65534)
    assert 'belongs to another user' in in_another_process(source)


def test_several_processes_build_at_once(source, cache):
    command = [sys.executable, '-c', LOAD, str(source)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [p.communicate()[0].splitlines()[-1] for p in running] == ['42', '42']
    assert os.listdir(cache) == [library_of(cache).name]


def compiler(folder, script):
    path = folder / 'g++'
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_fails(source, cache, tmp_path, monkeypatch):
    script = "printf 'kaputt: Fehler: \\374bel\\nzweite Zeile\\n' >&2; exit 3"  # not UTF-8
    monkeypatch.setenv('CXX', compiler(tmp_path, script))
    with pytest.raises(OSError, match='failed with status 3: zweite Zeile'):
        load(source)
    monkeypatch.setenv('CXX', compiler(tmp_path, 'exit 0'))  # and writes nothing
    with pytest.raises(OSError, match='failed with status 0'):
        load(source)
    monkeypatch.setenv('CXX', '/nowhere/g++')
    with pytest.raises(OSError, match='/nowhere/g'):
        load(source)
    monkeypatch.setenv('CXX', 'env g++')  # a launcher and its compiler
    assert load(source) == 42


def test_a_library_without_the_functions_is_not_kept(source, cache):
    with pytest.raises(OSError, match='no function question'):
        load(source, symbols=['question'])
    assert not os.listdir(cache)


def test_folders_that_cannot_be_used(source, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('CREAM_MM_CACHE', str(tmp_path / 'file' / 'cache'))
    with pytest.raises(OSError, match='set CREAM_MM_CACHE to a folder of your own'):
        load(source)


@pytest.mark.parametrize('home', ['none', 'below a file', '/proc/here'])
def test_without_a_home_to_write_in_the_library_is_kept_with_temporary_files(
    home, source, tmp_path, monkeypatch
):
    def no_home():
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.delenv('CREAM_MM_CACHE', raising=False)
    (tmp_path / 'file').touch()
    (tmp_path / 'tmp').mkdir()
    monkeypatch.setattr(compiled.tempfile, 'tempdir', str(tmp_path / 'tmp'))
    if home == 'none':
        monkeypatch.setattr(compiled.Path, 'home', no_home)
    else:
        monkeypatch.setenv('HOME', str(tmp_path / 'file/home') if home != '/proc/here' else home)
    lines = []
    assert load(source, tell=lines.append) == 42
    folder = tmp_path / 'tmp' / f'cream_mm-{os.geteuid()}'
    reason = dict(none='there is no home folder')
    told = f'The CPU kernels are kept in {folder}: {reason.get(home, "")}'
    assert lines[0].startswith(told) and lines[0].endswith(
        'set CREAM_MM_CACHE to a folder of your own'
    )
    assert lines[1].startswith('Built the CPU kernels') and folder.stat().st_mode & 0o777 == 0o700
    assert load(source, tell=lines.append) == 42 and len(lines) == 3  # there already
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path)  # by whoever else may write there
    with pytest.raises(OSError, match=f'{folder} is a link'):
        load(source, tell=lines.append)


def test_words_that_are_no_command_and_links_in_a_circle(source, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv('CXX', 'g++ "')
        with pytest.raises(OSError, match='CXX is no command: No closing quotation'):
            load(source)
    (tmp_path / 'circle').symlink_to(tmp_path / 'circle')
    monkeypatch.setenv('CREAM_MM_CACHE', str(tmp_path / 'circle'))
    with pytest.raises(OSError, match='circle'):
        load(source)


def test_one_line_and_the_slow_path(tmp_path, monkeypatch, capsys):
    lines = []
    monkeypatch.setattr(cpu_kernels, 'print_log', lambda text, **kwargs: lines.append(text))
    script = "printf 'first\\nsecond error: line\\nthird\\n' >&2; exit 1"
    monkeypatch.setenv('CXX', compiler(tmp_path, script))
    cpu_kernels.load.cache_clear()
    try:
        assert cpu_kernels.load() is None and cpu_kernels.load() is None
        norm = torch.nn.BatchNorm2d(4)
        assert norm_act(torch.randn(2, 4, 3, 3), norm).isfinite().all()
    finally:
        monkeypatch.undo()
        cpu_kernels.load.cache_clear()
    (line,) = lines
    assert '\n' not in line and line.endswith(
        'second error: line): training on the CPU will be slower.'
    )


DENORMALS = f"""
import importlib.util, pathlib, threading
import numpy as np
import torch
spec = importlib.util.spec_from_file_location('compiled', {compiled.__file__!r})
compiled = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compiled)
compiled.load_compiled(pathlib.Path({str(cpu_kernels.SOURCE)!r}), {cpu_kernels.FLAGS}, ['pool'])

def survive():
    print(2.3e-308 / 4 > 0, 5e-324 * 1.0 == 5e-324, np.float32(1e-40) * np.float32(0.5) > 0,
          (np.full(999, 1e-310) * 0.5 > 0).all(),
          bool((torch.full((99999,), 1e-40) * 0.5 > 0).all()))

survive()
thread = threading.Thread(target=survive)
thread.start()
thread.join()
"""


def test_numbers_of_the_process_stay_what_they_were(monkeypatch):
    """-ffast-math at the linker would switch the process to flush-to-zero."""
    monkeypatch.delenv('CREAM_MM_CACHE')  # the real kernels, built already
    done = subprocess.run([sys.executable, '-c', DENORMALS], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ['True ' * 4 + 'True'] * 2, done.stderr
