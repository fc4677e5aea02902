"""Processes that want the same work directory. Children are forked: they import nothing."""

import errno
import json
import os
import shutil
import signal
import socket
import sys
import time
import types
from contextlib import contextmanager

import pytest

from cream_mm.engine import work_dir_lock
from cream_mm.engine.work_dir_lock import LOCK_FILE, hold_work_dir, release_work_dir


@contextmanager
def process(function, *args):
    """``function(*args)`` in another process, which then waits to be killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            message = 'ok'
            try:
                function(*args)
            except Exception as error:
                message = f'{type(error).__name__}: {error}'
            os.write(write, message.encode())
            time.sleep(60)
        finally:
            os._exit(0)
    os.close(write)
    with open(read, 'rb', buffering=0) as file:
        said = file.read(10_000).decode()
    try:
        yield types.SimpleNamespace(pid=pid, said=said)
    finally:
        end(pid)


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        pass


def ask(function, *args):
    """What another process says to ``function(*args)``."""
    with process(function, *args) as other:
        return other.said


@pytest.fixture(params=['locks', 'no locks'])
def system(request, monkeypatch):
    """A file system with locks, and one without."""
    if request.param == 'no locks':

        def lockf(*args):
            raise OSError(errno.ENOLCK, 'No locks available')

        fake = types.SimpleNamespace(lockf=lockf, LOCK_EX=2, LOCK_NB=4)
        monkeypatch.setattr(work_dir_lock, 'fcntl', fake)
    return request.param


def test_the_second_process_is_refused(tmp_path, system):
    with process(hold_work_dir, tmp_path) as first:
        assert first.said == 'ok'
        with pytest.raises(ValueError) as error:
            hold_work_dir(tmp_path)
        assert f'process {first.pid} on {socket.gethostname()!r}' in str(error.value)
        assert 'another --work-dir' in str(error.value) and '\n' not in str(error.value)
        (tmp_path / 'link').symlink_to(tmp_path)
        with pytest.raises(ValueError, match='in use'):
            hold_work_dir(tmp_path / 'link')
        hold_work_dir(tmp_path / 'other')  # another folder
        release_work_dir(tmp_path / 'other')


def test_a_killed_process_leaves_the_folder_free(tmp_path, system):
    with process(hold_work_dir, tmp_path) as first:
        end(first.pid)
        assert json.loads((tmp_path / LOCK_FILE).read_text())['pid'] == first.pid
        hold_work_dir(tmp_path)
        release_work_dir(tmp_path)


def test_a_worker_that_outlives_its_run_does_not_hold_the_folder(tmp_path):
    """A data loader's worker notices after some seconds that its run was killed."""

    def run_with_worker():
        hold_work_dir(tmp_path)
        worker = os.fork()
        if worker == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / 'worker').write_text(str(worker))

    with process(run_with_worker) as first:
        worker = int((tmp_path / 'worker').read_text())
        try:
            assert 'in use' in ask(hold_work_dir, tmp_path)
            end(first.pid)
            os.kill(worker, 0)  # alive
            assert ask(hold_work_dir, tmp_path) == 'ok'
        finally:
            os.kill(worker, signal.SIGKILL)


def test_another_process_with_the_number_of_a_killed_one(tmp_path, system):
    """What the file says about a process of that number must fit, too."""
    record = dict(pid=os.getpid(), host=socket.gethostname(), since='then', started='1')
    (tmp_path / LOCK_FILE).write_text(json.dumps(record))
    assert ask(hold_work_dir, tmp_path) == 'ok'


def test_another_host_without_locks(tmp_path, system, monkeypatch):
    told = []
    monkeypatch.setattr(work_dir_lock, 'print_log', lambda text, *args, **kw: told.append(text))
    record = dict(pid=7, host='elsewhere', since='then', started='1')
    (tmp_path / LOCK_FILE).write_text(json.dumps(record))
    hold_work_dir(tmp_path)
    release_work_dir(tmp_path)
    assert len(told) == (system == 'no locks')
    assert all('process 7 on elsewhere' in text for text in told)


def test_a_process_may_hold_it_twice_and_let_go(tmp_path, system):
    hold_work_dir(tmp_path)
    hold_work_dir(tmp_path)
    assert 'in use' in ask(hold_work_dir, tmp_path)  # a fork is another process
    release_work_dir(tmp_path)
    release_work_dir(tmp_path)
    assert ask(hold_work_dir, tmp_path) == 'ok'


@pytest.mark.parametrize(
    'content', ['', 'x', '[1]', '{"pid": "1"}', '[' * 5000, '{"pid":1,"host":"a","started":2}']
)
def test_a_lock_file_of_anything(tmp_path, system, content):
    (tmp_path / LOCK_FILE).write_text(content)
    hold_work_dir(tmp_path)
    release_work_dir(tmp_path)


@pytest.mark.skipif(sys.platform == 'win32', reason='no such files')
@pytest.mark.parametrize('kind', ['link', 'pipe', 'folder'])
def test_a_lock_file_that_is_none(tmp_path, kind):
    (tmp_path / 'mine').write_text('kept')
    path = tmp_path / 'run' / LOCK_FILE
    path.parent.mkdir()
    if kind == 'link':
        path.symlink_to(tmp_path / 'mine')
    elif kind == 'pipe':
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match='run.lock'):
        hold_work_dir(path.parent)
    assert (tmp_path / 'mine').read_text() == 'kept'
    shutil.rmtree(path.parent)
