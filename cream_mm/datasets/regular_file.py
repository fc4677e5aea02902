"""Reads files that others made: only regular ones, and no more than fits into memory."""

import os
import stat

MAX_BYTES = 2**29  # as many as Pillow's largest image has without a warning, at 16 bits a channel

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


def read_regular(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a regular file, links followed.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no regular file, or larger than ``max_bytes``.
    """
    size = check_regular(path).st_size
    if size > max_bytes:
        raise ValueError(f'{path} has {size / 1e6:.0f} MB, more than {max_bytes / 1e6:.0f}')
    with open(path, 'rb') as file:
        return file.read(size)  # files of /proc claim to be empty, and may wait or have no end
