"""Broken installations, each made really: by packages that end as the real ones do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cream_mm.command_line import one_line_errors
from cream_mm.import_errors import explain_import
from cream_mm.testing import write_image_folder

HEADLESS = (
    'pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless'
)
LACKS = f'this machine lacks, as it has no screen. Its build without windows does not: {HEADLESS}'
TORN = (
    'opencv-python and opencv-python-headless write the same files, and one of them was removed '
    f'or put over the other. {HEADLESS}'
)
# What the real packages say: cv2/__init__.py of opencv-python, pycocotools/_mask of before 2.0.8
# under numpy 2, one built for numpy 2 under numpy 1, mmcv around a torn cv2, imgaug under numpy 2.
BROKEN = {
    'no timm': (
        'mmcv',
        "raise ModuleNotFoundError(\"No module named 'timm'\", name='timm')",
        'the package timm is not installed: pip install timm',
    ),
    # opencv-python was removed, and the files of opencv-python-headless, which is listed, with it.
    'no OpenCV': (
        'mmcv',
        "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')",
        f'OpenCV is torn: {TORN}',
    ),
    'no libGL': (
        'cv2',
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file')",
        f'OpenCV needs libGL.so.1, which {LACKS}',
    ),
    'no glib': (
        'cv2',
        "raise ImportError('libgthread-2.0.so.0: cannot open shared object file: No such file')",
        f'OpenCV needs libgthread-2.0.so.0, which {LACKS}',
    ),
    'a torn OpenCV': (
        'mmcv',
        "raise AttributeError(\"module 'cv2' has no attribute 'IMREAD_COLOR'\")",
        f'OpenCV is torn: {TORN}',
    ),
    'built for numpy 1': (
        'pycocotools',
        "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility. '"
        "'Expected 96 from C header, got 88 from PyObject')",
        'pycocotools was built for another numpy than NUMPY, which is installed: pip install '
        "--force-reinstall --no-deps pycocotools; if that does not help, pip install 'numpy<2'",
    ),
    'built for numpy 2': (
        'cv2',
        "raise ImportError('numpy._core.multiarray failed to import')",
        'cv2 was built for another numpy than NUMPY, which is installed: pip install '
        '--force-reinstall --no-deps opencv-python-headless; if that does not help, pip install '
        "'numpy<2'",
    ),
    'a name that numpy removed': (
        'imgaug',
        "import numpy as np; np.float_ if not hasattr(np, 'float_') else (_ for _ in ()).throw("
        "AttributeError('`np.float_` was removed in the NumPy 2.0 release.'))",
        'imgaug uses np.float_, which numpy NUMPY has removed: pip install --upgrade imgaug, or '
        "'numpy<2'",
    ),
    'torch of numpy 1': (
        'torchvision',
        "raise RuntimeError('Numpy is not available')",
        'torch TORCH was built for numpy 1, and numpy NUMPY is installed: pip install '
        "'numpy<2', or a torch of 2.3 or later",
    ),
    'no pkg_resources': (
        'mmengine',
        "raise ModuleNotFoundError(\"No module named 'pkg_resources'\", name='pkg_resources')",
        "the package pkg_resources is not installed: pip install 'setuptools<81'",
    ),
}


def version(name):
    from importlib.metadata import version

    return version(name)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / 'site-packages'
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize('case', BROKEN)
def test_one_line_names_the_package_and_the_mend(case, site, monkeypatch):
    package, code, line = BROKEN[case]
    line = line.replace('NUMPY', version('numpy')).replace('TORCH', version('torch'))
    (site / package).mkdir()
    (site / package / '__init__.py').write_text(code)
    loaded = [name for name in sys.modules if name.split('.')[0] == package]
    for name in loaded:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as end, one_line_errors():
        __import__(package)
    assert str(end.value) == f'error: {line}'


@pytest.mark.parametrize(
    'error',
    [
        ModuleNotFoundError("No module named 'my_transforms'", name='my_transforms'),
        ImportError("cannot import name 'x' from 'y'"),
        AttributeError("'NoneType' object has no attribute 'shape'"),
        ValueError('numbers'),
        RuntimeError('CUDA error'),
    ],
    ids=repr,
)
def test_what_is_no_broken_installation_is_left_alone(error):
    assert explain_import(error) is None


def test_from_python_too(tmp_path):
    """``import cream_mm`` stays cheap; what is asked of it ends in the line."""
    (tmp_path / 'cv2').mkdir()
    (tmp_path / 'cv2/__init__.py').write_text(
        "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')"
    )
    code = 'import cream_mm\ntry: cream_mm.engine\nexcept ImportError as error: print(error)'
    env = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], env=env, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1:] == [f'OpenCV is torn: {TORN}'], done.stderr


@pytest.mark.slow
def test_a_tool_without_opencv(tmp_path):
    """A virtual environment of links to this one's packages, without cv2."""
    packages = Path(__import__('numpy').__file__).parents[1]
    venv = tmp_path / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    target = next((venv / 'lib').glob('python3*/site-packages'))
    for path in packages.iterdir():
        if not path.name.startswith(('cv2', 'opencv')):
            (target / path.name).symlink_to(path)
    root = Path(__file__).parents[1]
    tool = [venv / 'bin/python', '-W', 'ignore', root / 'tools/train.py']
    write_image_folder(tmp_path / 'data', classes=[str(i) for i in range(10)])
    words = [root / 'configs/demo/search_digits.py', '--cfg-options', 'data_root=data']
    done = subprocess.run([*tool, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    line = 'error: the package cv2 is not installed: pip install opencv-python-headless'
    assert done.stderr.splitlines()[-1] == line and 'Traceback' not in done.stderr
