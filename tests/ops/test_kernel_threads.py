"""The kernels on several threads compute what they do on one."""

import pytest
import torch
from torch import nn

from cream_mm.models.layers import MBConv
from cream_mm.ops import cpu_kernels

pytestmark = pytest.mark.skipif(cpu_kernels.load() is None, reason='no C++ compiler')


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a_thread_for_every_grain(threads):
    threads(3)
    grain = cpu_kernels.GRAIN
    sizes = (1, grain - 1, 2 * grain - 1, 2 * grain, 3 * grain, 100 * grain)
    assert [cpu_kernels.num_threads(torch.empty(n)) for n in sizes] == [1, 1, 1, 2, 3, 3]


@pytest.mark.parametrize('number', [2, 3, 5])
def test_a_block_on_several_threads(number, threads, monkeypatch):
    """All kernels of a block, forward and backward; 5 threads are more than there are images."""
    torch.manual_seed(0)
    block = MBConv(8, 16, 5, 4, 2, dict(type='BN')).train()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
    x = torch.randn(4, 8, 9, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    grad = None
    results = []
    for n in (1, number):
        threads(n)
        monkeypatch.setattr(cpu_kernels, 'GRAIN', 1)
        block.zero_grad()
        out = block(x)
        grad = torch.randn_like(out) if grad is None else grad
        (on_x,) = torch.autograd.grad(out, x, grad, retain_graph=True)
        on_weights = torch.autograd.grad(out, list(block.parameters()), grad)
        results.append((out, on_x, *on_weights))
    for one, several in zip(*results):
        torch.testing.assert_close(several, one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
