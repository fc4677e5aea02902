"""Compiles a C++ file on first use, and keeps what came out for the next process."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def load_compiled(
    source: Path,
    flags: Sequence[str],
    symbols: Iterable[str],
    tell: Callable[[str], None] = print,
) -> ctypes.CDLL:
    """The compiled ``source`` as a library, built unless the cache holds it.

    The cache is ``$CREAM_MM_CACHE``, by default ``~/.cache/cream_mm``; where that cannot be
    written, as without a home folder, one among the temporary files. A library runs with the
    rights of whoever loads it. So the folder and the library must be the user's own, with nobody
    else allowed to write; a name carries the hash of the content, and what does not agree with it
    (cut short, damaged) is built anew. It is written whole, so that several processes may build at
    once.

    Args:
        source (Path): One C++ file.
        flags (Sequence[str]): For the compiler: ``$CXX``, else g++ or clang++.
        symbols (Iterable[str]): Functions that the library must have.
        tell (callable): Gets a line after a build. Defaults to ``print``.

    Raises:
        OSError: If there is no compiler, it fails, or there is no such folder.
        subprocess.TimeoutExpired: If the compiler takes longer than five minutes.
    """
    try:
        compiler = shlex.split(os.environ.get('CXX', ''))
    except ValueError as error:
        raise OSError(f'CXX is no command: {error}') from None
    if not compiler:
        found = shutil.which('g++') or shutil.which('clang++')
        if not found:
            raise OSError('no C++ compiler; install g++, or name one in CXX')
        compiler = [found]
    folder = _cache(tell)
    # -march=native: code for this machine's processor, which a shared home directory may outlive.
    described = [source.read_text(), compiler, *flags, _processor(), platform.libc_ver()]
    stem = f'cpu_{hashlib.sha256(repr(described).encode()).hexdigest()[:16]}'
    for path in sorted(folder.glob(f'{stem}-*.so')):
        if _is_own_and_whole(path):
            try:
                return _open(path, symbols)
            except OSError:
                break  # it is built anew
    start = time.time()
    path, library = _build([*compiler, *flags, str(source)], folder, stem, symbols)
    tell(f'Built the CPU kernels in {time.time() - start:.1f} s: {path}')
    return library


_HINT = 'set CREAM_MM_CACHE to a folder of your own'


def _cache(tell: Callable[[str], None]) -> Path:
    """The folder that was asked for, else the one at home, else a temporary one, which is told.

    Raises:
        OSError: If it cannot be made, or others can put files into it.
    """
    given = os.environ.get('CREAM_MM_CACHE')
    if given:
        return _private_folder(Path(given).expanduser(), given=True)
    try:
        folder = _private_folder(Path.home() / '.cache' / 'cream_mm')
        with tempfile.TemporaryDirectory(prefix='build-', dir=folder):
            return folder
    except (OSError, RuntimeError) as error:  # RuntimeError: no home at all
        folder = Path(tempfile.gettempdir(), f'cream_mm-{os.geteuid()}')
        if folder.is_symlink():  # of whoever else may write there
            raise OSError(f'{folder} is a link; {_HINT}') from None
        folder = _private_folder(folder)
        reason = str(error) if isinstance(error, OSError) else f'there is no home folder; {_HINT}'
        tell(f'The CPU kernels are kept in {folder}: {reason}')
        return folder


def _private_folder(folder: Path, given: bool = False) -> Path:
    """A folder, made with mode 0700 if it is missing.

    Raises:
        OSError: If it cannot be made, or others can put files into it.
    """
    try:
        folder = folder.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
        if about.st_uid == os.geteuid() and not given:
            folder.chmod(0o700)
            about = folder.stat()
    except OSError as error:
        raise OSError(f'{folder}: {error.strerror}; {_HINT}') from error
    except RuntimeError:  # before Python 3.13
        raise OSError(f'{folder}: links lead in a circle; {_HINT}') from None
    if about.st_uid != os.geteuid():
        raise OSError(f'{folder} belongs to another user; {_HINT}')
    if about.st_mode & 0o022:
        raise OSError(f'others may write to {folder}; chmod 700 {folder}, or {_HINT}')
    return folder


def _is_own_and_whole(path: Path) -> bool:
    """Whether the user wrote the file, and it holds what its name says."""
    try:
        about = path.lstat()
        return (
            stat.S_ISREG(about.st_mode)
            and about.st_uid == os.geteuid()
            and not about.st_mode & 0o022
            and path.stem.endswith(f'-{_digest(path)}')
        )
    except OSError:
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _open(path: Path, symbols: Iterable[str]) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for symbol in symbols:
        if not hasattr(library, symbol):
            raise OSError(f'{path} has no function {symbol}')
    return library


def _build(
    command: list[str], folder: Path, stem: str, symbols: Iterable[str]
) -> tuple[Path, ctypes.CDLL]:
    """Compile, and keep what can be loaded."""
    with tempfile.TemporaryDirectory(prefix='build-', dir=folder) as temporary:
        built = Path(temporary, 'built.so')
        done = subprocess.run(
            [*command, '-o', str(built)],
            capture_output=True,
            timeout=300,
            env={**os.environ, 'LC_ALL': 'C'},  # messages in English
        )
        if done.returncode or not built.is_file():
            lines = done.stderr.decode(errors='replace').strip().splitlines()
            line = next((x for x in lines if 'error' in x), lines[-1] if lines else '')
            raise OSError(f'{command[0]} failed with status {done.returncode}: {line}')
        built.chmod(0o700)
        with open(built, 'rb') as file:
            os.fsync(file.fileno())  # a rename may reach the disk before the content does
        digest = _digest(built)
        library = _open(built, symbols)
        target = folder / f'{stem}-{digest}.so'
        os.replace(built, target)
    return target, library


def _processor() -> str:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    return '\n'.join(sorted({x for x in lines if x.startswith(('model name', 'flags'))}))
