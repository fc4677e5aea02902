"""Run as a script, as it is; what it imports is made up, so that it takes no time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cream_mm.checkup import import_probe

PROBE = import_probe.__file__


def probe(folder, *names, cwd=None, **env):
    done = subprocess.run(
        [sys.executable, PROBE, *names], capture_output=True, text=True, cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(folder), **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(folder, name, text):
    path = folder / 'lib/site-packages' / name / '__init__.py'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder / 'lib/site-packages'


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('cv2', 'raise ImportError("libGL.so.1: cannot open shared object file: No such file")',
         'OpenCV needs libGL.so.1, which this machine lacks, as it has no screen.'),
        ('pycocotools', 'raise ValueError("numpy.dtype size changed, may indicate")',
         'pycocotools was built for another numpy than '),
        ('xtcocotools', 'import numpy; numpy.float', 'xtcocotools uses np.float, which numpy '),
    ],
)  # fmt: skip
def test_broken_packages_are_explained(tmp_path, name, text, message):
    folder = write(tmp_path, name, text)
    [begun, found] = probe(folder, name, cwd=tmp_path)
    assert begun == dict(begin=name)
    assert found['ok'] is False and found['error'].startswith(message), found


def test_a_torn_opencv_is_noticed(tmp_path):
    """It imports, as an empty folder does."""
    folder = write(tmp_path, 'cv2', 'x = 1')
    [_, found] = probe(folder, 'cv2')
    assert found['ok'] is False and 'OpenCV is torn' in found['error']


def test_neither_its_own_folder_nor_the_current_one_hides_a_module(tmp_path):
    """cream_mm/checkup/machine.py is no module of anybody's, nor types.py where the user stands."""
    (tmp_path / 'types.py').write_text('raise SystemExit("the wrong one")')
    for name in ('machine', 'imports', 'installation'):
        assert (Path(PROBE).parent / f'{name}.py').is_file()
    found = probe('', 'machine', 'json', cwd=tmp_path)
    assert [one['ok'] for one in found if 'name' in one] == [False, True]


def test_kernels_that_are_switched_off(monkeypatch):
    monkeypatch.setenv('CREAM_MM_CPU_KERNELS', '0')
    assert import_probe.TRIED['kernels']() == dict(off='CREAM_MM_CPU_KERNELS=0')
