"""Importing cream_mm touches no network and no file outside the temporary folder."""

import os
import subprocess
import sys

import pytest

WATCH = """
import os, sys

kept = os.environ['TMPDIR']  # torch and matplotlib make folders there
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
REMOTE = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'urllib.Request')
CHANGES = ('os.mkdir', 'os.rename', 'os.symlink', 'os.link', 'os.truncate')

def watch(event, args):
    if event in REMOTE:
        raise SystemExit(f'network: {event} {args}')
    if event in CHANGES and not str(args[0]).startswith(kept):
        raise PermissionError(13, 'read-only', str(args[0]))
    if event == 'open' and isinstance(args[0], str):
        path, mode, flags = args
        writes = (flags or 0) & WRITES or set(mode or '') & set('wax+')
        if writes and path != '/dev/null' and not path.startswith(kept):
            raise PermissionError(13, 'read-only', path)
    # matplotlib looks for fonts, torch 2.1 for the number of cores.
    known = event == 'subprocess.Popen' and args[0] in ('fc-list', 'lscpu')
    if event in ('os.system', 'os.exec', 'subprocess.Popen') and not known:
        raise SystemExit(f'a process: {event} {args}')

sys.addaudithook(watch)
"""


def run(code, tmp_path, blocked=True):
    env = {k: v for k, v in os.environ.items() if not k.startswith(('XDG_', 'MPL'))}
    env.update(HOME='/nonexistent', TMPDIR=str(tmp_path), PYTHONDONTWRITEBYTECODE='1')
    command = [sys.executable, '-c', WATCH + code]
    return subprocess.run(command, env=env, cwd='/', capture_output=True, text=True, timeout=200)


def test_import_without_network_or_home(tmp_path):
    done = run('import cream_mm, cream_mm.apis; print(cream_mm.list_models()[0])', tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'cream-14m' in done.stdout


def imported_by(code, tmp_path):
    names = ('torch', 'mmengine', 'mmcv', 'mmcv.ops', 'mmdet', 'mmpretrain', 'timm', 'scipy')
    code = f'{code}\nprint(*[n for n in {names} if n in sys.modules])'
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split('\n')[-2].split()


def test_the_package_imports_what_is_asked_for(tmp_path):
    """In a line each, so that a process is begun twice and not five times."""
    assert imported_by('import cream_mm, cream_mm.command_line, cream_mm.deploy', tmp_path) == []
    code = """
import cream_mm
import cream_mm.config, cream_mm.registry
import cream_mm.datasets, cream_mm.files.arch_file, cream_mm.spaces, cream_mm.costs
"""
    assert imported_by(code, tmp_path) == ['mmengine']
    code = """
from cream_mm import create_model
create_model('cream-14m', features_only=True)
"""
    assert not {'mmdet', 'mmpretrain', 'timm', 'scipy'} & set(imported_by(code, tmp_path))


def test_names_are_there_when_they_are_asked_for():
    import cream_mm
    import cream_mm.deploy

    for name in cream_mm.__all__:
        assert getattr(cream_mm, name) is not None and name in dir(cream_mm)
    assert cream_mm.engine.Runner and cream_mm.datasets.ImageFolder and cream_mm.datasets.LoadImage
    assert cream_mm.models.CreamClsHead.__name__ == 'CreamClsHead'
    for module in (cream_mm, cream_mm.models, cream_mm.datasets, cream_mm.deploy):
        with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
            module.no_such_name  # noqa: B018
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_the_watch_would_see_it(tmp_path):
    network = 'import socket; socket.create_connection(("127.0.0.1", 9))'
    assert 'network: socket' in run(network, tmp_path).stderr
    assert 'PermissionError' in run('open("/var/tmp/x", "w")', tmp_path).stderr
    assert 'a process' in run('import os; os.system("true")', tmp_path).stderr
