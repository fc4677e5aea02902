"""Tools on machines with little to write on, and in folders whose names are those of modules."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import cream_mm
from cream_mm.testing import write_image_folder

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    'input_size=32', 'max_epochs=1', 'batch_size=4', 'num_workers=0', 'budget.macs_m=[0,20]',
    'test_cfg.num_random=2', 'test_cfg.num_bn_images=8', 'model.head.in_channels=160',
    'model.backbone.space.depths=[1,1,2,1,1]', 'model.backbone.space.width_mult=0.5',
]  # fmt: skip


def tool(name, *args, cwd, **env):
    """A tool in a process of its own; a variable that is None is not there."""
    env = {key: value for key, value in {**os.environ, **env}.items() if value is not None}
    command = [sys.executable, str(ROOT / f'tools/{name}.py'), *map(str, args)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform != 'linux', reason='/proc is a folder nobody can write into')
def test_an_output_folder_that_cannot_be_written():
    """Said at once: neither torch nor the data, which is not there either, was looked at."""
    done = tool('train', ROOT / 'configs/cream/search_imagenet.py', cwd='/proc')
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        'error: cannot write into /proc/work_dirs/search_imagenet: /proc: No such file or '
        'directory. Name another folder, with --work-dir'
    ]


OUTPUTS = dict(  # each tool that writes, with a place where nothing can be written
    check_data=['data', '--out', '/proc/out'],
    compare=['data', '--out', '/proc/out'],
    convert_checkpoint=['file.pth', '/proc/out.pth'],
    demo=[],
    export_arch=['file.json', '--out', '/proc/out'],
    latency=['build', 'mbconv', '--out', '/proc/out.json'],
    prepare_images=['data', '/proc/out'],
    rank_correlation=['file.py', 'file.pth', 'file.json', '--out', '/proc/out'],
    report=['data', '--out', '/proc/out.html'],
    search=['file.py', 'file.pth', '--work-dir', '/proc/out'],
    test=['file.py', 'file.pth', '--out', '/proc/out.pkl'],
    train_paths=['file.py', '--num', '1', '--work-dir', '/proc/out'],
)


@pytest.mark.skipif(sys.platform != 'linux', reason='/proc is a folder nobody can write into')
@pytest.mark.parametrize('name', OUTPUTS)
def test_no_tool_begins_what_it_cannot_write(name, tmp_path, monkeypatch):
    """Neither the files, which are empty, nor the data were looked at."""
    (tmp_path / 'data').mkdir()
    for file in ('file.pth', 'file.py', 'file.json'):
        (tmp_path / file).touch()
    monkeypatch.chdir('/proc' if name == 'demo' else tmp_path)
    main = import_module(f'cream_mm.commands.{name}').main
    with pytest.raises(OSError, match=r'cannot write into /proc.*Name another folder, with ') as e:
        main(OUTPUTS[name])
    option = next((a for a in OUTPUTS[name] if a.startswith('--') and a != '--num'), None)
    expected = option or dict(demo='cd FOLDER').get(name, 'DST')
    assert str(e.value).endswith(f'with {expected}')
    assert sorted(os.listdir(tmp_path)) == ['data', 'file.json', 'file.pth', 'file.py']


@pytest.mark.parametrize('on_path', [False, True], ids=['here', 'on PYTHONPATH'])
def test_names_in_the_current_folder_are_nobodys(tmp_path, on_path):
    """A clone is a folder called cream_mm, and people have datasets/, types.py and calendar.py."""
    for name in ('cream_mm', 'datasets'):
        (tmp_path / name).mkdir()
    if not on_path:  # there they are the user's own wish
        for name in ('types', 'calendar', 'cream_mm/__init__'):
            (tmp_path / f'{name}.py').write_text('raise SystemExit("the wrong one")')
    path = str(tmp_path) if on_path else None
    done = tool('train', '--version', cwd=tmp_path, PYTHONPATH=path)
    where = Path(cream_mm.__file__).parent
    assert done.stdout == f'cream_mm {cream_mm.__version__} of {where}\n', done.stderr
    if on_path:
        code = 'import cream_mm; print(cream_mm.__file__)'
        command = [sys.executable, '-c', code]  # as `python -m` has it, the folder is on the path
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert Path(done.stdout.strip()) == where / '__init__.py', done.stderr


@pytest.mark.slow
@pytest.mark.parametrize('home', [None, 'below a file'])
def test_a_search_and_its_report_without_a_home(tmp_path, home):
    data = write_image_folder(tmp_path / 'data', train=20, val=4, size=(40, 44))
    (tmp_path / 'file').touch()
    (tmp_path / 'tmp').mkdir()
    env = dict(
        HOME=home and str(tmp_path / 'file/home'), TMPDIR=str(tmp_path / 'tmp'), CREAM_MM_CACHE=None
    )
    config = ROOT / 'configs/spos/search_imagenet.py'
    options = ['--work-dir', tmp_path / 'run', '--cfg-options', f'data_root={data}', *SMALL]
    done = tool('train', config, *options, cwd='/', **env)
    assert done.returncode == 0, done.stderr
    kept = [line for line in done.stdout.splitlines() if 'The CPU kernels are kept in' in line]
    # Without HOME the system is asked, which knows the user's home folder.
    assert len(kept) == (1 if home else 0)
    done = tool('report', tmp_path / 'run', cwd='/', **env)
    assert done.returncode == 0 and (tmp_path / 'run/report.html').is_file(), done.stderr
