"""Small things that several pieces need."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.model import is_model_wrapper


def unwrap(model):
    """The model inside a distributed wrapper."""
    return model.module if is_model_wrapper(model) else model


def write_json(path, content) -> None:
    """Write JSON as :func:`write_whole` does."""
    write_whole(path, (json.dumps(content, indent=1) + '\n').encode())


def write_whole(path, content: bytes) -> None:
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


def append_lines(path, lines: Iterable[str]) -> None:
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


@contextmanager
def clear_errors() -> Iterator[None]:
    """End a command with one line where cream_mm or the command itself says what the user can mend.

    Errors from anywhere else keep their traceback, and so does running out of memory: the line
    then stands below it.
    """
    try:
        yield
    except (FloatingPointError, ImportError, KeyError, OSError, ValueError) as error:
        message = _from_worker(error)
        source = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
        ours = Path(__file__).resolve().parent in source.parents
        if not ours and source != Path(sys.argv[0]).resolve() and not message:
            if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
                sys.exit(f'error: {error}. Free some space, then continue with --resume')
            raise
        sys.exit(f'error: {message or (error.args[-1] if error.args else error)}')
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.print_exc()
        reason = str(error).strip().split('\n')[0] or 'MemoryError'
        sys.exit(
            f'error: out of memory: {reason}. Take a smaller batch_size or input_size, '
            '--cfg-options batch_size=N input_size=N (the learning rate follows batch_size where '
            'the config has auto_scale_lr; a resumed run keeps its own); on a GPU also --amp; then '
            'continue with --resume'
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the machine had no memory left; torch tells it in several ways."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == 'OutOfMemoryError'
        or 'out of memory' in text
        or "can't allocate memory" in text
    )


def _from_worker(error: BaseException) -> str | None:
    """The message of an error that cream_mm raised in a worker of a data loader.

    torch raises it again with the worker's traceback as its text.
    """
    text = str(error.args[0]) if error.args else ''
    if not (text.startswith('Caught ') and 'DataLoader worker' in text.split('\n')[0]):
        return None
    place, _, rest = text.rpartition('  File "')[2].partition('"')
    if Path(__file__).resolve().parent not in Path(place).resolve().parents:
        return None
    _, found, message = rest.partition(f'\n{type(error).__name__}: ')
    return message.strip() if found else None
