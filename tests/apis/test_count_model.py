import numpy as np
import pytest
import torch
from torch import nn

from cream_mm import create_model
from cream_mm.apis.count_model import count_model
from cream_mm.costs import Cost, build_cost_model
from cream_mm.models import CreamClsHead, CreamNet, NAONet
from cream_mm.models.backbones.cream_net import resolve_arch
from cream_mm.models.layers import head_settings
from cream_mm.spaces import MBConvSpace, NAOSpace, NASBench201Space
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_space


class Net(nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, x):
        return self.head(self.backbone(x))


def test_exported_tiny_network_in_all_conventions():
    model = tiny_cream(input_size=8)
    arch = Arch(((1, 0), (0, 1)))
    net = Net(model.backbone.export(arch), model.head).eval()
    image = torch.rand(1, 3, 8, 8)
    assert count_model(net, lambda: net(image), 'backbone.bn1') == model.cost_model.cost(arch)


def test_cream_14m_in_all_conventions():
    arch, space, _ = resolve_arch('cream-14m')
    net = Net(CreamNet(arch), CreamClsHead(1000)).eval()
    image = torch.rand(1, 3, 64, 64)
    cost = count_model(net, lambda: net(image), 'backbone.bn1')
    assert cost == build_cost_model(space, 64).cost(arch)
    with_stem_norm = count_model(net, lambda: net(image))
    assert with_stem_norm.board_flops - cost.board_flops == 2 * 16 * 32 * 32
    assert with_stem_norm[:2] == cost[:2]


def test_relu_and_identity_in_all_conventions():
    space = MBConvSpace.build('nas_bench_macro')
    for text in ('00000000', '01201201'):
        arch = space.parse(text)
        net = Net(CreamNet(arch, space='nas_bench_macro'), CreamClsHead(10, 1280, None)).eval()
        image = torch.rand(1, 3, 32, 32)
        cost = build_cost_model(space, 32, 10).cost(arch)
        assert count_model(net, lambda net=net, image=image: net(image), 'backbone.bn1') == cost
    # without blocks, ReLU stands behind the stem and the last conv1x1 alone
    norms = 2 * (64 * 256 + 128 * 64 + 256 * 16 + 1280 * 16)
    pool, relu = 1280 * 16, 32 * 1024 + 1280 * 16
    cost = build_cost_model(space, 32, 10).cost(space.parse('00000000'))
    assert cost.board_flops == cost.macs - 1280 * 10 + norms + pool + relu


@pytest.mark.parametrize('se', ['none', 'cream', 'efficientnet'])
@pytest.mark.parametrize('paper', ['cream', 'dna'])
@pytest.mark.parametrize('head_norm', [True, False])
def test_relu6_and_a_norm_in_the_head_in_all_conventions(se, paper, head_norm):
    space = tiny_space(
        act='relu6', se=se, head_norm=head_norm, padding='same', final_channels=0,
        published_flops=paper,
    )  # fmt: skip
    arch = Arch(((1, 0), (0, 1)))
    head = CreamClsHead(3, **{'act': 'silu', **head_settings(space, 16)})
    net = Net(CreamNet(arch, space=space.to_dict()), head).eval()
    image = torch.rand(1, 3, 9, 7)
    cost = count_model(net, lambda: net(image), 'backbone.bn1', paper)
    assert cost == build_cost_model(space, (9, 7), 3, 16).cost(arch)


def test_other_networks_written_out():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1),  # 10 x 12
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4, bias=False),  # 5 x 6
        nn.AvgPool2d((5, 6)),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    convs = 27 * 8 * 120 + 18 * 8 * 30
    norm, pool, relu, bias = 2 * 8 * 120, 8 * 30, 8 * 120, 8 * 120
    assert count_model(net, lambda: net(torch.rand(1, 3, 10, 12))) == Cost(
        convs + 40,
        27 * 8 + 8 + 16 + 18 * 8 + 45,
        convs + norm + pool + relu + bias,
        convs + 40 + norm + pool,
    )


def test_leaves_no_hooks_behind():
    net = nn.Sequential(nn.Conv2d(1, 1, 1))

    def fail():
        raise RuntimeError('stop')

    for run in (lambda: net(torch.rand(1, 1, 2, 2)), fail):
        try:
            count_model(net, run)
        except RuntimeError as error:
            assert str(error) == 'stop'
        assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize('stem_stride', [1, 4])
def test_cells_are_counted_as_by_their_table(stem_stride):
    """All four units, of a network that was run and of one that was added up."""
    arch, space, _ = resolve_arch(
        '|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|',
        dict(channels=8, num_cells=2, stem_stride=stem_stride),
        NASBench201Space,
    )
    table = build_cost_model(space, (48, 64), 7).cost(arch)
    model = create_model(arch, num_classes=7, space=space)

    def run():
        model(torch.zeros(1, 3, 48, 64))

    assert count_model(model, run, model.backbone.stem_norm, space.published_flops) == table


def test_two_cells_in_all_conventions():
    """Nobody published another count than multiply-adds."""
    space = NAOSpace(channels=4, num_cells=1)
    arch = space.sample(np.random.default_rng(3))
    net = NAONet(arch, space=space)
    net = Net(net, CreamClsHead(10, net.out_channels[-1], None)).eval()
    image = torch.rand(1, 3, 21, 16)
    cost = count_model(net, lambda: net(image), published=space.published_flops)
    assert cost == build_cost_model(space, (21, 16), 10).cost(arch)
