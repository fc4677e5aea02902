"""Weights of one cell out of a supernet's; that they give the path is the contract's test."""

import pytest
import torch

from cream_mm.models import NASBench201Net, NASBench201Supernet
from cream_mm.models.supernets.cut_cell import cut_cell

SMALL = dict(channels=4, num_cells=1)


@pytest.mark.parametrize('affine', [False, True])
def test_edges_take_the_weights_of_their_banks(affine):
    router = dict(type='TableRouter', table=[1, 0, 1, 1, 0, 0], num_banks=2)
    net = NASBench201Supernet(SMALL, router=router, affine=affine)
    arch = net.space.parse([3, 2, 1, 3, 4, 3])
    weights = {f'module.{k}': v for k, v in net.state_dict().items()}
    cut = cut_cell(weights, arch, 'module.', net.space)
    assert cut['module.cells.0.layers.0.op.1.weight'] is (
        weights['module.cells.0.banks.1.3.op.1.weight'])  # fmt: skip
    assert cut['module.cells.4.layers.1.op.1.weight'] is (
        weights['module.cells.4.banks.0.2.op.1.weight'])  # fmt: skip
    assert torch.equal(cut['module.cells.2.layers.3.op.2.weight'], torch.ones(8))
    assert not any('router' in key for key in cut)
    alone = {key.removeprefix('module.'): value for key, value in cut.items()}
    NASBench201Net(arch, space=net.space).load_state_dict(alone)


def test_weights_of_another_network():
    net = NASBench201Supernet(SMALL)
    weights = net.state_dict()
    arch = net.space.parse([3, 2, 1, 3, 4, 3])
    other = {key: value for key, value in weights.items() if '.banks.3.' not in key}
    with pytest.raises(KeyError, match=r'hold no edges \[3\] of \|nor_conv_3x3~0\|'):
        cut_cell(other, arch, '', net.space)
