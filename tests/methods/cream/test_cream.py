import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from torch import nn

from cream_mm.methods.cream.meta_matching import MetaMatching
from cream_mm.models.losses import soft_cross_entropy
from cream_mm.registry import MODELS
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

STUDENT = Arch(((0, 1), (1, 0)))
TEACHERS = [Arch(((0, 0), (0, 1))), Arch(((1, 1), (0, 0))), Arch(((0, 1), (1, 1)))]
LABELS = [0, 2, 1, 1, 0, 2]


def make(num_teachers=0, seed=0, **kwargs):
    torch.manual_seed(seed)
    model = tiny_cream(**kwargs).train()
    for name, buffer in model.backbone.named_buffers():  # as after some training
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    for i, arch in enumerate(TEACHERS[:num_teachers]):
        soft = torch.rand(2, 3).softmax(1)
        assert model.board.offer(arch, 50.0 - i, torch.randn(2, 3, 8, 8), soft)
    model.backbone.set_arch(STUDENT)
    return model, torch.randn(6, 3, 8, 8), tiny_samples(LABELS)


def fixed_copy(model, arch):
    """The path as a network of its own, in training mode."""
    head = copy.deepcopy(model.head)
    return nn.Sequential(model.backbone.export(arch), head).train()


def features_by_hand(model):
    length = len(model.board)
    net = fixed_copy(model, STUDENT)
    images = torch.cat([model.board.images[i] for i in range(length)])
    probs = net(images).softmax(1)  # the images of all entries are one batch to BN
    rows = []
    for i in range(length):
        rows.append((probs[2 * i : 2 * i + 2] - model.board.soft_targets[i]).reshape(-1))
    return torch.stack(rows).detach()


def loss_by_hand(model, inputs):
    """(loss, index of the teacher, rate, the student as a network of its own)."""
    features = features_by_hand(model)
    weight, bias = model.matching.fc.weight.detach()[0], model.matching.fc.bias.item()
    scores = [float((row * weight).sum() + bias) for row in features]
    index = max(range(len(scores)), key=scores.__getitem__)
    rate = 1 / (1 + torch.tensor(-scores[index]).exp())
    teacher = fixed_copy(model, model.board.entries[index].arch)(inputs).detach()
    student = fixed_copy(model, STUDENT)
    logits = student(inputs)
    kd = -(teacher.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    ce = F.cross_entropy(logits, torch.tensor(LABELS))
    return (rate * kd + (2 - rate) * ce) / 2, index, rate, student


def state_of(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(m.training, getattr(m, 'track_running_stats', None), getattr(m, 'momentum', None))
             for m in model.modules()]  # fmt: skip
    return state, flags


def assert_same_state(one, other):
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    for name, value in one[0].items():
        assert torch.equal(value, other[0][name]), name


# --- loss ---


@pytest.mark.parametrize('settings', [dict(), dict(board=None), dict(matching=None)], ids=str)
def test_without_a_teacher_the_loss_is_cross_entropy(settings):
    model, inputs, samples = make(**settings)
    expected = F.cross_entropy(fixed_copy(model, STUDENT)(inputs), torch.tensor(LABELS))
    losses = model.loss(inputs, samples)
    assert set(losses) == {'loss_cls', 'train_top1'}
    torch.testing.assert_close(losses['loss_cls'], expected)
    assert model.pick_teacher() is None


@pytest.mark.parametrize('seed', range(6))
def test_loss_with_a_board(seed):
    model, inputs, samples = make(3, seed)
    expected, index, rate, student = loss_by_hand(model, inputs)
    losses = model.loss(inputs, samples)
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(losses['matching_rate'], rate, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-6)
    assert set(logged) == {'loss', 'loss_cls', 'loss_kd', 'matching_rate', 'train_top1'}

    # The gradient is the student's alone: no other path, no teacher, not the matching network.
    total.backward()
    expected.backward()
    by_hand = {f'backbone.{name}': p.grad for name, p in student[0].named_parameters()}
    path = {f'backbone.{name}': param for name, param in model.backbone.path_parameters().items()}
    assert len(path) == len(by_hand)
    for (name, param), grad in zip(path.items(), by_hand.values(), strict=True):
        torch.testing.assert_close(param.grad, grad, rtol=1e-3, atol=1e-5, msg=name)
    with_grad = {name for name, param in model.named_parameters() if param.grad is not None}
    assert with_grad == set(path) | {f'head.{name}' for name, _ in model.head.named_parameters()}


def test_the_matching_network_does_pick():
    """Among the seeds above not always the same teacher, and not always the best entry."""
    picked = {loss_by_hand(*make(3, seed)[:2])[1] for seed in range(6)}
    assert len(picked) > 1


def test_without_matching_the_best_teaches_at_half_rate():
    model, inputs, samples = make(3, matching=None)
    losses = model.loss(inputs, samples)
    teacher = fixed_copy(model, TEACHERS[0])(inputs).detach()
    logits = fixed_copy(model, STUDENT)(inputs)
    ce = F.cross_entropy(logits, torch.tensor(LABELS))
    kd = -(teacher.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(losses['loss_cls'], 0.75 * ce)
    torch.testing.assert_close(losses['loss_kd'], 0.25 * kd)
    assert float(losses['matching_rate']) == 0.5


def test_soft_cross_entropy_written_out():
    teacher = torch.tensor([[0.0, torch.log(torch.tensor(3.0))], [5.0, 5.0]])
    student = torch.tensor([[0.0, 0.0], [torch.log(torch.tensor(4.0)), 0.0]])
    rows = [
        -torch.tensor(0.5).log(),
        -(0.5 * torch.tensor(0.8).log() + 0.5 * torch.tensor(0.2).log()),
    ]
    torch.testing.assert_close(soft_cross_entropy(teacher, student), sum(rows) / 2)
    # of a one-hot teacher it is cross entropy
    hard = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    expected = F.cross_entropy(student, torch.tensor([0, 1]))
    torch.testing.assert_close(soft_cross_entropy(hard, student), expected)
    assert soft_cross_entropy(teacher.half(), student.half()).dtype == torch.float32


# --- what the forwards of others leave behind ---


@pytest.mark.parametrize('training', [True, False])
def test_teacher_and_matching_leave_no_trace(training):
    model, inputs, _ = make(3)
    model.train(training)
    before = state_of(model)
    match = model.pick_teacher()
    logits = model.teach(inputs, match.teacher)
    assert_same_state(state_of(model), before)
    assert model.backbone.arch == STUDENT
    assert not logits.requires_grad and not match.rate.requires_grad
    assert not model.matching_features().requires_grad
    assert_same_state(state_of(model), before)


def test_a_board_changes_no_statistics():
    """BN sees the student's batch, and nothing of teacher and matching images."""
    model, inputs, samples = make(3)
    plain = copy.deepcopy(model)
    plain.board = None
    start, _ = state_of(model)
    model.loss(inputs, samples)
    plain.loss(inputs, samples)
    with_board, without = state_of(model)[0], state_of(plain)[0]
    changed = [name for name, value in without.items() if not torch.equal(value, start[name])]
    assert changed and all('running' in name or 'tracked' in name for name in changed)
    for name, value in without.items():
        assert torch.equal(with_board[name], value), name


def test_teacher_normalises_with_its_own_batch():
    model, inputs, _ = make(1)
    expected = fixed_copy(model, TEACHERS[0])(inputs)
    torch.testing.assert_close(model.teach(inputs, TEACHERS[0]), expected)
    assert not torch.allclose(
        model.teach(inputs, TEACHERS[0])[:3], model.teach(inputs[:3], TEACHERS[0])
    )


@pytest.mark.parametrize('num_teachers', [1, 2, 3])
def test_matching_features(num_teachers):
    model, _, _ = make(num_teachers)
    features = model.matching_features()
    assert features.shape == (num_teachers, 2 * 3)
    torch.testing.assert_close(features, features_by_hand(model), rtol=1e-5, atol=1e-6)
    # Differences of probabilities: each image's three add up to nothing.
    sums = features.view(num_teachers, 2, 3).sum(2)
    torch.testing.assert_close(sums, torch.zeros_like(sums), rtol=0, atol=1e-6)


# --- what a step leaves behind for the board ---


@pytest.mark.parametrize('num_teachers', [0, 2])
def test_trained_path(num_teachers):
    model, inputs, samples = make(num_teachers)
    assert model.trained_path is None
    logits = fixed_copy(model, STUDENT)(inputs)
    losses = model.loss(inputs, samples)
    path = model.trained_path
    assert path.arch == STUDENT and path.images is inputs
    torch.testing.assert_close(path.soft_targets, logits.softmax(1))
    hits = sum(int(p == t) for p, t in zip(logits.argmax(1).tolist(), LABELS, strict=True))
    assert float(path.top1) == pytest.approx(100 * hits / 6)
    assert float(losses['train_top1']) == float(path.top1)
    assert not path.soft_targets.requires_grad and not path.top1.requires_grad
    labels = torch.tensor(LABELS)
    torch.testing.assert_close(path.loss, F.cross_entropy(logits, labels))
    assert not path.loss.requires_grad
    if num_teachers:
        teacher = fixed_copy(model, model.pick_teacher().teacher)(inputs)
        torch.testing.assert_close(path.teacher_loss, F.cross_entropy(teacher, labels))
        assert not path.teacher_loss.requires_grad
    else:
        assert path.teacher_loss is None


def test_own_soft_targets_go_to_the_board():
    model, inputs, samples = make(0)
    model.loss(inputs, samples)
    path = model.trained_path
    model.board.offer(path.arch, float(path.top1), path.images, path.soft_targets)
    assert torch.equal(model.board.images[0], inputs[:2])
    assert torch.equal(model.board.soft_targets[0], path.soft_targets[:2])


# --- construction ---


def test_parts_share_space_budget_and_size():
    model = tiny_cream(num_classes=5, input_size=12, budget=dict(macs_m=(None, 5)))
    assert model.board.budget is model.budget
    assert model.budget.to_dict() == {'macs_m': [None, 5]}
    assert model.cost_model.input_size == (12, 12)
    assert (model.cost_model.num_classes, model.cost_model.head_channels) == (5, 16)
    assert model.board.images.shape == (3, 2, 3, 12, 12)
    assert isinstance(model.matching, MetaMatching)
    assert model.matching.fc.weight.shape == (1, 2 * 5)


def test_a_space_with_identities_by_name():
    space = MBConvSpace.build('nas_bench_macro')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='cream_mm.Cream',
                input_size=32,
                backbone=dict(type='cream_mm.CreamSupernet', space='nas_bench_macro'),
                head=dict(
                    type='cream_mm.CreamClsHead',
                    num_classes=10,
                    in_channels=1280,
                    hidden_channels=None,
                ),
                board=dict(capacity=2, num_images=2),
                matching=dict(type='cream_mm.MetaMatching'),
                budget=dict(macs_m=(30, 70)),
            )
        )
    student, teacher = space.parse('11201121'), space.parse('02220120')
    assert model.cost_model.cost(student)[:2] == (58_751_488, 1_958_602)
    inputs, samples = torch.randn(4, 3, 32, 32), tiny_samples([0, 9, 4, 4])
    soft = torch.full((2, 10), 0.1)
    assert model.train().board.offer(teacher, 50.0, inputs[:2], soft)
    assert not model.board.offer(space.parse('22222222'), 90.0, inputs[:2], soft)  # 106 M
    model.backbone.set_arch(student)
    losses = model.loss(inputs, samples)
    (losses['loss_cls'] + losses['loss_kd']).backward()
    touched = {name for name, param in model.backbone.named_parameters() if param.grad is not None}
    assert touched == set(model.backbone.path_parameters())


def test_costs_are_those_of_the_exported_network():
    model = tiny_cream(num_classes=5)
    fixed = fixed_copy(model, STUDENT)
    cost = model.cost_model.cost(STUDENT)
    assert cost.params == sum(p.numel() for p in fixed.parameters())


def test_an_impossible_budget_is_an_error():
    with pytest.raises(ValueError, match='cannot be met'):
        tiny_cream(budget=dict(macs_m=(0, 1e-3)))


def test_the_board_is_part_of_the_checkpoint():
    model, _, _ = make(2)
    other = tiny_cream()
    other.load_state_dict(model.state_dict())
    assert other.board.entries == model.board.entries
    assert [entry.arch for entry in other.board.entries] == TEACHERS[:2]


def test_diverged_training_is_reported():
    model, inputs, samples = make(2)
    with torch.no_grad():
        model.head.classifier.weight.fill_(float('nan'))
    with pytest.raises(FloatingPointError, match='has diverged'):
        model.loss(inputs, samples)


@pytest.mark.parametrize('precision, tolerance', [('float32', 0), ('bfloat16', 0.02)])
def test_side_precision_is_that_of_matching_and_teaching_alone(precision, tolerance):
    """The student computes in float32 in any case; float64 models are left alone."""
    model, inputs, samples = make(num_teachers=3)
    expected, rate = model.loss(inputs, samples), model.pick_teacher().rate
    other, inputs, samples = make(num_teachers=3, side_precision=precision)
    assert other.auxiliary_bf16 == (precision == 'bfloat16')
    got = other.loss(inputs, samples)
    for key in ('loss_cls', 'loss_kd'):
        assert got[key].dtype == torch.float32
        torch.testing.assert_close(got[key], expected[key], rtol=tolerance, atol=0)
    torch.testing.assert_close(other.pick_teacher().rate, rate, rtol=tolerance, atol=0)
    assert torch.equal(got['train_top1'], expected['train_top1'])
    assert (got['loss_kd'] != expected['loss_kd']) == (precision == 'bfloat16')
    teach = [m.double().teach(inputs.double(), TEACHERS[0]) for m in (model, other)]
    assert torch.equal(*teach) and teach[0].dtype == torch.float64


def test_side_precision_is_checked():
    with pytest.raises(ValueError, match="side_precision is 'float32', 'bfloat16' or 'auto'"):
        make(side_precision='fp8')
