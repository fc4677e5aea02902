"""The supernet of cells: golden numbers, the router's place in it, and what a step touches."""

import json
from pathlib import Path

import pytest
import torch
from conftest import cell_supernet_key, golden_fill, golden_image
from torch import nn

from cream_mm.models import NASBench201Supernet
from cream_mm.models.layers.bn_policy import batch_stats
from cream_mm.models.supernets import Router
from cream_mm.models.supernets.nas_bench_201_supernet import StraightThrough
from cream_mm.registry import MODELS
from cream_mm.spaces import NASBench201Space

GOLDEN = json.loads(Path(__file__).parents[2].joinpath('data/close/supernet.json').read_text())
SMALL = dict(channels=4, num_cells=1)
SPACE = NASBench201Space(**SMALL)
MIXED = [3, 2, 4, 1, 3, 3]


@MODELS.register_module()
class LearntRouter(Router):
    """A weight for each position and bank."""

    learns = True

    def __init__(self, num_banks=3, active=2):
        super().__init__(6, num_banks)
        self.logits = nn.Parameter(torch.linspace(-1, 1, 6 * num_banks).sin().view(6, num_banks))
        self.active = active

    @property
    def num_active(self):
        return self.active

    def _soft(self):
        return self.logits[:, : self.active].softmax(1)

    def banks(self, arch):
        return tuple(self._soft().argmax(1).tolist())

    def weights(self, arch):
        soft = self._soft()
        hard = torch.zeros_like(soft).scatter(1, soft.argmax(1, keepdim=True), 1.0)
        return hard - soft.detach() + soft

    def grow(self):
        self.active += 1
        return [(self.active - 1, self.active - 2)]


def logits(net, arch, vanilla=False):
    """Of four golden images, by the statistics of the batch."""
    weights = {k: v for k, v in net.state_dict().items() if k != 'router.table'}
    filled = golden_fill(weights, lambda key: cell_supernet_key(key, vanilla))
    net.load_state_dict(filled, strict=False)
    fc = nn.Linear(64, 10).double()
    fc.load_state_dict(golden_fill(fc.state_dict(), lambda key: f'classifier.{key}'))
    net.eval()
    net.set_arch(net.space.parse(arch))
    with torch.no_grad(), batch_stats(net.path_modules()):
        return fc(net(golden_image(32, 4))[-1].mean((2, 3)))


def assert_close(found, expected):
    expected = torch.tensor(expected, dtype=torch.float64).view_as(found)
    error = (found - expected).abs().amax(1) / expected.abs().amax(1)
    assert error.max() < 1e-10


def test_vanilla_sizes():
    net, sizes = NASBench201Supernet(), GOLDEN['sizes']['vanilla']
    assert sum(p.numel() for p in net.parameters()) + sizes['classifier'] == 1_686_106
    assert len(net.state_dict()) - 1 + 2 == sizes['n_keys']  # our table; their classifier


@pytest.mark.parametrize('record', GOLDEN['closenet'], ids=range(6))
def test_vanilla_logits(record):
    net = NASBench201Supernet().double()
    assert_close(logits(net, record['arch'], vanilla=True), record['vanilla_logits_batchstat'])


@pytest.mark.parametrize('record', GOLDEN['forced_routing'], ids=range(5))
def test_forced_routing(record):
    for route in record['routes']:
        router = dict(type='TableRouter', table=route['glow_of_position'], num_banks=5)
        net = NASBench201Supernet(router=router).double()
        (key,) = set(route) - {'glow_of_position'}
        assert_close(logits(net, record['arch']), route[key])


def test_a_bank_for_each_edge_is_the_vanilla_supernet_bit_for_bit():
    """Training, too: the same gradients and statistics."""
    steps = []
    for router in (None, dict(type='TableRouter', table=[0, 1, 2, 3, 4, 5])):
        torch.manual_seed(0)
        net = NASBench201Supernet(SMALL, router=router).train()
        net.set_arch(net.space.parse(MIXED))
        out = net(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)))[-1]
        out.square().mean().backward()
        grads = {k: p.grad for k, p in net.named_parameters() if p.grad is not None}
        steps.append(dict(net.state_dict(), **grads, out=out))
    assert steps[0].keys() == steps[1].keys()
    assert all(torch.equal(value, steps[1][key]) for key, value in steps[0].items())


@pytest.mark.parametrize('active', [1, 2, 3])
def test_the_short_step_is_the_plain_sum(active):
    """Outputs, the router's gradient, statistics; 'zero' differs in gradients of zero alone."""
    grads, nets = [], []
    for unchosen in ('none', 'zero'):
        torch.manual_seed(0)
        router = dict(type='LearntRouter', active=active)
        net = NASBench201Supernet(SMALL, router=router, unchosen=unchosen).double().train()
        net.set_arch(net.space.parse(MIXED))
        x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
        out = net(x)[-1]
        (out * torch.arange(out.numel()).view_as(out)).sin().sum().backward()
        grads.append({k: p.grad for k, p in net.named_parameters() if p.grad is not None})
        nets.append(net.state_dict())
    short, plain = grads
    assert all(torch.allclose(short[k], plain[k], rtol=1e-9, atol=1e-12) for k in short)
    only = set(plain) - set(short)
    assert all(plain[key].count_nonzero() == 0 for key in only)
    if active == 1:  # there is nothing to choose: the router is left alone
        assert only == {'router.logits'}
    else:
        assert only and short['router.logits'].abs().max() > 1e-6
    for key, value in nets[0].items():
        assert torch.allclose(value, nets[1][key], rtol=1e-12, atol=1e-14), key


def test_the_gradient_of_the_choice_by_differences():
    make = torch.Generator().manual_seed(0)
    ys = [torch.randn(2, 3, 4, 4, generator=make, dtype=torch.float64) for _ in range(3)]
    slope = torch.randn(2, 3, 4, 4, generator=make, dtype=torch.float64)
    weights = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    chosen = ys[1].requires_grad_()
    out = StraightThrough.apply(chosen, weights, torch.cat([ys[0], ys[2]], dim=1), 1)
    assert torch.equal(out, ys[1])
    (out * slope).sum().backward()
    step = 1e-6
    for i in range(3):
        moved = [w + step * (i == j) for j, w in enumerate((0.0, 1.0, 0.0))]
        change = sum(w * y for w, y in zip(moved, ys)) - ys[1]
        assert weights.grad[i].item() == pytest.approx(
            (change * slope).sum().item() / step, rel=1e-6
        )
    assert torch.equal(chosen.grad, slope)


def test_banks_that_are_not_in_use_are_left_alone():
    net = NASBench201Supernet(SMALL, router=dict(type='LearntRouter', active=2)).train()
    net.set_arch(net.space.parse(MIXED))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(torch.randn(4, 3, 8, 8))[-1].sum().backward()
    after = net.state_dict()
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert not any('.banks.2.' in key for key in changed)
    assert any('.banks.0.' in key for key in changed)
    assert all(p.grad is None for k, p in net.named_parameters() if '.banks.2.' in k)


def test_growing_names_what_begins_and_what_it_had():
    net = NASBench201Supernet(SMALL, router=dict(type='LearntRouter', active=1))
    pairs = net.grow()
    cells = [cell for cell in net.cells if hasattr(cell, 'banks')]
    assert net.num_active == 2 and len(pairs) == len(cells) == 3
    for (new, old), cell in zip(pairs, cells):
        assert new is cell.banks[1] and old is cell.banks[0]
    with pytest.raises(ValueError, match='all 6 banks of TableRouter are in use'):
        NASBench201Supernet(SMALL).grow()


def test_a_cell_that_is_cut_off_gives_zeros():
    net = NASBench201Supernet(SMALL, affine=True).train()
    net.set_arch(net.space.parse([0, 3, 3, 0, 3, 0]))
    x = net.stem(torch.randn(2, 3, 8, 8))
    assert net.run_cell(net.cells[0], x).count_nonzero() == 0


def test_dead_edges_of_an_export_add_nothing():
    """The network runs a convolution behind an empty node, which the path leaves out."""
    net = NASBench201Supernet(SMALL).train()
    arch = net.space.parse([0, 3, 0, 3, 2, 3])  # 1 -> 3 leaves a node that nothing enters
    assert net.space.live_edges(arch)[4] is False
    for op in (arch, net.space.parse([3] * 6)):
        with net.using(op), torch.no_grad():
            net(torch.randn(8, 3, 8, 8) + 1)
    net.eval()
    x = torch.randn(2, 3, 8, 8)
    with net.using(arch), torch.no_grad():
        assert torch.equal(net.export(arch).eval()(x)[-1], net(x)[-1])


@pytest.mark.parametrize('kwargs, match', [
    (dict(space=dict(width=3)), r"no \['width'\]; it has name, channels, num_cells, stem_stride"),
    (dict(space=dict(num_cells=0)), 'num_cells of a space is 1 to 1000; got 0'),
    (dict(space=dict(stem_stride=3)), 'stem_stride is 1, 2, 4 or 8; got 3'),
    (dict(router=dict(type='TableRouter', table=[0, 1])), 'a router of 2 positions; a cell has 6'),
    (dict(router=dict(type='TableRouter', table=[0] * 5 + [7], num_banks=2)), 'banks 0 to 1'),
    (dict(unchosen='some'), "unchosen is one of .*; got 'some'"),
    (dict(out_indices=(0, 5)), r'out_indices must lie in 0\.\.2'),
    (dict(budget=dict(macs_m=(0, 1))), 'needs costs=dict'),
])  # fmt: skip
def test_wrong_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        NASBench201Supernet(**kwargs)


def test_maps_for_a_detector():
    net = NASBench201Supernet(dict(SMALL, stem_stride=4), out_indices=(0, 1, 2)).eval()
    maps = net(torch.zeros(1, 3, 64, 64))
    assert [tuple(out.shape[1:]) for out in maps] == [(4, 16, 16), (8, 8, 8), (16, 4, 4)]
