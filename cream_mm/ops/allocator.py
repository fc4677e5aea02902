"""The C library's allocator, told to keep what a training step frees for the next step."""

import ctypes
import os
import sys

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MMAP_THRESHOLD_MAX = 32 << 20


def keep_freed_memory(keep: bool = True) -> bool:
    """Whether the process holds on to freed memory.

    By default glibc maps each large tensor afresh and unmaps it when it is freed, so that the
    kernel clears every page of every activation at every step; docs/results/supernet_step.md has
    what that costs. Kept memory shows as used until the process ends.

    Args:
        keep (bool): False goes back to what glibc does after a while of its own accord.

    Returns:
        bool: False where nothing was changed: there is no glibc, or ``CREAM_MM_KEEP_MEMORY=0``.
    """
    if sys.platform != 'linux' or os.environ.get('CREAM_MM_KEEP_MEMORY', '1') == '0':
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    if keep:
        return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    return bool(
        mallopt(M_MMAP_MAX, 65536)
        and mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_MAX)
        and mallopt(M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD_MAX)
    )
