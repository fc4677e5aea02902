"""Cores, memory and places, of made-up machines."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cream_mm.checkup import machine
from cream_mm.checkup.machine import (
    GIB,
    _room,
    cannot_write,
    check_cores,
    check_places,
    check_python,
    check_shared_memory,
    cpu_quota,
    memory_limit,
)


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace('__', '/').replace('_dot_', '.')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_quotas_of_both_versions_of_cgroups(tmp_path):
    assert cpu_quota(write(tmp_path / 'a', cpu_dot_max='150000 100000\n')) == 1.5
    assert cpu_quota(write(tmp_path / 'b', cpu_dot_max='max 100000\n')) is None
    old = dict(cpu__cpu_dot_cfs_quota_us='200000', cpu__cpu_dot_cfs_period_us='100000')
    assert cpu_quota(write(tmp_path / 'c', **old)) == 2.0
    assert cpu_quota(write(tmp_path / 'd', **{**old, 'cpu__cpu_dot_cfs_quota_us': '-1'})) is None
    assert cpu_quota(tmp_path / 'none') is None
    assert memory_limit(write(tmp_path / 'e', memory_dot_max=f'{2 * GIB}\n')) == 2 * GIB
    assert memory_limit(write(tmp_path / 'f', memory_dot_max='max\n')) is None
    old = dict(memory__memory_dot_limit_in_bytes='9223372036854771712')
    assert memory_limit(write(tmp_path / 'g', **old)) is None


def test_fewer_cores_than_threads(monkeypatch):
    monkeypatch.setattr(machine, 'usable_cores', lambda: 16)
    monkeypatch.setattr(machine, 'cpu_quota', lambda: 2.5)
    monkeypatch.setattr(machine, 'memory_limit', lambda: 2 * GIB)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    cores, memory = check_cores()
    assert (cores.status, cores.remedy) == ('note', 'export OMP_NUM_THREADS=2')
    assert (memory.status, memory.text) == ('note', 'the container allows 2.0 GiB')
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    assert check_cores()[0].status == 'ok'


def test_an_old_python_and_another_system(monkeypatch):
    assert [one.status for one in check_python()][0] == 'ok'
    monkeypatch.setattr('sys.version_info', (3, 9, 18))
    monkeypatch.setattr('sys.platform', 'darwin')
    python, system = check_python()
    assert (python.status, python.remedy) == ('wrong', 'take Python 3.10 or later')
    assert system.status == 'note'


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='/proc is a folder nobody can write into')
def test_places_that_cannot_be_written_into(tmp_path, monkeypatch):
    assert cannot_write(tmp_path) is None and os.listdir(tmp_path) == []
    assert cannot_write(Path('/proc')).startswith('cannot be written into (')
    monkeypatch.setenv('HOME', '/proc/home')
    home, folder, temporary = check_places(Path('/proc'))
    assert (home.status, folder.status, temporary.status) == ('note', 'note', 'ok')
    assert 'CREAM_MM_CACHE and MPLCONFIGDIR' in home.remedy and '--work-dir' in folder.remedy

    def nowhere():
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(Path, 'home', nowhere)
    assert check_places(tmp_path)[0].text == (
        'home: there is none; caches go to the temporary folder'
    )


def test_little_room(tmp_path):
    def usage(size):
        return lambda path: SimpleNamespace(free=size * GIB, total=size * GIB)

    assert _room(tmp_path, usage(0.5)).status == 'note'
    assert _room(tmp_path, usage(5)).text.endswith('5.0 GiB are free')
    [one] = check_shared_memory(tmp_path, usage(0.0625))  # 64 MB, docker's
    assert one.status == 'note' and one.remedy.startswith('docker run --shm-size')
    assert check_shared_memory(tmp_path, usage(8))[0].status == 'ok'
