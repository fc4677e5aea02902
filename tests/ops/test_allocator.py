"""Freed memory stays with the process, or goes back, as asked."""

import subprocess
import sys

import pytest

# In a process of its own: the allocator of this one has a history.
SCRIPT = """
import resource, sys, torch
from cream_mm.ops import keep_freed_memory
assert keep_freed_memory(sys.argv[1] == 'keep')
for _ in range(2):
    torch.ones(16 << 20)  # 64 MB: the first time, every page is new
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16 << 20)
print('faults', resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    done = subprocess.run([sys.executable, '-c', SCRIPT, mode], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split('faults')[1])


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc')
def test_kept_memory_is_not_faulted_in_again():
    pages = 10 * (64 << 20) // 4096
    assert faults('keep') < 0.01 * pages
    assert faults('give back') > 0.9 * pages


def test_can_be_turned_off(monkeypatch):
    from cream_mm.ops import keep_freed_memory

    monkeypatch.setenv('CREAM_MM_KEEP_MEMORY', '0')
    assert not keep_freed_memory()
