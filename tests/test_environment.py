import subprocess
import sys
import textwrap
import time

import pytest

from cream_mm.environment import FAMILIES, check_family, mm_family

ONEDL = ['onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmpretrain']
OPENMMLAB = ['mmengine', 'mmcv-lite', 'mmdet', 'mmpretrain']


@pytest.mark.parametrize(
    ('installed', 'family'),
    [
        (ONEDL, 'onedl'),
        (OPENMMLAB, 'openmmlab'),
        (['mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'torch'], 'openmmlab'),
        (['Onedl_MMEngine', 'onedl.mmcv', 'onedl-_mmdetection', 'onedl_mmpretrain'], 'onedl'),
        (iter(ONEDL + ['numpy']), 'onedl'),
    ],
    ids=['onedl', 'lite', 'full mmcv', 'other spellings', 'an iterator'],
)
def test_one_whole_family(installed, family):
    assert mm_family(installed) == family


def test_this_environment_has_one_family():
    check_family()
    assert mm_family() in FAMILIES


def test_nothing_installed_names_both_ways():
    with pytest.raises(ImportError) as error:
        check_family(['torch', 'numpy'])
    message = str(error.value)
    assert 'none of them is installed' in message
    assert 'pip install -e ".[onedl]"' in message
    assert 'pip install -e ".[openmmlab]"' in message


@pytest.mark.parametrize('family', [ONEDL, OPENMMLAB], ids=['onedl', 'openmmlab'])
@pytest.mark.parametrize('index', range(4))
def test_one_missing_is_named(family, index):
    rest = family[:index] + family[index + 1 :]
    with pytest.raises(ImportError) as error:
        check_family(rest)
    message = str(error.value)
    missing = message.split('but missing: ')[1].split('. ')[0]
    assert family[index] in missing
    assert not any(name in missing.split() for name in rest)
    assert all(name in message for name in rest)
    assert 'pip install -e ".[onedl]"' in message
    assert 'pip install -e ".[openmmlab]"' in message


@pytest.mark.parametrize(
    'extra', ['mmcv', 'mmengine', 'mmdet'], ids=['compiled mmcv', 'mmengine', 'mmdet']
)
def test_mixed_families_say_how_to_mend(extra):
    with pytest.raises(ImportError) as error:
        check_family([*ONEDL, extra])
    message = str(error.value)
    assert f'openmmlab: {extra}\n' in message
    assert f'onedl: {", ".join(ONEDL)}\n' in message
    # All go: the files of both are mixed, and removing one family removes shared files.
    assert f'pip uninstall -y {" ".join(ONEDL)} {extra}\n' in message


def test_is_fast():
    start = time.perf_counter()
    mm_family()
    assert time.perf_counter() - start < 0.05


def test_loads_nothing_heavy(request):
    """The error must come from a bare interpreter too, in which torch cannot be imported."""
    code = """
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location('environment', sys.argv[1])
        environment = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(environment)
        try:
            environment.check_family()
        except ImportError as error:
            print(error)
        print([name for name in ('torch', 'numpy', 'mmengine', 'mmcv') if name in sys.modules])
    """
    path = request.config.rootpath / 'cream_mm' / 'environment.py'
    # -S: without site-packages nothing is installed
    command = [sys.executable, '-I', '-S', '-c', textwrap.dedent(code), str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'none of them is installed' in out
    assert out.splitlines()[-1] == '[]'
