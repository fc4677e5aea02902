"""Weights of a slice out of those of the full network, and what an answer's file says of it."""

import pytest
import torch

from cream_mm.models import CreamNet, ElasticSupernet
from cream_mm.models.supernets import cut_weights
from cream_mm.testing import tiny_elastic

SPACE = tiny_elastic()


def whole():
    torch.manual_seed(0)
    net = CreamNet(SPACE.full, space=SPACE.skeleton.to_dict())
    weights = {f'backbone.{name}': value for name, value in net.state_dict().items()}
    return {**weights, 'head.fc.weight': torch.ones(2), 'matching.fc.weight': torch.ones(2)}


def path_without_a_layer():
    flat = [size - 1 for size in SPACE.sizes]  # the last choice of a later layer leaves it out
    return SPACE.decode(flat)


def test_the_file_of_the_fixed_network_says_what_it_is_a_slice_of():
    weights, arch = whole(), path_without_a_layer()
    network, space = SPACE.network(arch)
    assert network.depths == (1, 1)
    about = dict(slice_of=dict(arch=arch.to_list(), space=SPACE.to_dict()))
    cut = cut_weights(space, weights, network, about=about)
    assert cut.pop('head.fc.weight') is weights['head.fc.weight']
    net = CreamNet(network, space=space.to_dict())
    net.load_state_dict({name.removeprefix('backbone.'): value for name, value in cut.items()})
    direct = cut_weights(SPACE, weights, arch)
    direct.pop('head.fc.weight')
    assert list(direct) == list(cut) and all(torch.equal(v, cut[k]) for k, v in direct.items())
    dw = weights['backbone.blocks.1.0.conv_dw.weight']
    part = cut['backbone.blocks.1.0.conv_dw.weight']
    assert torch.equal(part, dw[: len(part), :, 1:4, 1:4]) and len(part) < len(dw)
    assert part.untyped_storage().nbytes() == part.nbytes  # a file holds no more than this


def test_the_layers_that_are_left_close_up():
    weights, space = whole(), tiny_elastic(full=[[0], [1, 0, 0], [0, 1], [0]])
    net = ElasticSupernet(space.full.to_list(), space=space.skeleton.to_dict())
    arch = net.space.decode([0, len(net.space.choices_at(1)) - 1, 0, 0, 0])
    state = net.state_dict()
    cut = net.cut(state, arch, prefix='')
    for name in ('conv_pw.weight', 'bn3.running_mean'):
        assert torch.equal(cut[f'blocks.1.1.{name}'], state[f'blocks.1.2.{name}'])
    assert not any(name.startswith('blocks.1.2.') for name in cut)
    with pytest.raises(KeyError, match='blocks.1.2.conv_pw.weight is not there and should be of'):
        net.cut(weights, arch, prefix='backbone.')


def test_other_weights_are_refused():
    arch, weights = path_without_a_layer(), whole()
    small = cut_weights(SPACE, weights, arch)  # of the fixed network, not the full one's
    with pytest.raises(KeyError, match='not those of the full network .* is of .* and should be'):
        cut_weights(SPACE, small, arch)
    with pytest.raises(KeyError, match='is not there and should be of'):
        cut_weights(SPACE, weights, arch, prefix='')
    with pytest.raises(ValueError, match='belongs to space'):
        cut_weights(SPACE, weights, SPACE.network(arch)[0])
