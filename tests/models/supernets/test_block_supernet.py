"""A supernet in blocks: golden numbers of the released one, and what is ours."""

import json
from pathlib import Path

import pytest
import torch
from conftest import dna_supernet_key, golden_fill, made_cal, made_t, made_x, ramp

from cream_mm.evaluation.shared_prefix import SharedPrefix
from cream_mm.models import BlockSupernet, CreamNet
from cream_mm.spaces import BlockSpace

GOLDEN = json.loads((Path(__file__).parents[2] / 'data/dna_blocks_golden.json').read_text())
TEACHER = (48, 80, 160, 224, 384, 640)
# DNA's 16 cells.
CELLS = [[(2, 24), (3, 24), (2, 32)], [(2, 40), (3, 40), (4, 40)], [(2, 80), (3, 80), (4, 80)],
         [(3, 112), (4, 112), (4, 96)], [(4, 192), (5, 192), (5, 160)], [(1, 320)]]  # fmt: skip


@pytest.fixture(scope='module')
def filled():
    net = BlockSupernet('dna', teacher_channels=TEACHER).double()
    return net, golden_fill(net.state_dict(), dna_supernet_key)


def test_parameters_are_those_of_the_released_supernet(filled):
    net, _ = filled
    stem = [net.conv_stem, net.bn1, net.first]
    assert sum(p.numel() for m in stem for p in m.parameters()) == GOLDEN['params_stem']
    sizes = [sum(p.numel() for p in block.parameters()) for block in net.blocks]
    assert sizes == GOLDEN['params_blocks']


def test_parameters_of_all_cells():
    space = BlockSpace.build(dict(preset='dna', cells=CELLS))
    net = BlockSupernet(space, teacher_channels=TEACHER)
    for block, cells in zip(net.blocks, GOLDEN['extended_cells']):
        assert [sum(p.numel() for p in cell.parameters()) for cell in block] == [
            cell['params'] for cell in cells
        ]


def whole(net, block, ops):
    stages = [[0] * cells[0].layers for cells in net.space.cells]
    stages[block] = ops
    return net.space.decode([choice for stage in stages for choice in stage])


def check(given, golden):
    """Mean, deviation and first numbers of a map."""
    flat = given.detach().flatten()
    assert flat.std(correction=0).item() == pytest.approx(golden['std_pop'], rel=1e-8)
    assert flat.mean().item() == pytest.approx(golden['mean'], rel=1e-8, abs=1e-12)
    assert flat[:5].tolist() == pytest.approx(golden['first5'], rel=1e-8)


@pytest.mark.parametrize('number', range(6))
@pytest.mark.parametrize('block', range(6))
def test_block_equals_the_released_one(filled, block, number):
    net, state = filled
    row = GOLDEN['blocks'][block]
    golden = row['seqs'][number]
    x, t = ramp(made_x(row['in_shape'])), made_t(row['out_shape'], 12345)
    net.load_state_dict(state)
    net.zero_grad(set_to_none=True)
    net.set_arch(whole(net, block, golden['ops']))

    def run():
        return net.forward_cell(block, 0, x if block else net.stem(x))

    with torch.no_grad():
        y = net.eval() and run()
    check(y, golden['eval'])
    assert (y - t).square().mean().item() == pytest.approx(golden['eval']['mse'], rel=1e-8)

    y = net.train() and run()
    loss = (y - t).square().mean()
    loss.backward()
    check(y, golden['train'])
    assert loss.item() == pytest.approx(golden['train']['mse_loss'], rel=1e-8)
    with_grad = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    assert len(with_grad) == golden['train']['n_params_with_grad']

    def norm(grads):
        return sum(g.square().sum() for g in grads).sqrt().item()

    of_block = [g for n, g in with_grad.items() if n.startswith(f'blocks.{block}.')]
    assert norm(of_block) == pytest.approx(golden['train']['grad_l2_block'], rel=1e-8)
    if block == 0:
        of_stem = [g for n, g in with_grad.items() if not n.startswith('blocks.')]
        assert norm(of_stem) == pytest.approx(golden['train']['grad_l2_stem'], rel=1e-8)


@pytest.mark.parametrize('block', range(6))
def test_recalibrated_maps_equal_the_released_ones(filled, block):
    net, state = filled
    row = GOLDEN['blocks'][block]
    net.load_state_dict(state)
    net.eval()
    x, c = ramp(made_x(row['in_shape'])), ramp(made_cal(row['in_shape'], 777))
    ops = [tuple(seq['ops']) for seq in row['seqs']]
    layers = [net.cell_layers(block, 0, choices) for choices in ops]
    with torch.no_grad():
        shared = SharedPrefix(layers, [x], [c], 2**30)
        for i, seq in enumerate(row['seqs']):
            check(shared[i][0], seq['recal'])


# ---- what is ours --------------------------------------------------------------------------------


def small(**kwargs):
    space = dict(preset='dna', strides=(2, 1), cells=[[(1, 24), (2, 32)], [(2, 40)]])
    torch.manual_seed(0)
    return BlockSupernet(space, teacher_channels=(12, 20), **kwargs)


@pytest.mark.parametrize('align', ['widen_last', 'project'])
def test_every_cell_gives_a_map_like_the_teacher(align):
    net = small(align=align)
    image = torch.randn(2, 3, 16, 16)
    stem = net.stem(image)
    assert net.forward_cell(0, 0, stem).shape == net.forward_cell(0, 1, stem).shape
    assert net.forward_cell(0, 1, stem).shape == (2, 12, 4, 4)
    assert net.forward_cell(1, 0, torch.randn(2, 12, 4, 4)).shape == (2, 20, 4, 4)
    assert net(image)[0].shape == (2, 20, 4, 4)


def test_projection_leaves_the_layers_as_the_network_has_them():
    net = small(align='project')
    network = net.export(net.space.answer([0, 0], [[1], [2, 3]]))
    for block, layers in enumerate([[1], [2, 3]]):
        for layer, choice in enumerate(layers):
            ours = net.blocks[block][0][layer][choice].state_dict()
            theirs = network.blocks[block + 1][layer].state_dict()
            assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    wide = small()
    assert wide.blocks[0][0][0][1].conv_pwl.out_channels == 12  # the teacher's
    assert wide.blocks[1][0][0][1].conv_pw.in_channels == 12


def test_export_is_a_network_of_its_own_with_fresh_weights():
    net = small(norm_cfg=dict(type='BN', eps=1e-3))
    network = net.export(net.space.answer([1, 0], [[1, 4], [2, 3]]))
    assert isinstance(network, CreamNet) and not net.weights_travel
    assert network.space.widths == (32, 40) and network.space.depths == (2, 2)
    assert network.bn1.eps == 1e-3
    assert network(torch.zeros(1, 3, 16, 16))[0].shape == (1, 1280, 4, 4)
    with pytest.raises(ValueError, match='Train the network from scratch'):
        net.cut(net.state_dict(), net.space.answer([1, 0], [[1, 4], [2, 3]]))


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match='align is one of'):
        small(align='widen_first')
    with pytest.raises(ValueError, match='as many maps'):
        BlockSupernet('dna', teacher_channels=(1, 2))
    with pytest.raises(ValueError, match='needs costs'):
        small(budget=dict(macs_m=(0, 1)))
    with pytest.raises(ValueError, match='does not know what networks cost'):
        _ = small().budget
