"""Writing and appending that a kill cannot break: a file is on the disk whole, or as it was."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON as :func:`write_whole` does."""
    write_whole(path, (json.dumps(content, indent=1) + '\n').encode())


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that a kill leaves the old one or the new one, never half of one.

    Raises:
        OSError: If it cannot be written, because the disk is full for example. The old file is
            still there then, and nothing else.
    """
    path = Path(path)
    temporary = path.with_name(path.name + '.tmp')  # what a kill leaves is written over next time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the content does
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, f'cannot write {path}: {error.strerror}') from error
    with suppress(OSError):  # not every file system can
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def append_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Add lines to a file, made with the first ones; they are on the disk when this returns.

    Raises:
        ValueError: If there is something else than a regular file: a pipe would wait for ever.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise ValueError(f'{path} is not a regular file')
    with open(path, 'ab') as file:
        file.write(''.join(f'{line}\n' for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())
