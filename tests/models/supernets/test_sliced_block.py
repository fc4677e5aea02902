import copy

import pytest
import torch
from torch import nn

from cream_mm.models.layers import MBConv
from cream_mm.models.layers.bn_policy import batch_stats, recalibrated
from cream_mm.models.supernets.sliced_block import SlicedBlock, slice_to

NORM = dict(type='BN')


def sliced(**kwargs):
    torch.manual_seed(0)
    full = MBConv(8, 16, 5, 4, 2, NORM, **kwargs)
    with torch.device('meta'):
        shell = MBConv(8, 16, 3, 2, 2, NORM, **kwargs)
    return SlicedBlock(full, shell)


def images():
    return torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))


def test_a_slice_is_the_first_channels_and_the_middle_of_the_kernel():
    value = torch.arange(4 * 3 * 5 * 5).view(4, 3, 5, 5)
    assert torch.equal(slice_to(value, (2, 1, 3, 3)), value[:2, :1, 1:4, 1:4])
    assert torch.equal(slice_to(value[:, 0, 0, 0], (3,)), value[:3, 0, 0, 0])
    part = slice_to(value, (2, 3, 5, 5))
    assert part.data_ptr() == value.data_ptr()  # a view


def test_the_shell_holds_no_weights_but_in_a_forward():
    block, seen = sliced(), []
    conv = block.shell.conv_dw
    conv.register_forward_hook(lambda m, *_: seen.append(m.weight.shape))
    block(images())
    assert seen == [(16, 1, 3, 3)] and not list(block.shell.parameters())
    with pytest.raises(RuntimeError):
        block(torch.rand(1, 5, 6, 6))  # of other channels
    assert not list(block.shell.parameters())


def test_statistics_are_the_full_blocks_and_move_when_measured_alone():
    block = sliced()
    full = block.full.bn2
    full.running_mean.normal_()
    before = copy.deepcopy(block.full.state_dict())
    block(images())
    with batch_stats(block.modules()):
        block(images())
    measured = recalibrated(block.modules(), lambda: [block(images()) for _ in range(3)])
    with measured:
        norm = block.shell.bn2
        assert norm.num_batches_tracked == 3 and not norm.training
        assert not torch.equal(full.running_mean[:16], before['bn2.running_mean'][:16])
        assert torch.equal(full.running_mean[16:], before['bn2.running_mean'][16:])
    assert all(torch.equal(v, before[k]) for k, v in block.full.state_dict().items())
    assert norm.momentum == 0 and norm.training
    with torch.no_grad():
        full.running_mean.fill_(3.0)
    assert norm.running_mean.tolist() == [3.0] * 16
    full.running_mean = torch.full((32,), 4.0)  # as .to() does
    block.follow()
    assert norm.running_mean.tolist() == [4.0] * 16


def test_it_follows_the_full_blocks_mode_when_that_changes():
    block = sliced(se='efficientnet')
    block.full.eval()
    modules = list(block.modules())
    assert len(modules) == len(list(block.full.modules())) and not any(m.training for m in modules)
    modules = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    for m in modules:
        m.train()  # for a while
    block(images())
    assert all(m.training for m in modules)
    block.full.train()
    block.full.bn1.eval()
    block(images())
    assert [m.training for m in modules] == [False, True, True]
    assert block.shell.training


def test_norms_that_were_synchronised_are_in_slices_too():
    block = sliced()
    before = block(images())
    block.full.bn2 = nn.SyncBatchNorm.convert_sync_batchnorm(block.full.bn2)
    block.full.eval()
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kinds = [nn.BatchNorm2d, nn.SyncBatchNorm, nn.BatchNorm2d]
    assert [type(m) for m in norms] == kinds and norms[1].process_group is None
    block.full.bn2 = nn.BatchNorm2d(32).train()
    block.full.train()
    torch.testing.assert_close(block(images()), before)
