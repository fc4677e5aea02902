"""Freed memory stays with the process, or goes back, as asked."""

import statistics
import subprocess
import sys

import pytest

from cream_mm.ops import allocator, keep_freed_memory

# In a process of its own: the allocator of this one has a history. The file alone: to import
# cream_mm takes seconds.
SCRIPT = f"""
import resource, runpy, sys, torch
keep_freed_memory = runpy.run_path({allocator.__file__!r})['keep_freed_memory']
assert keep_freed_memory(sys.argv[1] == 'keep')
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print('pages', end='')
for _ in range(40):
    before = faults()
    torch.ones(16 << 20)
    print('', faults() - before, end='')
"""


def faults(mode):
    """Pages faulted in by a tensor of 64 MB, the median of the last 20 of 40.

    Kept memory may be needed afresh now and then: something small was put into the middle of it.
    In the first ten, small things still find their places.
    """
    done = subprocess.run([sys.executable, '-c', SCRIPT, mode], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return statistics.median(map(int, done.stdout.split('pages')[1].split()[20:]))


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc')
def test_kept_memory_is_not_faulted_in_again():
    pages = (64 << 20) // 4096
    assert faults('keep') < 0.01 * pages
    assert faults('give back') > 0.9 * pages


def test_can_be_turned_off(monkeypatch):
    monkeypatch.setenv('CREAM_MM_KEEP_MEMORY', '0')
    assert not keep_freed_memory()
