"""The benchmark's network: golden numbers of its released code, and what a backbone has."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import golden_fill, golden_image
from torch import nn

from cream_mm.costs import build_cost_model
from cream_mm.models import NASBench201Net

GOLDEN = json.loads(Path(__file__).parents[2].joinpath('data/close/network.json').read_text())
ARCHS = [record['arch'] for record in GOLDEN['archs']]
MIXED = '|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|'


class Classifier(nn.Module):
    """The network with the classifier that the benchmark has behind it."""

    def __init__(self, arch):
        super().__init__()
        self.backbone = NASBench201Net(arch)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        return self.classifier(self.backbone(x)[-1].mean((2, 3)))


@pytest.fixture(params=GOLDEN['archs'], ids=range(len(ARCHS)))
def record(request):
    return request.param


@pytest.fixture
def golden_cells(record):
    net = Classifier(record['arch']).double().eval()
    net.load_state_dict(golden_fill(net.state_dict(), lambda key: key.removeprefix('backbone.')))
    return net


def test_keys_are_the_benchmarks(record, golden_cells):
    keys = [
        f'{name.removeprefix("backbone.")} {"x".join(map(str, value.shape))}'
        for name, value in golden_cells.state_dict().items()
    ]
    assert len(keys) == record['n_keys']
    assert hashlib.sha256('\n'.join(keys).encode()).hexdigest() == record['keys_sha256']


def test_logits_and_stages(record, golden_cells):
    maps, net = {}, golden_cells.backbone
    named = {'stem': net.stem, 'lastact': net.lastact}
    named |= {f'cells.{i}': cell for i, cell in enumerate(net.cells)}
    for name, module in named.items():
        module.register_forward_hook(lambda m, x, out, name=name: maps.update({name: out}))
    with torch.no_grad():
        logits = golden_cells(golden_image(32))[0]
    expected = torch.tensor(record['logits'], dtype=torch.float64)
    assert torch.allclose(logits, expected, rtol=1e-12, atol=1e-12 * expected.abs().max())
    for name, (shape, first, mean, deviation) in record['stages'].items():
        out = maps[name]
        assert list(out.shape) == shape
        found = [*out.flatten()[:3].tolist(), out.mean().item(), out.std(unbiased=False).item()]
        assert found == pytest.approx([*first, mean, deviation], rel=1e-10, abs=1e-12)


def test_costs_are_those_of_the_modules(record):
    """Every convolution counted as it runs, and every parameter."""
    net, seen = Classifier(record['arch']).eval(), []

    def count(module, inputs, out):
        seen.append(out[0, 0].numel() * module.weight.numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    space = net.backbone.space
    cost = build_cost_model(space, 32, 10).cost(space.parse(record['arch']))
    assert cost.macs == sum(seen) + 64 * 10
    assert cost.params == sum(p.numel() for p in net.parameters()) == record['params_cifar10']


@pytest.mark.parametrize('stride', [1, 2, 4, 8])
@pytest.mark.parametrize('size', [(64, 48), (50, 37)])
def test_maps_and_costs_at_any_stride(stride, size):
    net = NASBench201Net(
        MIXED, space=dict(channels=4, num_cells=1, stem_stride=stride), out_indices=(0, 1, 2)
    ).eval()
    seen = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda m, x, out: seen.append(out[0, 0].numel() * m.weight.numel())
            )
    with torch.no_grad():
        maps = net(torch.zeros(1, 3, *size))
    for out, channels, factor in zip(maps, net.out_channels, (1, 2, 4)):
        assert out.shape[1] == channels
        assert tuple(out.shape[2:]) == tuple(-(-side // (stride * factor)) for side in size)
    cost = build_cost_model(net.space, size, head=None).cost(net.arch)
    assert cost.macs == sum(seen)
    assert cost.params == sum(p.numel() for p in net.parameters())


def test_the_stride_has_no_weights():
    one, four = (NASBench201Net(MIXED, space=dict(stem_stride=s, num_cells=1)) for s in (1, 4))
    assert one.state_dict().keys() == four.state_dict().keys()


def test_frozen_stages_and_norm_eval():
    net = NASBench201Net(
        MIXED, space=dict(channels=4, num_cells=1), frozen_stages=2, norm_eval=True
    )
    net.train()
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in net.named_parameters() if n.startswith(
        ('stem.', 'cells.0.', 'cells.1.', 'cells.2.'))}  # fmt: skip
    assert not net.cells[2].training and net.cells[3].training
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    with pytest.raises(ValueError, match='-1 to 3; got 4'):
        NASBench201Net(MIXED, frozen_stages=4)
    with pytest.raises(ValueError, match=r'out_indices must lie in 0\.\.2; got \(3,\)'):
        NASBench201Net(MIXED, out_indices=(3,))


def test_checkpointing_changes_no_gradient():
    grads, x = [], torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    net = NASBench201Net(MIXED, space=dict(channels=4, num_cells=1)).eval()
    for with_cp in (False, True):
        net.with_cp = with_cp
        net.zero_grad()
        net(x)[-1].square().sum().backward()
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert len(grads[0]) > 10 and all(map(torch.equal, *grads))
