"""benchmarks/gpu.py as far as a machine without a GPU goes: the work that it would time."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).resolve().parents[2] / 'benchmarks/gpu.py'


@pytest.fixture(scope='module')
def gpu():
    spec = importlib.util.spec_from_file_location('benchmark_gpu', PATH)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)  # where Python itself looks for its neighbours
        spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_in_one_line(gpu, monkeypatch):
    monkeypatch.setattr('sys.argv', ['gpu.py'])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert str(end.value).startswith('error: no CUDA device here') and '\n' not in str(end.value)


@pytest.mark.parametrize('mode', ['cream', 'plain', 'rating'])
def test_the_work_is_real(gpu, mode):
    work = gpu.Work(mode, size=32, batch=2, amp=False, device='cpu')
    before = {name: value.clone() for name, value in work.model.state_dict().items()}
    synchronized = []
    rate = gpu.measure(work, 1, lambda: synchronized.append(1))
    assert rate > 0 and len(synchronized) == 8
    changed = {
        name.split('.')[0]
        for name, value in work.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == ({'backbone', 'head'} if mode != 'rating' else set())
    assert (len(work.model.board) == 10) if mode == 'cream' else work.model.board is None


@pytest.mark.gpu
def test_figures(gpu):
    if not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    found = gpu.measure_on_gpu('cream', 64, 8, True, 2)
    assert found['images_per_second'] > 0 and found['peak_gb'] > 0
