"""The gate: the released encoder and perceptron, number by number; its draws; a checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import golden_fill

from cream_mm.methods.close.gate import GATESRouter
from cream_mm.spaces import NASBench201Space
from cream_mm.spaces.nas_bench_201 import CONV_3X3, EDGES, OPERATIONS

DATA = Path(__file__).parents[2] / 'data/close'
SPACE = NASBench201Space()
SMALL = dict(op_dim=4, node_dim=6, hidden_dim=8, gcn_dims=(8, 10), mlp_dims=(12, 14))


def read(name):
    return json.loads((DATA / f'{name}.json').read_text())


def filled(**settings):
    """The published gate with the golden weights, in float64; the zero embedding stays."""
    router = GATESRouter(**settings).double().eval()
    state = router.state_dict()
    own = {k: v for k, v in state.items() if k not in ('active', 'embedder.other_node_emb')}
    router.load_state_dict({**state, **golden_fill(own)})
    return router


def close(ours, theirs, tolerance=1e-10):
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else np.asarray(ours)
    return np.abs(ours - np.array(theirs)).max() < tolerance


# ---- golden ------------------------------------------------------------------------------------


def test_every_value_on_the_way_is_the_released_one():
    golden = read('gates')
    router = filled()
    seen = {}
    for name, module in router.named_modules():
        module.register_forward_hook(
            lambda module, args, out, name=name: seen.__setitem__(name, out)
        )
    arch = SPACE.parse(golden['arch'])
    matrix = golden['arch_matrix_row_to_col_from']
    assert [matrix[target][source] for source, target in EDGES] == SPACE.encode(arch)
    router.logits(arch)
    assert close(seen['embedder.x_hidden'][:, :3], golden['x_hidden'])
    for i, (nodes, total) in enumerate(zip(golden['gcn_pre_relu'], golden['gcn_pre_relu_sum'])):
        assert close(seen[f'embedder.gcns.{i}'][:, :3], nodes)
        assert close(seen[f'embedder.gcns.{i}'].sum(), total)
    for op, values in golden['op_attention0_sigmoid_first3_by_op'].items():
        gates = seen['embedder.gcns.0.op_attention'].sigmoid()
        assert close(gates[OPERATIONS.index(op), :3], values)
    assert close(seen['embedder'][:, :3], golden['final_node_embeddings'])
    for edge, values in golden['mlp'].items():
        source, target = map(int, edge.split('->'))
        row = EDGES.index((source, target))
        x = torch.cat([seen['embedder'][source], seen['embedder'][target]])
        assert close(x.sum(), values['input_sum'])
        for i in range(3):
            assert close(seen[f'mlp.{i}'][row, :3], values[f'layer{i}'])
            assert close(seen[f'mlp.{i}'][row].sum(), values[f'layer{i}_sum'])
        assert close(seen['mlp.3'][row], values['layer3'])


@pytest.mark.parametrize('number', range(6))
def test_scores_and_banks_of_the_released_gate(number):
    golden = read('supernet')['closenet'][number]
    arch = SPACE.parse(golden['arch'])
    router = filled()
    names = [f'{source}->{target}' for source, target in EDGES]
    assert close(router.logits(arch), [golden['gate_logits'][name] for name in names])
    for active, banks in golden['argmax'].items():
        router.active.fill_(int(active))
        assert router.num_active == int(active)
        assert router.banks(arch) == tuple(banks)


def test_sizes_and_names_are_the_released_ones():
    keys = ['embedder.other_node_emb 1x48', 'embedder.input_node_emb.weight 1x48']
    keys += ['embedder.op_emb.weight 5x48', 'embedder.x_hidden.weight 96x48']
    keys += ['embedder.x_hidden.bias 96']
    for i, size in enumerate((96, 128, 128, 128, 128)):
        name = f'embedder.gcns.{i}'
        keys += [f'{name}.weight {size}x128']
        keys += [f'{name}.op_attention.weight 128x48', f'{name}.op_attention.bias 128']
    for i, size in enumerate((256, 200, 200)):
        keys += [f'mlp.{i}.0.weight 200x{size}', f'mlp.{i}.0.bias 200']
    keys += ['mlp.3.weight 5x200', 'mlp.3.bias 5']
    state = {k: v for k, v in GATESRouter().state_dict().items() if k != 'active'}
    assert {f'{k} {"x".join(map(str, v.shape))}' for k, v in state.items()} == set(keys)
    for golden in read('supernet')['sizes']['closenet']:
        router = GATESRouter(num_banks=golden['K'])
        count = sum(p.numel() for p in router.embedder.parameters())
        assert count + 48 == golden['gate_embedder']  # which counts the zeros
        assert sum(p.numel() for p in router.mlp.parameters()) == golden['gate_mlp']


def test_weights_begin_as_torchs_own():
    torch.manual_seed(0)
    router = GATESRouter()
    for layer in router.embedder.gcns:
        bound = layer.weight.shape[1] ** -0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound
    assert not router.embedder.other_node_emb.any()
    before = {k: v.clone() for k, v in router.state_dict().items()}
    router.init_weights()
    assert all(torch.equal(v, before[k]) for k, v in router.state_dict().items())


# ---- draws -------------------------------------------------------------------------------------


def small(**settings):
    torch.manual_seed(1)
    return GATESRouter(**{**SMALL, 'active': 3, **settings})


ARCH = SPACE.decode([CONV_3X3, 2, 1, 4, 0, CONV_3X3])


def test_banks_are_drawn_from_the_softmax_of_the_scores():
    """At any temperature; the temperature is that of the gradient alone."""
    router = small(dropout=0)
    with torch.no_grad():
        router.mlp[-1].bias[:3] += torch.tensor([1.0, 0.0, -1.0])
    expected = router.logits(ARCH)[:, :3].softmax(dim=1).detach()
    assert expected.max() - expected.min() > 0.3
    total = torch.zeros_like(expected)
    for step in range(2000):
        router.step = (0, step)
        with torch.no_grad():
            total += router.weights(ARCH)
    assert (total / 2000 - expected).abs().max() < 0.04  # 3.5 standard errors


def test_a_draw_is_a_function_of_seed_and_step_alone():
    router, same = small().train(), small().train()
    draws = {}
    for step in range(20):
        router.step = same.step = (4, step)
        torch.manual_seed(step)  # not used, and not moved
        before = torch.get_rng_state()
        draws[step] = router.weights(ARCH)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(99)
        assert torch.equal(same.weights(ARCH), draws[step])
    assert len({tuple(d.argmax(1).tolist()) for d in draws.values()}) > 5
    router.step = (5, 3)
    assert not torch.equal(router.weights(ARCH), draws[3])


def test_one_hot_in_value_and_the_softmax_in_gradient():
    router = small(dropout=0, noise=False, temperature=5.0).double()
    weights = router.weights(ARCH)
    assert weights.shape == (6, 3)
    assert torch.allclose(weights.max(1).values, torch.ones(6).double(), atol=1e-15)
    assert (weights.sum(1) - 1).abs().max() < 1e-15
    assert weights.argmax(1).tolist() == list(router.banks(ARCH))
    cotangent = torch.randn(6, 3, dtype=torch.float64)
    (weights * cotangent).sum().backward()
    soft = (router.logits(ARCH)[:, :3] / 5).softmax(1).detach()
    of_scores = soft * (cotangent - (soft * cotangent).sum(1, keepdim=True)) / 5
    bias = router.mlp[-1].bias.grad
    assert torch.allclose(bias[:3], of_scores.sum(0), atol=1e-15)
    assert not bias[3:].any()  # of banks that are not in use: zero, not None
    assert router.embedder.op_emb.weight.grad[0].abs().max() == 0  # 'none' carries nothing


def test_dropout_falls_on_each_hidden_layer():
    router = small(noise=False, dropout=0.5, mlp_dims=(1000,), active=1).double()
    inner = []
    router.mlp[-1].register_forward_pre_hook(lambda module, args: inner.append(args[0]))
    router.step = (0, 0)
    router.weights(ARCH)
    router.logits(ARCH)
    dropped, plain = (x.detach() for x in inner)
    kept = dropped[plain > 0] != 0
    assert 0.45 < kept.double().mean() < 0.55
    assert torch.allclose(dropped[dropped != 0], 2 * plain[dropped != 0])
    rows = (dropped != 0)[:, (plain > 0).all(dim=0)]
    assert not torch.equal(rows[0], rows[1])  # each edge has a mask of its own


def test_draws_need_a_step():
    router = small()
    with pytest.raises(ValueError, match='CurriculumHook'):
        router.weights(ARCH)
    assert small(noise=False, dropout=0).weights(ARCH).shape == (6, 3)
    router.banks(ARCH)


def test_rating_is_deterministic_unless_it_is_asked_to_draw():
    assert len({small().banks(ARCH) for _ in range(3)}) == 1
    archs = SPACE.classes(trainable=True)[::21]
    draws = [small(gumbel_eval=True).banks(arch) for arch in archs]
    assert draws == [small(gumbel_eval=True).banks(arch) for arch in archs]  # of the architecture
    assert draws != [small(gumbel_eval=True, eval_seed=1).banks(arch) for arch in archs]
    counts = torch.bincount(torch.tensor(draws).flatten(), minlength=3) / (len(archs) * 6)
    soft = torch.stack([small().logits(arch)[:, :3].softmax(1) for arch in archs]).mean((0, 1))
    assert (counts - soft).abs().max() < 0.05


def test_in_float32_under_amp():
    router = small(dropout=0, noise=False)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores, weights = router.logits(ARCH), router.weights(ARCH)
    assert scores.dtype == weights.dtype == torch.float32
    assert torch.equal(scores, router.logits(ARCH))


# ---- one more bank -----------------------------------------------------------------------------


def test_grows_one_by_one_and_keeps_count_in_a_buffer():
    router = GATESRouter(num_banks=3, **SMALL)
    assert router.num_active == 1 and router.grow() == [(1, 0)] and router.grow() == [(2, 1)]
    with pytest.raises(ValueError, match='all 3 banks'):
        router.grow()
    again = GATESRouter(num_banks=3, **SMALL)
    again.load_state_dict(router.state_dict())
    assert again.num_active == 3 and again.active.dtype == torch.int64


def test_the_newest_row_inherits_in_place():
    router = small(active=2)
    before = {name: p.clone() for name, p in router.named_parameters()}
    objects = dict(router.named_parameters())
    changed = router.inherit()
    assert changed == [(objects['mlp.2.weight'], 1), (objects['mlp.2.bias'], 1)]
    for name, p in router.named_parameters():
        assert p is objects[name] and p.is_leaf and p.requires_grad
        expected = before[name].clone()
        if name.startswith('mlp.2.'):
            expected[1] += before[name][0]
        assert torch.equal(p, expected)


# ---- mistakes, and checkpoints -----------------------------------------------------------------


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(active=0), 'active is 1 or more'),
        (dict(active=6), '6 of 5 banks'),
        (dict(temperature=0), 'temperature is above 0'),
        (dict(dropout=1.0), 'dropout < 1'),
        (dict(space=dict(type='cream_mm.NASBench201Space', depths=[1])), 'has no'),
    ],
)
def test_mistakes_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        GATESRouter(**settings)


def test_banks_out_of_a_checkpoint():
    router = small()
    state = {f'backbone.router.{k}': v for k, v in router.state_dict().items()}
    state['head.fc.weight'] = torch.ones(1)
    for arch in SPACE.classes()[::700]:
        found = GATESRouter.banks_from(state, arch, SPACE, 'backbone.router.')
        assert found == router.banks(arch)
    with pytest.raises(KeyError, match='x_hidden'):
        GATESRouter.banks_from(state, ARCH, SPACE, 'router.')


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_on_a_gpu_as_on_a_cpu():
    """The same draws, under AMP too; a bank more, and its inheritance, stay there."""
    here, there = small(), small().to('cuda')
    for step in range(20):
        here.step = there.step = (4, step)
        with torch.autocast('cuda', torch.float16):
            found = there.weights(ARCH)
        assert found.is_cuda and found.dtype == torch.float32
        assert torch.allclose(found.cpu(), here.weights(ARCH), atol=1e-5)
        assert there.banks(ARCH) == here.banks(ARCH)
    for router in (here, there):
        router.grow()
        assert router.inherit()[0][0].device == router.active.device
    assert torch.allclose(there.logits(ARCH).cpu(), here.logits(ARCH), atol=1e-5)


@pytest.mark.parametrize('active', [0, 6])
def test_weights_with_banks_that_are_not_there(active):
    router = GATESRouter()
    state = dict(router.state_dict(), active=torch.tensor(active))
    with pytest.raises(ValueError, match=f'have {active} banks in use; the router has 5'):
        router.load_state_dict(state)
    assert router.num_active == 1
