"""Which networks are timed: each choice equally often; and that equal layers have one name."""

import itertools
from collections import Counter

import pytest
import torch

from cream_mm.apis.latency_networks import Layer, TimedNetworks
from cream_mm.costs import build_cost_model
from cream_mm.spaces import NAOSpace, NASBench201Space, build_space
from cream_mm.spaces.blocks import BlockSpace
from cream_mm.testing.tiny import tiny_space

BLOCKS = BlockSpace.build(
    dict(
        preset='dna', cells=[[(1, 24), (2, 32)], [(1, 40)], [(1, 64), (1, 80)]],
        strides=(2, 2, 1), choices=((3, 3), (5, 6)), final_channels=64,
    )
)  # fmt: skip


def test_layers_are_named_by_what_they_are():
    space = tiny_space(depths=(3, 2), choices=('identity', (3, 4), (5, 6)))
    networks = TimedNetworks(space, (17, 8), 10)
    found = networks.layers(space.decode([0, 1, 1, 2, 0]))
    # 8 channels of the stem to 16, by an identity that reshapes; one that does not is nothing.
    assert found == [
        Layer('conv1x1', 1, None, 8, 16, 2, (17, 8)),
        Layer('mbconv', 3, 4, 16, 16, 1, (9, 4)),
        Layer('mbconv', 3, 4, 16, 16, 1, (9, 4)),
        Layer('mbconv', 5, 6, 16, 24, 1, (9, 4)),
    ]
    assert len(networks.all_layers()) == 3 + 2 + 3 + 2
    names = networks.names()
    assert names[0][0] == found[0] and names[1][1] == names[2][1] == found[1]
    assert names[1][0] is None and names[4][0] is None


@pytest.mark.parametrize(
    ('space', 'size'),
    [(tiny_space(padding='same'), (9, 8)), (BLOCKS, (32, 32)), (NASBench201Space(num_cells=1), 8)],
    ids=['mbconv', 'blocks', 'cells'],
)
@pytest.mark.parametrize('head', ['classifier', None])
def test_modules_are_what_the_costs_count(space, size, head):
    networks = TimedNetworks(space, size, 7, head=head)
    archs = list(itertools.islice(networks.random(0), 2))
    for arch in archs:
        module = networks.module(arch).eval()
        with torch.no_grad():
            out = module(torch.zeros(2, 3, *networks.input_size))
        params = sum(p.numel() for p in module.parameters())
        assert params == networks.costs.cost(arch).params
        assert out.shape == (2, 7) if head else isinstance(out, tuple)
    for layer, made in networks.all_layers().items():
        if made is not None:
            module, shape = made
            with torch.no_grad():
                out = module.eval()(torch.zeros(2, *shape))
            assert layer.op == 'tail' or out.shape[1] == layer.out_channels


def test_layers_of_blocks_cover_every_network_and_add_up_to_their_parameters():
    networks = TimedNetworks(BLOCKS, 32, 7)
    layers = networks.all_layers()
    params = {
        layer: sum(p.numel() for p in module.parameters()) for layer, (module, _) in layers.items()
    }
    rests = set()
    for arch in itertools.islice(networks.random(1), 20):
        total = networks.costs.cost(arch).params
        rests.add(total - sum(params[layer] for layer in networks.layers(arch)))
    assert len(rests) == 1  # the stem and the first block


def test_the_design_has_each_choice_equally_often():
    space = tiny_space(depths=(3, 3), choices=((3, 4), (5, 6), (7, 6)))
    networks = TimedNetworks(space, 8, 3)
    archs = list(itertools.islice(networks.design(0), 27))
    counts = [Counter(space.encode(arch)[p] for arch in archs) for p in range(6)]
    assert counts == [{0: 9, 1: 9, 2: 9}] * 6
    assert [space.format(arch) for arch in archs[:3]] == ['000000', '111111', '222222']
    # Half of the others have equal choices at equal positions.
    assert all(arch.stages[0][1] == arch.stages[0][2] for arch in archs[3:6])
    assert networks.designed(20, 0) == list(dict.fromkeys(archs))[:20]
    assert networks.designed(20, 0) != networks.designed(20, 1)


def test_where_positions_are_not_free_rare_choices_come_first():
    networks = TimedNetworks(NASBench201Space(num_cells=1), 8, 3)
    archs = networks.designed(40, 0)
    counts = Counter(layer for arch in archs for layer in networks.layers(arch))
    assert len(counts) == len(networks.all_layers()) == 30
    assert min(counts.values()) >= 4  # 8 on average; canonical cells have few of some


def test_random_networks_are_different_and_never_end():
    networks = TimedNetworks(tiny_space(), 8, 3)
    found = list(itertools.islice(networks.random(0), 16))
    assert len(set(found)) == 16
    assert len(list(itertools.islice(networks.random(0), 20))) == 20  # the space has 16


def test_times_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="in the space 'nao' depends on the others"):
        TimedNetworks(NAOSpace(num_cells=1), 32)


def test_a_detectors_networks_have_its_maps():
    space = build_space('cream')
    networks = TimedNetworks(space, (64, 96), head=None)
    module = networks.module(space.decode([0] * 20)).eval()
    with torch.no_grad():
        maps = module(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape[2:]) for x in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert build_cost_model(space, (64, 96), head=None).num_classes is None
