"""What cells are made of; whole networks beside released numbers: test_nas_bench_201_net.py."""

import pytest
import torch
import torch.nn.functional as F

from cream_mm.models.layers.cell_ops import (
    CellFrame,
    Reduction,
    build_cell_stem,
    build_operation,
    check_stages,
)
from cream_mm.spaces import NASBench201Space
from cream_mm.spaces.nas_bench_201 import AVG_POOL, CONV_1X1, CONV_3X3, NONE, SKIP

BN = dict(type='BN')


def test_operations():
    x = torch.randn(2, 4, 5, 7)
    ones = torch.ones(1, 1, 3, 3)
    inside = F.conv2d(torch.ones(1, 1, 5, 7), ones, padding=1)  # pixels below the window
    sums = F.conv2d(x.flatten(0, 1).unsqueeze(1), ones, padding=1).view_as(x)
    assert torch.allclose(build_operation(AVG_POOL, 4, BN)(x), sums / inside, atol=1e-6)
    assert torch.equal(build_operation(SKIP, 4, BN)(x), x)
    assert build_operation(NONE, 4, BN)(x).count_nonzero() == 0
    for op, kernel in ((CONV_1X1, 1), (CONV_3X3, 3)):
        module = build_operation(op, 4, BN).eval()
        conv = module.op[1]
        assert conv.bias is None and conv.kernel_size == (kernel, kernel)
        expected = F.conv2d(x.relu(), conv.weight, padding=kernel // 2) / (1 + 1e-5) ** 0.5
        assert torch.allclose(module(x), expected, atol=1e-6)


@pytest.mark.parametrize('size', [(8, 8), (7, 5)])
def test_a_reduction_rounds_up_on_both_of_its_ways(size):
    block = Reduction(2, 3, BN).eval()
    x = torch.randn(1, 2, *size)
    h, w = (-(-side // 2) for side in size)
    windows = [
        [x[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((2, 3)) for j in range(w)]
        for i in range(h)
    ]
    pooled = torch.stack([torch.stack(row, dim=2) for row in windows], dim=2)
    expected = F.conv2d(pooled, block.downsample[1].weight) + block.conv_b(block.conv_a(x))
    assert torch.allclose(block(x), expected, atol=1e-6)


@pytest.mark.parametrize('stride', [1, 2, 4, 8])
def test_a_stem(stride):
    stem = build_cell_stem(NASBench201Space(channels=4, stem_stride=stride), BN)
    assert stem(torch.zeros(2, 3, 33, 16)).shape == (2, 4, -(-33 // stride), 16 // stride)
    assert len(stem.state_dict()) == 6  # of conv and BN: pools have none


def test_stages():
    assert check_stages(None, 3) == (2,) and check_stages([2, 0], 3) == (0, 2)
    for wrong in ((), (3,), (-1,)):
        with pytest.raises(ValueError, match=r'out_indices must lie in 0\.\.2'):
            check_stages(wrong, 3)
    with pytest.raises(NotImplementedError):
        CellFrame().build_cell(4)
