"""What a broken installation says when it is imported, in words that name the package and the mend.

Nothing but the standard library is imported: what is explained here is that the rest cannot be.
"""

import re
import traceback
from importlib import metadata
from pathlib import Path

# Import names of what setup.cfg asks for, where the distribution is called otherwise.
_DISTRIBUTIONS = dict(
    cv2='opencv-python-headless',
    PIL='pillow',
    jinja2='jinja2',
    matplotlib='matplotlib',
    numpy='numpy',
    pycocotools='pycocotools',
    scipy='scipy',
    timm='timm',
    torch='torch',
    torchvision='torchvision',
    # Of what mmengine imports and no longer comes with Python or setuptools.
    pkg_resources="'setuptools<81'",
    distutils='setuptools',
)
HEADLESS = (
    'pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless'
)
_OPENCV = ('opencv-python', 'opencv-python-headless')
_TORN = (
    'OpenCV is torn: opencv-python and opencv-python-headless write the same files, and one of '
    f'them was removed or put over the other. {HEADLESS}'
)
_NUMPY_1 = (
    'numpy.dtype size changed',
    'numpy.core.multiarray failed to import',
    'numpy._core.multiarray failed to import',
    'compiled using NumPy 1.x',
    '_ARRAY_API not found',
)


def explain_import(error: BaseException) -> str | None:
    """One line about an error that an import ended in; None if it is about anything else.

    Known are: a package of setup.cfg that is missing; OpenCV with a window system on a machine
    without one, or torn by the removal of its double; compiled parts that were built for another
    numpy, and names that numpy 2 has removed.

    Args:
        error (BaseException): With its traceback.
    """
    text = str(error)
    if isinstance(error, ModuleNotFoundError) and error.name in _DISTRIBUTIONS:
        name = error.name
        if name == 'cv2' and any(map(_is_listed, _OPENCV)):
            return _TORN
        return f'the package {name} is not installed: pip install {_DISTRIBUTIONS[name]}'
    library = re.match(r'(lib[\w.+-]+\.so[.\d]*): cannot open shared object file', text)
    if library and (package := _package(error)) == 'cv2':
        return (
            f'OpenCV needs {library[1]}, which this machine lacks, as it has no screen. Its build '
            f'without windows does not: {HEADLESS}'
        )
    if library and package:
        return f'{package} needs {library[1]}, which this machine lacks: install that library'
    if re.search(r"module 'cv2'.* has no attribute", text) and not isinstance(error, ImportError):
        return _TORN
    if any(sign in text for sign in _NUMPY_1):
        package = _package(error) or 'a compiled package'
        return (
            f'{package} was built for another numpy than {_version("numpy")}, which is installed: '
            f'pip install --force-reinstall --no-deps {_DISTRIBUTIONS.get(package, package)}; if '
            "that does not help, pip install 'numpy<2'"
        )
    if text == 'Numpy is not available':
        return (
            f'torch {_version("torch")} was built for numpy 1, and numpy {_version("numpy")} is '
            "installed: pip install 'numpy<2', or a torch of 2.3 or later"
        )
    removed = re.search(r"(?:module 'numpy' has no attribute '|`np\.)(\w+)", text)
    if isinstance(error, AttributeError) and removed:
        package = _package(error) or 'a package'
        return (
            f'{package} uses np.{removed[1]}, which numpy {_version("numpy")} has removed: '
            f"pip install --upgrade {_DISTRIBUTIONS.get(package, package)}, or 'numpy<2'"
        )
    return None


def _package(error: BaseException) -> str | None:
    """The installed package in whose file the error came up; numpy's own files are passed over."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        for folder in ('site-packages', 'dist-packages'):
            if folder in parts[:-1]:
                name = parts[len(parts) - parts[::-1].index(folder)].removesuffix('.py')
                if name != 'numpy':
                    return name
    return None


def _is_listed(distribution: str) -> bool:
    """Whether it counts as installed, so that pip would do nothing."""
    try:
        return bool(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return False


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return 'of an unknown version'
