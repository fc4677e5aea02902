"""One run at a time in a work directory: two would write each line twice."""

import errno
import json
import os
import socket
import stat
import time
from pathlib import Path

from mmengine.logging import print_log

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK_FILE = '.run.lock'

_held: dict[Path, tuple[int, int]] = {}  # process and file descriptor; a fork inherits no lock
_BUSY = (errno.EACCES, errno.EAGAIN)


def hold_work_dir(work_dir: str | Path) -> None:
    """Keep other processes out of a folder until :func:`release_work_dir`, or until this one ends.

    The system's own record of who has the file locked counts, and it ends with the process however
    that is killed; the file stays, and what is in it is for messages. (A lock of ``fcntl.lockf``:
    it works over NFS, and the workers of a data loader, which may outlive a process that is killed
    by a few seconds, do not inherit it as they do one of ``flock``.) Where a file system has no
    locks, the process that the file names is looked for on this machine.

    Raises:
        ValueError: If another process has it, with its number and host.
        OSError: If the file cannot be written.
    """
    folder = Path(work_dir).resolve()
    if _held.get(folder, (None,))[0] == os.getpid():
        return
    path = folder / LOCK_FILE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # A link may lead anywhere, and opening a pipe would wait for its other end.
        flags = getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0)
        number = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except OSError as error:
        raise OSError(error.errno, f'cannot write {path}: {error.strerror}') from error
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, f'{path} is no regular file; remove it')
        if not _lock(number):
            raise ValueError(_busy(work_dir, _read(number), path))
        me = dict(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=time.strftime('%Y-%m-%d %H:%M:%S'),
            started=_started(os.getpid()),
        )
        os.ftruncate(number, 0)
        os.pwrite(number, json.dumps(me).encode(), 0)
    except BaseException:
        os.close(number)
        raise
    _held[folder] = os.getpid(), number


def release_work_dir(work_dir: str | Path) -> None:
    """Let other processes in; nothing happens if this one does not hold the folder."""
    pid, number = _held.pop(Path(work_dir).resolve(), (None, None))
    if pid == os.getpid():
        os.ftruncate(number, 0)
        os.close(number)  # and with it the lock


def _lock(number: int) -> bool:
    """Whether the file is this process's now."""
    if fcntl is not None:
        try:
            fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _BUSY:
                return False
    holder = _read(number)
    if not holder:
        return True
    if holder['host'] == socket.gethostname():
        # Another process may have been given the number since.
        return holder['started'] is None or _started(holder['pid']) != holder['started']
    print_log(
        f'the file system has no locks, so nobody can tell whether process {holder["pid"]} on '
        f'{holder["host"]} is still at work in this folder; two runs would spoil it',
        'current',
        level=30,
    )
    return True


def _read(number: int) -> dict:
    """Who wrote the file; empty if nobody did, or something else."""
    try:
        record = json.loads(os.pread(number, 10_000, 0))
        whole = isinstance(record['pid'], int) and isinstance(record['host'], str)
        started = record['started']
        return record if whole and (started is None or isinstance(started, str)) else {}
    except (KeyError, OSError, RecursionError, TypeError, ValueError):
        return {}


def _started(pid: int) -> str | None:
    """When a process of this machine began, in ticks since its start; None if there is none."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]
    except (IndexError, OSError):
        return None


def _busy(work_dir, holder: dict, path: Path) -> str:
    who = 'another process'
    if holder:
        who = f'process {holder["pid"]} on {holder["host"]!r:.80}'
        since = holder.get('since')
        who += f', since {since!r:.40}' if isinstance(since, str) else ''
    return (
        f'{work_dir} is in use by {who}: wait for its end, stop it, or name another --work-dir '
        f'(if that machine is gone for good, remove {path})'
    )
