"""Files of lines that a run goes on writing after a kill, or after somebody has edited them."""

import os
import shutil
from pathlib import Path

from .read import MAX_LOG_BYTES, encoding_of, read_lines
from .regular import open_regular
from .whole import write_whole


def mend_lines(path: str | Path) -> None:
    """Make a file ready for :func:`append_lines`.

    A last line that a kill cut is taken off; text in another encoding is written anew in UTF-8.

    Raises:
        OSError, ValueError: As :func:`read_bytes`.
    """
    with open_regular(path, MAX_LOG_BYTES) as file:
        is_utf8 = encoding_of(file.read(4)) == 'utf-8'
        size = end = file.seek(0, os.SEEK_END)
        while is_utf8 and end > 0:  # back to the last end of a line
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b'\n')
            end = start + found + 1 if found >= 0 else start
            if found >= 0:
                break
    if not is_utf8:
        whole = (line for _, line in read_lines(path) if line.endswith(b'\n'))
        write_whole(path, b''.join(whole))
    elif end < size:
        os.truncate(path, end)


def set_aside(path: str | Path) -> Path:
    """Keep a file as it is under another name, ``FILE.damaged``, before it is written anew."""
    path = Path(path)
    aside, number = path.with_name(f'{path.name}.damaged'), 1
    while os.path.lexists(aside):
        aside, number = path.with_name(f'{path.name}.damaged{number}'), number + 1
    try:
        os.link(path, aside)  # the new file takes the name, not the place, of the old one
    except OSError:  # not every file system can
        shutil.copyfile(path, aside)
    return aside
