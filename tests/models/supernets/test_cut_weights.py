"""Weights of a path out of a checkpoint, by the space and by what the answer's file says."""

import pytest
import torch

from cream_mm.models import CreamSupernet, NASBench201Net, NASBench201Supernet
from cream_mm.models.supernets import cut_path, cut_weights
from cream_mm.spaces import NASBench201Space
from cream_mm.testing import ToySpace, tiny_space

SPACE = NASBench201Space(channels=4, num_cells=1)
CELL = '|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|'


def model_of(**kwargs):
    torch.manual_seed(0)
    supernet = NASBench201Supernet(SPACE, **kwargs)
    return torch.nn.ModuleDict(dict(backbone=supernet, head=torch.nn.Linear(16, 3)))


def test_of_mbconv_it_is_the_path():
    space = tiny_space()
    state = CreamSupernet(space).state_dict()
    arch = space.parse('01 10')
    ours = cut_weights(space, state, arch, prefix='', about=dict(router='cream_mm.X'))
    theirs = cut_path(state, arch, '', space)
    assert list(ours) == list(theirs) and all(ours[key] is theirs[key] for key in ours)


@pytest.mark.parametrize(
    ('router', 'name'),
    [
        (None, None),
        (dict(type='cream_mm.TableRouter', table=[0, 1, 0, 1, 2, 2]), None),
        (dict(type='cream_mm.GATESRouter', num_banks=3, active=3), 'cream_mm.GATESRouter'),
    ],
)
def test_of_cells_it_is_what_the_router_says(router, name):
    model, arch = model_of(router=router), SPACE.parse(CELL)
    details = model['backbone'].answer_details()
    assert details == (dict(router=name) if name else {})
    weights = cut_weights(SPACE, model.state_dict(), arch, about=details)
    assert not any('router' in key or '.banks.' in key for key in weights)
    net = torch.nn.ModuleDict(
        dict(backbone=NASBench201Net(arch, space=SPACE), head=torch.nn.Linear(16, 3))
    )
    net.load_state_dict(weights)  # strictly: nothing is missing, nothing too much
    banks = model['backbone'].router.banks(arch)
    for position in (0, 1, 5):
        mine = net['backbone'].cells[2].layers[position].op[1].weight
        theirs = model['backbone'].cells[2].banks[banks[position]][3].op[1].weight
        assert torch.equal(mine, theirs)
    x = torch.randn(2, 3, 8, 8)
    with model['backbone'].using(arch), torch.no_grad():
        torch.testing.assert_close(
            net.eval()['backbone'](x)[0], model.eval()['backbone'](x)[0], rtol=0, atol=1e-6
        )


def test_a_gate_is_named_by_the_answer_alone():
    model = model_of(router=dict(type='cream_mm.GATESRouter', num_banks=2, active=2))
    state, arch = model.state_dict(), SPACE.parse(CELL)
    with pytest.raises(ValueError, match='only the best_arch.json of its search names that'):
        cut_weights(SPACE, state, arch)
    for name in ('os.system', 'cream_mm.NASBench201Net', 'cream_mm.Nothing'):
        with pytest.raises(ValueError, match=f'"router" is \'{name}\'; there are .*GATESRouter'):
            cut_weights(SPACE, state, arch, about=dict(router=name))


def test_weights_of_something_else():
    arch = SPACE.parse(CELL)
    fixed = NASBench201Net(arch, space=SPACE).state_dict(prefix='backbone.')
    with pytest.raises(KeyError, match='hold no banks of .*nor_conv_3x3~0.*or to a fixed network'):
        cut_weights(SPACE, fixed, arch)
    plain = model_of().state_dict()
    with pytest.raises(KeyError, match='hold no GATESRouter, there is no .*another supernet'):
        cut_weights(SPACE, plain, arch, about=dict(router='cream_mm.GATESRouter'))
    with pytest.raises(ValueError, match='no weights are cut out of the supernet of a ToySpace'):
        cut_weights(ToySpace(), {}, arch)
