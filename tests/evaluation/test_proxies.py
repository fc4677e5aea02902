import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.costs import Budget, build_cost_model
from cream_mm.evaluation import naswot, naswot_images, naswot_scores, num_layers
from cream_mm.evaluation.proxies import naswot_indices
from cream_mm.models import CreamNet, CreamSupernet, NASBench201Supernet
from cream_mm.ops import cpu_kernels
from cream_mm.search import RandomSearch
from cream_mm.spaces import MBConvSpace, NASBench201Space
from cream_mm.testing import tiny_space


class Apply(nn.Module):
    """A function as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x.clone())


ACTIVATIONS = dict(
    relu=F.relu,
    relu6=F.relu6,
    silu=F.silu,
    inplace=lambda x: F.silu(x, inplace=True),
    method=lambda x: x.relu_(),
    ReLU=nn.ReLU(inplace=True),
    ReLU6=nn.ReLU6(inplace=True),
    SiLU=nn.SiLU(inplace=True),
    Hardswish=nn.Hardswish(),
)


@pytest.mark.parametrize('name', ACTIVATIONS)
def test_closed_form(name):
    """Four units. Images 0 and 1 switch one alike, 0 and 2 three, 1 and 2 two; zero is off."""
    images = torch.tensor(
        [[1.0, 2.0, -1.0, 9.0], [0.5, -1.0, 1.0, 0.0], [3.0, 0.0, -2.0, 7.0]]
    ).reshape(3, 1, 2, 2)
    expected = np.array([[4, 1, 3], [1, 4, 2], [3, 2, 4]])
    assert naswot(Apply(ACTIVATIONS[name]), images) == pytest.approx(
        math.log(np.linalg.det(expected)), rel=1e-12
    )


def test_all_activations_count():
    """The units of two layers in one sum: the signs of x, then those of 1 - silu(x)."""
    images = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, -2.0]])
    network = Apply(lambda x: F.relu(1 - F.silu(x)))
    second = (1 - F.silu(images)) > 0
    equal = 1 + int((second[0] == second[1]).sum())
    assert equal == 3
    assert naswot(network, images) == pytest.approx(math.log(6 * 6 - equal * equal))


def looked_at(network, images):
    """Signs, (N, units), of what norm layers before an activation give; by hooks on them."""
    seen, hooks = [], []
    for name, module in network.named_modules():
        if not isinstance(module, nn.BatchNorm2d):
            continue
        block, last = name.rpartition('.')[::2]
        # What follows conv_pwl, and an identity that reshapes, has no activation.
        owner = network.get_submodule(block) if block else network
        if last == 'bn3' or getattr(owner, 'act', None) == 'none' or (
            last == 'bn2' and hasattr(owner, 'conv_pw') and not hasattr(owner, 'conv_pwl')
        ):  # fmt: skip
            continue
        hooks.append(
            module.register_forward_hook(lambda _, __, out: seen.append(out.clone().flatten(1)))
        )
    with torch.no_grad(), cpu_kernels.disabled():
        network.train()(images)
    for hook in hooks:
        hook.remove()
    return torch.cat(seen, dim=1).numpy() > 0


@pytest.mark.parametrize('se', ['none', 'cream', 'efficientnet'])
@pytest.mark.parametrize('act', ['relu', 'silu'])
def test_a_network_by_brute_force(act, se):
    space = MBConvSpace.build(
        dict(preset='nas_bench_macro', widths=(8, 16, 16), stem_channels=8, final_channels=24,
             first_channels=8, act=act, se=se)
    )  # fmt: skip
    torch.manual_seed(0)
    network = CreamNet(space.parse('01200210'), space=space)
    images = torch.randn(5, 3, 16, 16)
    state = {k: v.clone() for k, v in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    value = naswot(network, images)
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert modes == [m.training for m in network.modules()]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())

    signs = looked_at(network, images)
    equal = np.array([[int((a == b).sum()) for b in signs] for a in signs])
    assert equal[0, 0] == signs.shape[1] and equal.min() < equal[0, 0]
    assert value == pytest.approx(np.linalg.slogdet(equal)[1], rel=1e-6)  # a sign may round


def test_errors():
    network = Apply(F.relu)
    with pytest.raises(ValueError, match='needs two or more; got 1'):
        naswot(network, torch.ones(1, 3, 4, 4))
    with pytest.raises(ValueError, match='images 1 and 2 switch all 4 units alike'):
        naswot(network, torch.tensor([[1.0, 1, 1, -1], [1, 1, 1, 1], [2, 2, 2, 2]]))
    with pytest.raises(ValueError, match='Linear has no activation'):
        naswot(nn.Linear(4, 4), torch.randn(3, 4))


def test_scores_are_those_of_the_network_the_images_and_the_seed():
    space = MBConvSpace.build(
        dict(preset='nas_bench_macro', widths=(8, 16, 16), stem_channels=8, final_channels=24)
    )
    archs = [space.parse(text) for text in ('01200210', '22222222', '01200201', '00000000')]
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    seen = []
    scores = naswot_scores(archs, space, images, progress=lambda *pair: seen.append(pair))
    assert torch.equal(before, torch.random.get_rng_state())
    assert seen == list(enumerate(scores))
    assert scores[0] == scores[2]  # an identity stands elsewhere
    assert len(set(scores)) == 3
    torch.manual_seed(7)
    assert naswot_scores(archs[::-1], space, images) == scores[::-1]
    assert naswot_scores(archs, space, images, seed=1) != scores
    supernet = CreamSupernet(space)
    assert naswot_scores(archs, space, images, build=supernet.export) == scores
    # More units, and more kinds of them.
    assert scores[1] > scores[0] > scores[3]


def test_cells():
    space = NASBench201Space(channels=4, num_cells=1)
    supernet = NASBench201Supernet(space)
    texts = ['333333', '020103', '000200', '111111', '000000']
    archs = [space.parse(text) for text in texts]
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    scores = naswot_scores(archs, space, images, build=supernet.export)
    assert scores == naswot_scores(archs[::-1], space, images, build=supernet.export)[::-1]
    assert len(set(scores)) == 5 and scores[0] == max(scores)
    assert scores[4] == -math.inf  # nothing passes: all images are one
    assert all(map(math.isfinite, scores[:4]))
    images[3] = images[5]
    with pytest.raises(ValueError, match='images 3 and 5 switch all .* is one a copy'):
        naswot_scores(archs, space, images, build=supernet.export)
    # of cells, convolutions through which something passes
    assert [num_layers(arch, space) for arch in archs] == [6, 2, 1, 0, 0]


def test_a_strategy_can_be_told():
    space = tiny_space()
    search = RandomSearch(space, Budget(build_cost_model(space, 16, 3, 16)))
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    archs = search.ask(3)
    scores = naswot_scores(archs, space, images)
    search.tell(archs, scores)
    assert search.best().score == max(scores)


def test_layers_that_are_no_identity():
    space = MBConvSpace.build('nas_bench_macro')
    # The first of each stage reshapes, and is an identity still.
    counts = {'00000000': 0, '01201201': 5, '12012012': 6, '22222222': 8}
    assert {text: num_layers(space.parse(text), space) for text in counts} == counts
    other = MBConvSpace.build('dna_identity')  # there, it is the last choice
    flat = [6, 0] * 9 + [6]
    assert num_layers(other.decode(flat), other) == 9
    cream = MBConvSpace.build('cream')
    assert num_layers(cream.decode([0] * cream.num_layers), cream) == cream.num_layers


class Numbers:
    """Image i holds i everywhere."""

    def __len__(self):
        return 100

    def __getitem__(self, i):
        return dict(inputs=torch.full((3, 2, 2), float(i)))


def test_images_are_drawn_by_the_seed():
    def stack(batch):
        return dict(inputs=torch.stack(batch['inputs']))

    images = naswot_images(Numbers(), stack, num=10)
    drawn = images[:, 0, 0, 0].int().tolist()
    assert images.shape == (10, 3, 2, 2) and len(set(drawn)) == 10
    assert drawn == naswot_indices(100, 10) == naswot_indices(100, 32)[:10]
    assert drawn != naswot_indices(100, 10, seed=1)
    assert len(naswot_images(Numbers(), stack, num=1000)) == 100
