"""Help and typing errors come at once: what a tool imports until then, and the CPU it takes."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted(path.stem for path in (ROOT / 'tools').glob('*.py'))
SEARCH = 'configs/cream/search_imagenet.py'
HEAVY = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'timm', 'matplotlib')
# Runs a script as Python does, and tells at the end which of the packages are there.
PROBE = f"""
import atexit, json, runpy, sys
atexit.register(lambda: print(json.dumps([m for m in {HEAVY} if m in sys.modules]),
                              file=sys.stderr))
sys.argv = sys.argv[1:]
sys.path[0] = 'tools'
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def cpu_seconds(*command, **kwargs):
    """CPU seconds of a command, its own children with it, and how it ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=env, text=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(getattr(after, k) - getattr(before, k) for k in ('ru_utime', 'ru_stime')), done


def start(tool, *args):
    """Run a tool: its seconds, its code, what it printed, its errors, what it had imported."""
    seconds, done = cpu_seconds('-c', PROBE, f'tools/{tool}.py', *args)
    *errors, imported = done.stderr.strip().split('\n')
    return seconds, done.returncode, done.stdout, '\n'.join(errors), set(json.loads(imported))


@pytest.fixture(scope='module')
def torch_seconds():
    seconds, done = cpu_seconds('-c', 'import torch')
    assert done.returncode == 0
    return seconds


@pytest.mark.parametrize('tool', TOOLS)
def test_help(tool, torch_seconds):
    seconds, code, out, errors, imported = start(tool, '--help')
    assert (code, errors, imported) == (0, '', set())
    assert f'usage: {tool}.py' in out
    assert seconds < min(1, torch_seconds)


@pytest.mark.parametrize('tool', TOOLS)
def test_version(tool):
    seconds, code, out, errors, imported = start(tool, '--version')
    from cream_mm import __version__

    assert out == f'cream_mm {__version__} of {ROOT / "cream_mm"}\n'  # nothing else on stdout
    assert (code, errors, imported) == (0, '', set()) and seconds < 1


@pytest.mark.parametrize('tool', TOOLS)
def test_an_unknown_argument(tool):
    seconds, code, out, errors, imported = start(tool, '--no-such-argument')
    assert (code, out, imported) == (2, '', set()) and seconds < 1
    assert f'{tool}.py: error: ' in errors


MISSING = {
    'convert_checkpoint': [('gone.pth', '{tmp}/x.pth', 'no checkpoint gone.pth')],
    'export_arch': [
        ('gone.json', '--out', '{tmp}', 'no file gone.json'),
        ('cream-14m', '--checkpoint', 'gone.pth', '--out', '{tmp}', 'no checkpoint gone.pth'),
        ('gone', '--all', 'no gone/front.json'),
    ],
    'export_onnx': [('lite0', '--images', 'gone', 'no folder gone')],
    'get_flops': [('gone.py', 'no config file gone.py')],
    'latency': [
        ('check', 'gone.json', 'no latency table gone.json'),
        ('build', 'gone.py', '--out', '{tmp}/x.json', 'no config file gone.py'),
    ],
    'predict': [
        ('gone.py', 'Makefile', 'no config file gone.py'),
        (SEARCH, 'gone.jpg', 'no image or folder gone.jpg'),
        ('lite0', 'Makefile', '--checkpoint', 'gone.pth', 'no checkpoint gone.pth'),
    ],
    'prepare_images': [('gone', '{tmp}/x', 'no folder gone')],
    'rank_correlation': [
        ('gone.py', 'a.pth', 'b.csv', 'no config file gone.py'),
        (SEARCH, 'gone.pth', 'Makefile', 'no checkpoint gone.pth'),
        (SEARCH, 'Makefile', 'gone.csv', 'no table gone.csv'),
        (SEARCH, 'Makefile', '--ratings', 'gone.csv', 'no table gone.csv'),
        (SEARCH, 'Makefile', 'Makefile', '--path-log', 'gone.jsonl', 'no gone.jsonl'),
    ],
    'search': [
        ('gone.py', 'Makefile', 'no config file gone.py'),
        (SEARCH, 'gone.pth', 'no checkpoint gone.pth'),
        (SEARCH, 'Makefile', '--path-log', 'gone.jsonl', 'no gone.jsonl'),
    ],
    'test': [
        ('gone.py', 'Makefile', 'no config file gone.py'),
        (SEARCH, 'gone.pth', 'no checkpoint gone.pth'),
    ],
    'train': [
        ('gone.py', 'no config file gone.py'),
        ('configs', 'no config file configs'),
        ('README.md', 'a config is a .py file; got README.md'),
        (SEARCH, '--resume', 'gone.pth', 'no checkpoint gone.pth'),
    ],
    'train_paths': [('gone.py', '--work-dir', '{tmp}', 'no config file gone.py')],
}


@pytest.mark.parametrize(
    ('tool', 'args'), [(tool, args) for tool, cases in MISSING.items() for args in cases]
)
def test_a_missing_file(tool, args, tmp_path):
    *args, message = (arg.format(tmp=tmp_path) for arg in args)
    seconds, code, out, errors, imported = start(tool, *args)
    assert errors.startswith(f'error: {message}') and '\n' not in errors
    assert (code, out, imported) == (1, '', set()) and seconds < 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='root may read anything')
def test_an_unreadable_config(tmp_path):
    config = tmp_path / 'config.py'
    config.touch(0o000)
    _, code, _, errors, imported = start('train', config)
    assert (code, errors, imported) == (1, f'error: cannot read {config}: Permission denied', set())


def test_a_report_without_a_search(tmp_path, torch_seconds):
    seconds, code, out, errors, imported = start('report', tmp_path)
    assert (code, out) == (1, '') and f'{tmp_path}/best_arch.json not found' in errors
    assert 'torch' not in imported and seconds < torch_seconds + 3


def test_a_look_at_data(tmp_path):
    for name, level in (('ants', 40), ('bees', 200)):
        (tmp_path / 'set' / name).mkdir(parents=True)
        Image.new('RGB', (40, 40), (level, 0, 0)).save(tmp_path / f'set/{name}/0.png')
    _, code, out, _, imported = start('check_data', tmp_path / 'set', '--out', tmp_path / 'out')
    assert code == 0 and '2 images of 2 classes' in out
    assert imported == {'mmengine', 'matplotlib'}


WITH_CONFIG = {
    'get_flops': [],
    'predict': ['Makefile'],
    'rank_correlation': ['Makefile', 'Makefile'],
    'search': ['Makefile'],
    'test': ['Makefile'],
    'train': [],
    'train_paths': ['--work-dir', 'work_dirs/never'],
}


@pytest.mark.parametrize('tool', WITH_CONFIG)
def test_an_unknown_key_of_the_top_level(tool, tmp_path, torch_seconds):
    options = ['--cfg-options', 'batchsize=3']
    seconds, code, out, errors, imported = start(tool, SEARCH, *WITH_CONFIG[tool], *options)
    assert errors == (
        "error: unknown key 'batchsize' in --cfg-options batchsize; did you mean 'batch_size'?"
    )
    assert (code, out, imported) == (1, '', {'mmengine'}) and seconds < torch_seconds

    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = '{ROOT / SEARCH}'\ntrain_dataloder = None\n")
    seconds, code, out, errors, imported = start(tool, config, *WITH_CONFIG[tool])
    assert errors.startswith("error: unknown key 'train_dataloder' in the top level of the config")
    assert (code, out, imported) == (1, '', {'mmengine'}) and seconds < torch_seconds


@pytest.mark.parametrize('config', ['configs/retinanet_cream.py'])
def test_data_that_is_not_there(config, torch_seconds):
    seconds, code, out, errors, imported = start('train', config, '--cfg-options', 'data_root=gone')
    assert code == 1 and errors.startswith('error: ') and 'gone/train' in errors
    assert 'torch' not in imported and seconds < torch_seconds


@pytest.mark.parametrize(
    ('argument', 'value'), [('--cfg-options', 'batch_size'), ('--cfg-options', '=3')]
)
def test_an_option_that_is_no_pair(argument, value):
    _, code, _, errors, imported = start('train', SEARCH, argument, value)
    assert f'argument {argument}: {value!r} is not of the form KEY=VALUE' in errors
    assert (code, imported) == (2, set())
