"""CLOSENet, the supernet of cells with its gate: golden sizes and logits, and the contract."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import cell_supernet_key, golden_fill, golden_image
from torch import nn

from cream_mm.models import NASBench201Supernet
from cream_mm.models.layers.bn_policy import batch_stats
from cream_mm.testing.contracts import SupernetContract

GOLDEN = json.loads(Path(__file__).parents[2].joinpath('data/close/supernet.json').read_text())


def close_net(num_banks=5, space=None, **settings):
    router = dict(type='cream_mm.GATESRouter', num_banks=num_banks, **settings)
    return NASBench201Supernet(space, router=router)


class TestCloseNet(SupernetContract):
    @pytest.fixture
    def supernet(self):
        torch.manual_seed(0)
        net = close_net(3, dict(channels=4, num_cells=1), active=2)
        net.router.step = (0, 0)
        return net

    @pytest.fixture
    def archs(self, supernet):
        """Cells that the input passes through: means of zeros would move no statistics."""
        space, rng = supernet.space, np.random.default_rng(0)
        return [space.decode([3] * 6), *(space.sample(rng) for _ in range(8))]


@pytest.mark.parametrize('sizes', GOLDEN['sizes']['closenet'], ids=lambda sizes: sizes['K'])
def test_sizes_and_names(sizes):
    net = close_net(sizes['K'])
    count = sum(p.numel() for p in net.parameters()) + sizes['classifier']
    assert count == sizes['trainable_parameters']
    state = {cell_supernet_key(k): v for k, v in net.state_dict().items() if k != 'router.active'}
    state['classifier.weight'], state['classifier.bias'] = torch.zeros(10, 64), torch.zeros(10)
    assert len(state) == sizes['n_keys']
    of_banks = sum(v.numel() for k, v in net.named_parameters() if '.banks.' in k)
    assert of_banks == sizes['searchable_cells'] == 268_800 * sizes['K']


@pytest.fixture(scope='module')
def filled():
    """A function: CLOSENet and its classifier with the golden weights, in float64."""
    net = close_net().double()
    state = net.state_dict()
    kept = ('router.active', 'other_node_emb')
    own = {k: v for k, v in state.items() if not k.endswith(kept)}
    fc = nn.Linear(64, 10).double()
    fc.load_state_dict(golden_fill(fc.state_dict(), lambda key: f'classifier.{key}'))

    def fill():
        net.load_state_dict({**state, **golden_fill(own, cell_supernet_key)})
        return net.eval(), fc

    return fill


@pytest.mark.parametrize('record', GOLDEN['closenet'], ids=range(6))
@pytest.mark.parametrize('policy', ['batchstat', 'running'])
def test_logits_under_the_gate(filled, record, policy):
    for active, expected in record[f'supernet_logits_{policy}'].items():
        net, fc = filled()
        net.router.active.fill_(int(active))
        net.set_arch(net.space.parse(record['arch']))
        modules = list(net.path_modules()) if policy == 'batchstat' else []
        with torch.no_grad(), batch_stats(modules):
            found = fc(net(golden_image(32, 4))[-1].mean((2, 3)))
        expected = torch.tensor(expected, dtype=torch.float64)
        error = (found - expected).abs().amax(1) / expected.abs().amax(1)
        assert error.max() < 1e-10
        network = net.export(net.arch).eval()  # by its checkpoint alone, the same banks
        with torch.no_grad():
            maps = [one(golden_image(32, 1))[-1] for one in (net, network)]
        assert torch.allclose(*maps, rtol=1e-9, atol=0)


@pytest.mark.parametrize('unchosen', ['none', 'zero'])
def test_a_step_in_mixed_precision(unchosen):
    """The gate stays in float32, and its gradient is that of float32 to half precision."""
    grads = []
    for amp in (False, True):
        torch.manual_seed(0)
        router = dict(type='cream_mm.GATESRouter', num_banks=3, active=3)
        net = NASBench201Supernet(dict(channels=4, num_cells=1), router=router, unchosen=unchosen)
        net.set_arch(net.space.parse([3, 3, 2, 3, 2, 3]))
        net.router.step = (0, 5)
        net.train()
        images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        with torch.autocast('cpu', torch.bfloat16, enabled=amp):
            out = net(images)[-1]
            loss = (out.float() * torch.arange(16).view(1, 16, 1, 1)).mean()
        loss.backward()
        grads.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[1].items():
        assert grad.dtype == torch.float32 and grad.isfinite().all()
        if name.startswith('router.mlp'):
            cosine = torch.cosine_similarity(grad.flatten(), grads[0][name].flatten(), dim=0)
            assert cosine > 0.9, name
