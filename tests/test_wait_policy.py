"""Waiting OpenMP threads sleep soon, so that they leave the cores to others."""

import os
import subprocess
import sys

import pytest

from cream_mm import wait_policy
from cream_mm.wait_policy import SPINS, wait_briefly

# A hundred parallel regions with a pause behind each, in which a waiting thread spins or sleeps.
REGIONS = """
import runpy, sys, time
if sys.argv[1] == 'brief':
    assert runpy.run_path(sys.argv[2])['wait_briefly']()  # a package would import torch first
import torch
torch.set_num_threads(2)
x = torch.ones(1 << 20)
x.exp()
begin = time.process_time()
for _ in range(100):
    x[: 1 << 17].exp()
    time.sleep(0.01)
print(time.process_time() - begin)
"""


def test_it_stands_in_the_environment_unless_the_user_has_chosen(monkeypatch):
    monkeypatch.delitem(sys.modules, 'torch', raising=False)
    environ = {}
    assert wait_briefly(environ)
    assert environ == {'GOMP_SPINCOUNT': SPINS}
    for chosen in ({'OMP_WAIT_POLICY': 'ACTIVE'}, {'GOMP_SPINCOUNT': '7'}):
        environ = dict(chosen)
        assert not wait_briefly(environ)
        assert environ == chosen


def test_it_is_too_late_once_torch_is_there():
    import torch  # noqa: F401

    environ = {}
    assert not wait_briefly(environ)
    assert environ == {}


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason='one core: nobody waits')
def test_a_waiting_thread_uses_hardly_any_time():
    def seconds(policy):
        unset = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'OMP_NUM_THREADS')
        done = subprocess.run(
            [sys.executable, '-c', REGIONS, policy, wait_policy.__file__],
            capture_output=True, text=True, check=True,
            env={k: v for k, v in os.environ.items() if k not in unset},
        )  # fmt: skip
        return float(done.stdout)

    brief = seconds('brief')
    assert brief < 0.5 * seconds('default')
    assert brief < 0.3
