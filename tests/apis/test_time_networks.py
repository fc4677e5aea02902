"""Timing beside a reference takes out what slows both; loads run what they were given."""

import time

import pytest
import torch
from torch import nn

from cream_mm.apis.time_networks import (
    Backend,
    cpu_quota,
    default_threads,
    fit_norms,
    time_beside,
)


class Machine:
    """A clock that models move on, by their time and by how slow the machine is just then."""

    def __init__(self, slowness):
        self.now, self.slowness, self.calls = 0.0, slowness, 0

    def model(self, ms):
        def run():
            self.calls += 1
            self.now += ms * 1e-3 * self.slowness(self.now)

        return run

    def clock(self):
        return self.now


def test_a_machine_that_becomes_slower_changes_times_and_no_ratio():
    machine = Machine(lambda now: 1 + 2 * now)  # three times as slow after a second
    models = [machine.model(ms) for ms in (1.0, 2.0, 5.0)]
    found = time_beside(models, machine.model(2.0), rounds=9, clock=machine.clock)
    assert [timing.ratio for timing in found] == pytest.approx([0.5, 1.0, 2.5], rel=0.05)
    assert found[0].ms > 1.2
    assert [timing.outliers for timing in found] == [0, 0, 0]


def test_interruptions_of_single_runs_and_of_whole_rounds_do_not_count():
    machine = Machine(lambda now: 1.0)
    plain, hits = machine.model(4.0), iter(range(10**6))

    def interrupted():
        plain()
        number = next(hits)
        # Every third run waits 30 ms; all of the third round do.
        machine.now += 0.03 * (number % 3 == 0 or 12 <= number < 18)

    (found,) = time_beside([interrupted], machine.model(2.0), rounds=9, clock=machine.clock)
    assert found.ratio == pytest.approx(2.0)
    assert (found.ms, found.reference_ms) == pytest.approx((4.0, 2.0))
    assert found.outliers == 1


def test_each_run_follows_one_that_warms_up():
    machine = Machine(lambda now: 1.0)
    time_beside([machine.model(1.0)] * 2, machine.model(1.0), rounds=3, repeats=4,
                clock=machine.clock)  # fmt: skip
    assert machine.calls == 2 * 2 * 3 * (1 + 4)


@pytest.mark.parametrize('name', ['onnxruntime', 'torch'])
def test_a_backend_runs_the_module_on_noise(name):
    threads = torch.get_num_threads()
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append((tuple(x.shape), float(x.std())))
            return x.relu()

    try:
        backend = Backend(name, threads=1)
        run = backend.load(Look(), (2, 3, 40, 20))
        run()
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    assert seen[-1][0] == (2, 3, 40, 20)
    assert name == 'onnxruntime' or seen[-1][1] == pytest.approx(1.0, abs=0.05)
    machine = backend.machine()
    assert (machine['backend'], machine['threads'], machine['dtype']) == (name, 1, 'float32')
    assert set(machine['versions']) == {name, 'torch'}


def test_one_thread_is_timed_on_the_core_and_several_by_the_clock(monkeypatch):
    monkeypatch.setattr('torch.set_num_threads', lambda threads: None)
    monkeypatch.setattr('torch.set_flush_denormal', lambda on: None)
    assert Backend('torch', threads=1).clock is time.process_time
    assert Backend('torch', threads=2).clock is time.perf_counter


def test_openvino_runs_the_module():
    pytest.importorskip('openvino')
    Backend('openvino').load(nn.Conv2d(3, 4, 3), (1, 3, 16, 16))()


def test_what_is_not_here_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='got tflite and cpu'):
        Backend('tflite')
    with pytest.raises(ValueError, match='at least one thread'):
        Backend('torch', threads=0)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='no GPU is here'):
        Backend('torch', 'cuda')
    monkeypatch.setitem(__import__('sys').modules, 'openvino', None)
    with pytest.raises(ImportError, match=r'pip install "cream-mm\[openvino\]"'):
        Backend('openvino')


def test_norms_get_the_statistics_of_what_passes_them():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    with torch.no_grad():
        module[0].weight.mul_(1e-6)  # else the next map vanishes
    fit_norms(module, (1, 3, 16, 16))
    assert module[1].momentum == 0.1 and not module.training
    with torch.no_grad():
        out = module(torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert 1e-3 < out.std() < 1.5


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ({'cpu.max': '150000 100000\n'}, 1.5),
        ({'cpu.max': 'max 100000\n'}, None),
        ({'cpu/cpu.cfs_quota_us': '400000\n', 'cpu/cpu.cfs_period_us': '100000\n'}, 4.0),
        ({'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n'}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container(files, expected, tmp_path):
    (tmp_path / 'cpu').mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert cpu_quota(str(tmp_path)) == expected


def test_threads_are_those_of_quota_and_affinity(monkeypatch):
    monkeypatch.setattr('cream_mm.apis.time_networks.usable_cores', lambda: 64)
    for quota, threads in ((None, 64), (2.0, 2), (0.5, 1), (100.0, 64)):
        monkeypatch.setattr('cream_mm.apis.time_networks.cpu_quota', lambda quota=quota: quota)
        assert default_threads() == threads
