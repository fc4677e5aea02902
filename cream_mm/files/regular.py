"""Opens files that others made: only regular ones, and no more than is expected of them."""

import os
import stat
from typing import BinaryIO

MAX_BYTES = 32 * 2**20  # of one file of JSON or text: far beyond what a run writes

_KINDS = {
    stat.S_IFDIR: 'a folder',
    stat.S_IFIFO: 'a pipe',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
}


def check_regular(path: str | os.PathLike) -> os.stat_result:
    """Status of a regular file, links followed.

    It is looked at before it is opened: to open a pipe waits for ever, a device may act on it, and
    /dev/zero has no end.

    Raises:
        OSError: If it is missing, or links lead in a circle.
        ValueError: If it is no regular file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), 'something else')
        raise ValueError(f'{path} is {kind}, not a regular file')
    return status


def open_regular(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> BinaryIO:
    """Open a regular file to read, links followed.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is no regular file, or larger than ``max_bytes``.
    """
    try:
        size = check_regular(path).st_size
        if size > max_bytes:
            raise ValueError(f'{path} is too large: {size:,} bytes, over {max_bytes:,}')
        return open(path, 'rb')
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, f'no file {path}') from None
    except OSError as error:
        raise OSError(error.errno, f'cannot read {path}: {error.strerror}') from None


def read_bytes(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file, links followed; errors are those of :func:`open_regular`."""
    with open_regular(path, max_bytes) as file:
        # No more than its size: files of /proc claim to be empty, and may wait or have no end.
        return file.read(min(os.fstat(file.fileno()).st_size, max_bytes))
