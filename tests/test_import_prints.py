"""One line of the OneDL forks is kept off the screen, and nothing else."""

import importlib
import io
import subprocess
import sys

import pytest

from cream_mm import import_prints
from cream_mm.import_prints import silence_onedl

NAME = 'made_up.datasets'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that prints while it is imported, as mmpretrain's does."""
    (tmp_path / 'made_up').mkdir()
    (tmp_path / 'made_up/__init__.py').write_text('')
    (tmp_path / 'made_up/datasets.py').write_text(
        "print('Could not import OneDL')\nprint('Could not import OneDL. Skip')\n"
        "print('something else')\nvalue = 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(import_prints, '_MODULES', (NAME,))
    silence_onedl()
    yield
    for name in (NAME, 'made_up'):
        sys.modules.pop(name, None)


def test_only_that_line(package, capsys):
    stdout = sys.stdout
    assert importlib.import_module(NAME).value == 7
    assert capsys.readouterr().out == 'something else\n'
    assert sys.stdout is stdout


def test_an_error_of_an_import_stays_one(package, tmp_path):
    (tmp_path / 'made_up/datasets.py').write_text('1 / 0\n')
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(NAME)
    assert not isinstance(sys.stdout, import_prints._Rest)


def test_twice_is_once():
    silence_onedl()
    silence_onedl()
    assert sum(isinstance(finder, import_prints._Finder) for finder in sys.meta_path) == 1


def test_the_line_itself(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', import_prints._Rest(stream))
    print('Could not import OneDL')
    print('a', 'Could not import OneDL')
    assert stream.getvalue() == 'a Could not import OneDL\n'


def test_nobody_sees_it():
    command = 'import cream_mm, mmdet.datasets, mmpretrain.datasets'
    done = subprocess.run([sys.executable, '-c', command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'OneDL' not in done.stdout
