"""The loss: closed forms, independence of the blocks, and the options of the released code."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from torch.nn.modules.batchnorm import _BatchNorm

from cream_mm.costs import Budget
from cream_mm.models import CreamNet
from cream_mm.registry import MODELS

SPACE = dict(name='tiny', strides=(2, 1), cells=[[(1, 16), (2, 24)], [(2, 24)]], stem_stride=1,
             stem_channels=8, choices=[(3, 2), (5, 3)])  # fmt: skip
TEACHER = dict(
    type='cream_mm.CreamNet', arch=[[0], [0], [1], [0]],
    space=dict(depths=(1, 1), widths=(16, 24), strides=(2, 1), stem_stride=1, stem_channels=8,
               choices=[(3, 2), (5, 3)]),
)  # fmt: skip


def build(**kwargs):
    torch.manual_seed(0)
    teacher = dict(backbone=TEACHER, **kwargs.pop('teacher', {}))
    backbone = dict(type='cream_mm.BlockSupernet', space=SPACE, costs=dict(input_size=16))
    backbone.update(kwargs.pop('backbone', {}))
    model = MODELS.build(dict(type='cream_mm.DNA', teacher=teacher, backbone=backbone, **kwargs))
    net = CreamNet(TEACHER['arch'], space=TEACHER['space'])
    net.init_weights()
    model.teacher.load_state_dict(net.state_dict())
    return model


@pytest.fixture
def images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_loss_is_the_squared_error_of_each_block_from_the_teachers_map(images):
    model = build()
    net, teacher = model.backbone, model.teacher
    net.set_arch(net.space.decode([0, 1, 0, 1, 1]))
    losses = model(images, mode='loss')
    assert list(losses) == ['loss_block1', 'loss_block2']
    y1, y2 = teacher(images)
    fresh = copy.deepcopy(net).train()  # statistics moved; losses are of the batch's own
    first = fresh.stem(images)
    expected = sum(F.mse_loss(fresh.forward_cell(0, cell, first), y1) for cell in (0, 1))
    torch.testing.assert_close(losses['loss_block1'], expected)
    torch.testing.assert_close(
        losses['loss_block2'], (fresh.forward_cell(1, 0, y1) - y2).square().mean()
    )


def test_a_student_that_is_the_teacher_has_no_loss(images):
    """Same shapes, same weights, same normalisation: nothing is left to learn."""
    space = dict(SPACE, cells=[[(1, 16)], [(1, 24)]])
    model = build(backbone=dict(space=space)).eval()
    net, teacher = model.backbone, model.teacher.network
    net.set_arch(net.space.decode([0, 1]))
    net.conv_stem.load_state_dict(teacher.conv_stem.state_dict())
    net.bn1.load_state_dict(teacher.bn1.state_dict())
    net.first.load_state_dict(teacher.blocks[0].state_dict())
    net.blocks[0][0][0][0].load_state_dict(teacher.blocks[1][0].state_dict())
    net.blocks[1][0][0][1].load_state_dict(teacher.blocks[2][0].state_dict())
    assert [float(loss) for loss in model(images, mode='loss').values()] == [0, 0]


def step(model, images, **kwargs):
    optim = OptimWrapper(torch.optim.Adam(model.parameters(), lr=0.01))
    model.train()
    samples = [DataSample() for _ in images]
    model.train_step(dict(inputs=list(images), data_samples=samples), optim)
    return {k: v.clone() for k, v in model.state_dict().items()}


def test_blocks_train_as_if_alone(images):
    """One step of all blocks is bit for bit a step of each of them."""
    together = step(build(), images)
    for number in (1, 2):
        alone = step(build(blocks=[number]), images)
        begin = build().state_dict()
        for name, value in alone.items():
            of_block = name.startswith(f'backbone.blocks.{number - 1}.')
            of_block |= number == 1 and not name.startswith('backbone.blocks.')
            assert torch.equal(value, (together if of_block else begin)[name]), name


def test_only_the_path_has_gradients(images):
    model = build()
    net = model.backbone
    net.set_arch(net.space.decode([1, 0, 1, 0, 1]))
    sum(model(images, mode='loss').values()).backward()
    on_path = {id(p) for m in net.path_modules() for p in m.parameters(recurse=False)}
    for name, param in net.named_parameters():
        assert (param.grad is not None) == (id(param) in on_path), name
    assert not any(p.requires_grad for p in model.teacher.network.parameters())


def test_the_teacher_is_in_no_checkpoint(images):
    model = build()
    assert all(name.startswith('backbone.') for name in model.state_dict())
    assert all(name.startswith('backbone.') for name, _ in model.named_parameters())


def test_momentum_after_the_first_rating(images):
    """Released: 1 in all blocks but the first, whose statistics are then the last batch's."""
    ours, released = build(), build(late_bn_momentum=1.0)
    for model, momenta in ((ours, {0.1}), (released, {1.0})):
        late = [m for m in model.backbone.blocks[1:].modules() if isinstance(m, _BatchNorm)]
        first = [m for m in model.backbone.blocks[0].modules() if isinstance(m, _BatchNorm)]
        assert {m.momentum for m in late} == momenta and {m.momentum for m in first} == {0.1}
    a, b = step(ours, images), step(released, images)
    name = 'backbone.blocks.1.0.0.0.bn1.running_mean'
    assert torch.allclose(a[name], 0.1 * b[name]) and b[name].abs().max() > 0
    assert all(torch.equal(a[n], b[n]) for n in a if 'running' not in n)  # the training is the same


def test_a_teacher_in_batch_statistics(images):
    """It gives other maps, and its own running statistics stay as they are."""
    plain, released = build(), build(teacher=dict(mode='batch_stats'))
    before = {k: v.clone() for k, v in released.teacher.state_dict().items()}
    a, b = plain(images, mode='loss'), released(images, mode='loss')
    assert abs(float(a['loss_block2']) - float(b['loss_block2'])) > 1e-3
    after = released.teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    mean = released.teacher(images)[0].mean((0, 2, 3))
    assert mean.abs().max() < 1e-4  # what leaves a batch norm without affine change, by its batch


class Loop:
    def __init__(self, budget):
        self.sampler = self
        self.budget = budget


def test_every_operation_is_trained_whatever_the_budget():
    model = build(backbone=dict(budget=dict(macs_m=(0, 3))))
    loop = Loop(model.backbone.budget)
    model.prepare_search(loop)
    assert loop.sampler.budget.bounds == {} and model.backbone.budget.bounds == dict(macs_m=(0, 3))
    assert isinstance(loop.sampler.budget, Budget)


def test_a_teacher_without_weights_is_refused():
    model = build()
    model.teacher.is_loaded = False
    with pytest.raises(ValueError, match='has no weights'):
        model.prepare_search(Loop(model.backbone.budget))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(blocks=[3]), r'blocks are some of \[1, 2\]'),
        (dict(blocks=[]), 'blocks are some of'),
        (dict(backbone=dict(teacher_channels=(8, 24))), r'teacher_channels are \(8, 24\)'),
        (dict(backbone=dict(space=dict(SPACE, strides=(2, 2)))), r'end at \(2, 4\)'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        build(**change)


def test_it_predicts_nothing(images):
    with pytest.raises(ValueError, match='export its answer'):
        build()(images, mode='predict')
    assert build()(images)[0].shape == (4, 24, 8, 8)
