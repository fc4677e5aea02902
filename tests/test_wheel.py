"""The package as users have it: built, installed into an empty environment, run in an empty folder.

From a folder of images to an ONNX file, by the console command alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cream_mm.commands.main import commands
from cream_mm.environment import mm_family

ROOT = Path(__file__).parents[1]
UV = shutil.which('uv') or str(Path(sys.executable).with_name('uv'))
ENV = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
SMALL = ['input_size=64', 'max_epochs=2', 'batch_size=16', 'num_workers=0']
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(mm_family() != 'onedl', reason='the pins of one family are enough'),
    pytest.mark.skipif(not os.path.isfile(UV), reason='uv is not installed'),
]


def build(what, source, out):
    """Call a hook of the build backend in a folder; gives the file's path."""
    code = f'from setuptools import build_meta as b; print(b.build_{what}({str(out)!r}))'
    done = subprocess.run([sys.executable, '-c', code], cwd=source, env=ENV, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    """The source distribution of what git knows, unpacked."""
    home = tmp_path_factory.mktemp('sdist')
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split('\0')):
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (home / 'clone' / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, home / 'clone' / name, follow_symlinks=False)
    with tarfile.open(build('sdist', home / 'clone', home)) as archive:
        archive.extractall(home, filter='data')
    (unpacked,) = home.glob('cream_mm-*/')
    return unpacked


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory):
    return build('wheel', sdist, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def program(wheel, tmp_path_factory):
    """``cream-mm`` of an environment that has the wheel and nothing of this clone."""
    venv = tmp_path_factory.mktemp('venv')
    subprocess.run([UV, 'venv', '-q', '--clear', '--python', sys.executable, venv], check=True)
    done = subprocess.run(
        [UV, 'pip', 'install', '-q', '--offline', '--python', venv / 'bin/python',
         f'cream-mm[onedl,onnx,pretrained] @ file://{wheel}',
         '-c', ROOT / 'constraints/onedl.txt', '--override', ROOT / 'constraints/overrides.txt'],
        env=ENV, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f'uv has not all packages in its cache: {done.stderr[-300:]}')
    return venv / 'bin/cream-mm'


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A user's folder with 60 images of 3 classes, and names that modules have."""
    home = tmp_path_factory.mktemp('home')
    rng = np.random.default_rng(0)
    for split, number in (('train', 16), ('val', 4)):
        for level, name in enumerate(('ant', 'bee', 'cat')):
            folder = home / 'photos' / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                noise = rng.integers(0, 60, (64, 64, 3)) + 60 * level
                Image.fromarray(noise.astype(np.uint8)).save(folder / f'{i}.jpg')
    for name in ('types', 'calendar', 'cream_mm/__init__', 'datasets/__init__'):
        path = home / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text('raise SystemExit("the wrong one")')
    return home


@pytest.fixture
def run(program, home):
    """Run the command in that folder; gives what it printed."""

    def run_it(*words, fails=False):
        env = {**ENV, 'OMP_NUM_THREADS': '1'}
        done = subprocess.run([program, *map(str, words)], cwd=home, env=env, text=True,
                              capture_output=True)  # fmt: skip
        assert (done.returncode != 0) is fails, done.stdout[-2000:] + done.stderr[-3000:]
        assert 'the wrong one' not in done.stderr and 'tools/' not in done.stdout + done.stderr
        return done.stdout + done.stderr

    return run_it


def test_configs_travel(sdist, wheel):
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*.*')}
    configs = {f'cream_mm/.mim/{name}' for name in configs if '__pycache__' not in name}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if '/.mim/' in name} == {
        *configs, 'cream_mm/.mim/model-index.yml'
    }  # fmt: skip
    assert not [name for name in names if name.startswith(('tests', 'tools', 'configs'))]
    for name in ('configs/photos/search.py', 'tools/train.py', 'tests/test_wheel.py', 'setup.py'):
        assert (sdist / name).is_file()


def test_an_editable_installation_links_them(sdist, tmp_path):
    assert not (sdist / 'cream_mm/.mim').exists()
    build('editable', sdist, tmp_path)
    for name in ('configs/photos/search.py', 'model-index.yml'):
        assert (sdist / 'cream_mm/.mim' / name).samefile(sdist / name)


def test_every_command_tells_of_itself(run, program, home):
    """The installed package, whatever lies in the current folder."""
    where = program.parents[1].resolve()
    assert f' of {where}/lib/' in run('--version')
    overview = run()
    for name in commands():
        assert f'\n  {name} ' in overview
        text = run(name, '--help')
        assert text.startswith(f'usage: cream-mm {name} '), name
    assert (home / 'cream_mm').is_dir() and not (home / 'work_dirs').exists()


def test_a_config_inherits_by_name(run, home):
    (home / 'mine.py').write_text(
        "_base_ = 'cream_mm::photos/search.py'\ninput_size = 64\ninput_sizes = [64]\n"
    )
    text = run('get-flops', 'mine.py')
    assert 'input      64 x 64' in text and 'macs' in text
    path = run('configs', 'photos/search.py').strip()
    (home / 'copy.py').write_text(f'_base_ = {path!r}\ninput_size = 64\ninput_sizes = [64]\n')
    assert counts(run('get-flops', 'copy.py')) == counts(text) != []


def counts(text):
    """Without what a first run says of kernels that it builds."""
    return re.findall(r'^(?:params|macs|board) .+', text, flags=re.M)


def test_from_a_folder_to_onnx(run, home):
    run('check', 'photos')
    text = run('search', '--data', 'photos', '--budget', '25M', '--work-dir', 'search',
               '--cfg-options', *SMALL, 'test_cfg.num=8', 'test_cfg.num_bn_images=16')  # fmt: skip
    assert '\n  cream-mm report search' in text
    answer = json.loads((home / 'search/best_arch.json').read_text())
    assert answer['costs']['macs_m'] <= 25
    assert 'next:     cream-mm retrain search/export' in run('export', 'search')
    text = run('export', 'search', '--all')
    assert 'another: cream-mm retrain search/exports/' in text and ' train ' not in text
    run('retrain', 'search', '--cfg-options', 'max_epochs=1', 'num_workers=0', 'batch_size=16')
    assert ' %  ' in run('predict', 'search/export/retrain', 'photos/val/ant')
    run('report', 'search', '--retrain', 'search/export/retrain')
    page = (home / 'search/report.html').read_text()
    assert 'cream-mm search --data photos' in page and 'python tools/' not in page
    if 'onnx' in commands():
        run('onnx', 'search/export/retrain')
        assert list((home / 'search/export/retrain').rglob('*.onnx'))


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        (['search', '--data', 'gone'], 'error: --data gone: no such folder'),
        (['search', '--data', 'photos', '--budget', '0.1M'], 'cannot be met'),
        (['train', 'cream_mm::photos/none.py'], '"cream-mm configs" lists them'),
        (['detect', 'lite0', '--data', 'photos'], 'is labelled with classes'),
    ],
)
def test_one_clear_error(run, words, error):
    text = run(*words, fails=True)
    assert error in text and 'Traceback' not in text
