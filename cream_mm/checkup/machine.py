"""What a machine offers: Python, cores, memory, and places to write into."""

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..environment import processor_name, usable_cores
from .installation import Finding

MIN_PYTHON = (3, 10)
CGROUP = Path('/sys/fs/cgroup')
SHM = Path('/dev/shm')
GIB = 2**30
LITTLE_SHM = 0.5  # GiB: a batch of photographs from each of a few workers
LITTLE_DISK = 1.0  # GiB: a few checkpoints


def check_python() -> list[Finding]:
    """The interpreter and the system."""
    told = f'{platform.python_version()} of {sys.executable}'
    system = f'{platform.system()} {platform.release()} on {platform.machine()}'
    found = [Finding('ok', 'Python', told)]
    if sys.version_info < MIN_PYTHON:
        remedy = f'take Python {".".join(map(str, MIN_PYTHON))} or later'
        found = [Finding('wrong', 'Python', told, remedy)]
    if sys.platform != 'linux':
        return [*found, Finding('note', 'system', f'{system}: tried on Linux alone')]
    return [*found, Finding('ok', 'system', system)]


def check_cores() -> list[Finding]:
    """Cores that the process may run on, and what a container allows of them."""
    cores, quota = usable_cores(), cpu_quota()
    threads = os.environ.get('OMP_NUM_THREADS')
    told = f'{cores} usable cores of {processor_name()}'
    told += f', OMP_NUM_THREADS={threads}' if threads else ''
    found = [Finding('ok', 'cores', told)]
    if quota is not None and quota < cores:
        whole = max(1, int(quota))
        text = f'{told}; the container allows {quota:g} of them: more threads wait for each other'
        found = [Finding('note', 'cores', text, f'export OMP_NUM_THREADS={whole}')]
        if threads and threads.isdigit() and int(threads) <= quota:
            found = [Finding('ok', 'cores', f'{told}; the container allows {quota:g}')]
    limit = memory_limit()
    if limit is not None:
        status = 'note' if limit < 4 * GIB else 'ok'
        remedy = 'a smaller batch_size, and num_workers=0' if status == 'note' else ''
        text = f'the container allows {limit / GIB:.1f} GiB'
        found.append(Finding(status, 'memory', text, remedy))
    return found


def cpu_quota(root: Path = CGROUP) -> float | None:
    """Cores that a container's quota amounts to; None where it has none."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (root / 'cpu.max').read_text().split()
        return None if quota == 'max' else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # the first version of cgroups
        quota = int((root / 'cpu/cpu.cfs_quota_us').read_text())
        return quota / int((root / 'cpu/cpu.cfs_period_us').read_text()) if quota > 0 else None
    return None


def memory_limit(root: Path = CGROUP) -> int | None:
    """Bytes that a container may use; None where it has no limit."""
    for name in ('memory.max', 'memory/memory.limit_in_bytes'):
        with contextlib.suppress(OSError, ValueError):
            limit = int((root / name).read_text())
            return limit if limit < 2**60 else None
    return None


def check_places(here: Path) -> list[Finding]:
    """Whether home, the current folder and the temporary one can be written into, and the room."""
    found = []
    try:
        home = Path.home()
        reason = cannot_write(home)
    except RuntimeError:
        home, reason = None, 'there is none'
    if reason:
        text = f'home {home or ""}: {reason}; caches go to the temporary folder'.replace(' :', ':')
        remedy = 'set HOME, or CREAM_MM_CACHE and MPLCONFIGDIR, to a folder of your own'
        found.append(Finding('note', 'home', text, remedy))
    else:
        found.append(Finding('ok', 'home', f'{home} can be written into'))
    if reason := cannot_write(here):
        remedy = 'give --work-dir a folder that can be, or change to one'
        found.append(Finding('note', 'folder', f'{here}: {reason}', remedy))
    else:
        found.append(_room(here))
    try:
        temporary = Path(tempfile.gettempdir())
        reason = cannot_write(temporary)
    except OSError as error:
        temporary, reason = None, str(error)
    if reason:
        text = f'no temporary folder: {temporary or ""} {reason}'
        found.append(Finding('wrong', 'temporary', text, 'set TMPDIR to a folder of your own'))
    else:
        found.append(Finding('ok', 'temporary', f'{temporary} can be written into'))
    return found


def cannot_write(folder: Path) -> str | None:
    """Why nothing can be written into a folder; None if something can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b'cream_mm')
            file.flush()
    except OSError as error:
        return f'cannot be written into ({error.strerror})'
    return None


def check_shared_memory(place: Path = SHM, usage: Callable = shutil.disk_usage) -> list[Finding]:
    """What workers of a data loader hand images over by; containers have 64 MB of it."""
    if sys.platform != 'linux':
        return []
    remedy = 'docker run --shm-size=8g, or num_workers=0 in the config'
    try:
        total = usage(place).total / GIB
    except OSError as error:
        text = f'{place}: {error.strerror}; workers of a data loader end with a bus error'
        return [Finding('note', 'shared memory', text, remedy)]
    text = f'{place} has {total:.2g} GiB'
    if total < LITTLE_SHM:
        text += ': workers of a data loader may end with a bus error'
        return [Finding('note', 'shared memory', text, remedy)]
    return [Finding('ok', 'shared memory', text)]


def _room(folder: Path, usage: Callable = shutil.disk_usage) -> Finding:
    free = usage(folder).free / GIB
    text = f'{folder} can be written into, {free:.1f} GiB are free'
    if free < LITTLE_DISK:
        return Finding('note', 'folder', text, 'free some space, or give --work-dir another disk')
    return Finding('ok', 'folder', text)
