"""What our speed is compared with computes what Cream's official mode does."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from cream_mm.registry import MODELS
from cream_mm.structures import Arch
from cream_mm.testing import tiny_samples

SOURCE = Path(__file__).resolve().parents[2] / 'benchmarks/plain_supernet.py'
DEPTHS, NUM_CLASSES, SIZE = (1, 2, 1, 1, 1), 5, 32
STUDENT = [[2], [1, 5], [0], [3], [4]]
BOARD = [[[0], [1, 0], [5], [3], [2]], [[5], [4, 3], [2], [0], [1]], [[1], [2, 2], [3], [4], [0]]]


@pytest.fixture(scope='module')
def plain():
    spec = importlib.util.spec_from_file_location('plain_supernet', SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours():
    head = dict(
        type='cream_mm.CreamClsHead',
        num_classes=NUM_CLASSES,
        hidden_channels=1280,
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    )
    model = MODELS.build(
        dict(
            type='cream_mm.Cream',
            backbone=dict(type='cream_mm.CreamSupernet', space=dict(depths=DEPTHS)),
            head=head,
            input_size=SIZE,
            compat='official',
            board=dict(capacity=len(BOARD), num_images=4),
            matching=dict(type='cream_mm.MetaMatching'),
        )
    )
    return model.train()


def released_name(name):
    for ours_is, theirs in (('backbone.', ''), ('head.', ''), ('matching.fc', 'meta_layer')):
        if name.startswith(ours_is):
            return theirs + name[len(ours_is) :]
    return name


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('silu', [False, True])
def test_losses_and_gradients_are_those_of_the_official_mode(plain, seed, silu):
    torch.manual_seed(seed)
    model, net = ours(), plain.PlainSupernet(DEPTHS, NUM_CLASSES, silu).train()
    weights = {released_name(name): value for name, value in model.state_dict().items()}
    weights = {name: weights[name] for name in net.state_dict()}  # nothing is missing
    assert len(weights) == len(net.state_dict())
    net.load_state_dict(weights)
    board = []
    for i, arch in enumerate(BOARD):
        images, targets = torch.randn(4, 3, SIZE, SIZE), torch.rand(4, NUM_CLASSES).softmax(1)
        assert model.board.offer(Arch(arch), 50.0 - i, images, targets)
        board.append(plain.Entry(arch, images, targets))
    step = plain.PlainStep(net, board)
    images, labels = torch.randn(6, 3, SIZE, SIZE), [0, 4, 2, 2, 1, 3]
    model.backbone.set_arch(Arch(STUDENT))
    total, _ = model.parse_losses(model.loss(images, tiny_samples(labels)))
    loss = step.loss(images, torch.tensor(labels), STUDENT)
    torch.testing.assert_close(loss, total, rtol=1e-5, atol=1e-5)
    # The teacher's running statistics moved, and those of every matching forward, in both.
    for name, value in model.state_dict().items():
        if 'running' in name or 'tracked' in name:
            other = net.state_dict()[released_name(name)]
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-5, msg=name)
    total.backward()
    loss.backward()
    found = {name: param.grad for name, param in net.named_parameters()}
    for name, param in model.named_parameters():
        grad = found[released_name(name)]
        if param.grad is None:
            assert not grad.any(), name
        else:
            scale = float(param.grad.abs().max()) + 1e-3
            torch.testing.assert_close(grad, param.grad, rtol=0, atol=2e-3 * scale, msg=name)


def test_a_step_moves_every_parameter_it_should(plain):
    torch.manual_seed(0)
    net = plain.PlainSupernet(DEPTHS, NUM_CLASSES).train()
    entry = plain.Entry(BOARD[0], torch.randn(4, 3, SIZE, SIZE), torch.rand(4, 5).softmax(1))
    step = plain.PlainStep(net, [entry])
    for name, param in net.named_parameters():  # the published network's, and its matching layer
        assert param.grad is not None, name
    before = parameters_to_vector(net.blocks[1][0][0].parameters()).clone()
    step.run(torch.randn(4, 3, SIZE, SIZE), torch.tensor([0, 1, 2, 3]), STUDENT)
    # A path that was not sampled still decays: its gradient is zero, not none.
    after = parameters_to_vector(net.blocks[1][0][0].parameters())
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-8)


def test_the_published_supernet(plain):
    """28,845,913 parameters without the layer that nothing selects, 4,001 of them matching."""
    net = plain.PlainSupernet()
    assert sum(p.numel() for p in net.parameters()) == 28_845_913
