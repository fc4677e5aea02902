import copy

import pytest
import torch
from torch import nn

from cream_mm.models import CreamNet, CreamSupernet
from cream_mm.models.supernets import cut_path
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_space

ARCH = Arch(((1, 0), (0, 1)))


class Net(nn.Module):
    """What a retraining has: a backbone and a head."""

    def __init__(self, arch, head):
        super().__init__()
        self.backbone = CreamNet(arch, space=tiny_space().to_dict(), out_indices=(3,))
        self.head = copy.deepcopy(head)

    def forward(self, x):
        return self.head(self.backbone(x))


@pytest.mark.parametrize('arch', [ARCH, Arch(((0,), (1, 1)))], ids=str)
def test_whole_search_model_to_classifier(arch):
    torch.manual_seed(0)
    model = tiny_cream().eval()
    for buffer in model.backbone.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    weights = cut_path(model.state_dict(), arch)
    net = Net(arch, model.head).eval()
    with torch.no_grad():
        for param in net.parameters():
            param.zero_()
    net.load_state_dict(weights)  # strict: nothing missing, nothing left over
    image = torch.rand(2, 3, 8, 8)
    with model.backbone.using(arch):
        assert torch.equal(net(image), model(image))


def test_keys_and_values_of_a_synthetic_supernet():
    def layer(stage, index, choice):
        return {f'blocks.{stage}.{index}.{choice}.conv.weight': (stage, index, choice)}

    state = {'conv_stem.weight': 'stem', **layer(0, 0, 0), **layer(3, 0, 0)}
    for stage in (1, 2):
        for index in range(3):
            for choice in range(11):
                state.update(layer(stage, index, choice))
    given = {f'backbone.{k}': v for k, v in state.items()}
    given.update({
        'head.fc.weight': 'head', 'matching.fc.weight': 'm', 'board.scores': 'b',
        'headboard.x': 'kept', 'other.backbone.blocks.1.0.0.x': 'kept',
    })  # fmt: skip
    before = dict(given)
    out = cut_path(given, Arch(((10, 1), (0, 2, 1))))
    assert given == before
    assert out == {
        'backbone.conv_stem.weight': 'stem',
        'backbone.blocks.0.0.conv.weight': (0, 0, 0),
        'backbone.blocks.1.0.conv.weight': (1, 0, 10),
        'backbone.blocks.1.1.conv.weight': (1, 1, 1),
        'backbone.blocks.2.0.conv.weight': (2, 0, 0),
        'backbone.blocks.2.1.conv.weight': (2, 1, 2),
        'backbone.blocks.2.2.conv.weight': (2, 2, 1),
        'backbone.blocks.3.0.conv.weight': (3, 0, 0),
        'head.fc.weight': 'head',
        'headboard.x': 'kept',
        'other.backbone.blocks.1.0.0.x': 'kept',
    }


@pytest.mark.parametrize(
    ('arch', 'missing'),
    [
        (Arch(((1, 0, 1), (0, 1))), r'\[\(1, 2\)\]'),  # too deep
        (Arch(((1, 0), (0, 2))), r'\[\(2, 1\)\]'),  # no such choice
        (Arch(((1, 0), (0, 1), (1,))), r'\[\(3, 0\), \(4, 0\)\]|\[\(4, 0\)\]'),  # other space
    ],
    ids=str,
)
def test_an_arch_of_another_supernet(arch, missing):
    with pytest.raises(KeyError, match=missing) as error:
        cut_path(tiny_cream().state_dict(), arch)
    assert 'another supernet, or to a fixed network' in str(error.value)


def test_what_has_no_weights_is_not_missed():
    space = tiny_space(choices=('identity', (3, 4)), first_channels=0)
    net = CreamSupernet(space)
    arch = Arch(((0, 0), (1, 0)))
    state = net.state_dict()
    cut = cut_path(state, arch, prefix='', space=space)
    CreamNet(arch, space=space.to_dict()).load_state_dict(cut)
    with pytest.raises(KeyError, match=r'\[\(0, 0\), \(1, 1\), \(2, 1\)\]'):
        cut_path(state, arch, prefix='')
    for key in [key for key in state if key.startswith('blocks.1.0.0.')]:
        del state[key]
    with pytest.raises(KeyError, match=r'\[\(1, 0\)\]'):  # an identity that reshapes has weights
        cut_path(state, arch, prefix='', space=space)


def test_no_conv1x1_behind_the_last_stage():
    space, arch = tiny_space(final_channels=0, padding='same', bn_eps=1e-3), Arch(((0, 1), (1, 0)))
    net = CreamSupernet(space)
    cut = cut_path(net.state_dict(), arch, prefix='', space=space)
    CreamNet(arch, space=space.to_dict()).load_state_dict(cut)
    with pytest.raises(KeyError, match=r'\[\(3, 0\)\]'):
        cut_path(net.state_dict(), arch, prefix='')


def test_weights_of_a_fixed_network():
    net = Net(ARCH, tiny_cream().head)
    with pytest.raises(KeyError, match='fixed network'):
        cut_path(net.state_dict(), ARCH)


def test_another_prefix():
    model = tiny_cream()
    plain = cut_path(model.backbone.state_dict(), ARCH, prefix='')
    assert set(plain) == set(Net(ARCH, model.head).backbone.state_dict())
    with pytest.raises(KeyError):
        cut_path(model.backbone.state_dict(), ARCH)
