import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.methods.cream.meta_matching import MetaMatching, clipped_step, meta_gradient
from cream_mm.registry import MODELS
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

STUDENT = Arch(((0, 1), (1, 0)))
TEACHERS = [Arch(((0, 0), (0, 1))), Arch(((1, 1), (0, 0)))]
VAL_LABELS = [2, 0, 1, 1, 0]


def make(seed=0):
    torch.manual_seed(seed)
    model = tiny_cream().double().train()
    for i, arch in enumerate(TEACHERS):
        soft = torch.rand(2, 3, dtype=torch.float64).softmax(1)
        images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        assert model.board.offer(arch, 50.0 - i, images, soft)
    model.backbone.set_arch(STUDENT)
    train = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    val = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    return model, train, val


def fixed_copy(model, arch):
    return nn.Sequential(model.backbone.export(arch), copy.deepcopy(model.head)).double().train()


def objective(model, train, val, step_size, head_step_size=None):
    """The held-out loss as a function of the matching network's (weight, bias)."""
    sizes = [step_size, head_step_size or step_size]
    features = model.matching_features().double()
    index = model.matching(features)[0]
    teacher = fixed_copy(model, model.board.entries[index].arch)(train).detach()
    student = fixed_copy(model, STUDENT)
    kd = -(teacher.softmax(1) * student(train).log_softmax(1)).sum(1).mean()
    grads = torch.autograd.grad(kd, list(student.parameters()))

    def value(weight, bias):
        rate = 1 / (1 + math.exp(-float(features[index] @ weight[0] + bias[0])))
        virtual = copy.deepcopy(student)
        with torch.no_grad():
            for (name, param), grad in zip(virtual.named_parameters(), grads, strict=True):
                param -= sizes[int(name[0])] * rate * grad
            return float(F.cross_entropy(virtual(val), torch.tensor(VAL_LABELS)))

    return value


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('head_step_size', [None, 0.05])
def test_meta_gradient_equals_finite_differences(seed, training, head_step_size):
    model, train, val = make(seed)
    step_size, eps = 0.7, 1e-5
    value = objective(model, train, val, step_size, head_step_size)
    if head_step_size:
        step_size = {
            name: head_step_size if name.startswith('head.') else step_size
            for name, _ in model.named_parameters()
        }
    theta = [p.detach().clone() for p in model.matching.parameters()]
    expected = []
    for which, param in enumerate(theta):
        slopes = torch.zeros_like(param)
        for i in range(param.numel()):
            sides = []
            for sign in (1, -1):
                moved = [p.clone() for p in theta]
                moved[which].view(-1)[i] += sign * eps
                sides.append(value(*moved))
            slopes.view(-1)[i] = (sides[0] - sides[1]) / (2 * eps)
        expected.append(slopes)
    model.train(training)  # BN takes batch statistics either way
    grads, val_loss = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), step_size)
    assert len(grads) == 2
    for grad, slopes, param in zip(grads, expected, model.matching.parameters(), strict=True):
        assert grad.shape == param.shape
        assert slopes.abs().min() > 1e-7
        torch.testing.assert_close(grad, slopes, rtol=1e-4, atol=1e-9)
    assert float(val_loss) == pytest.approx(value(*theta), rel=1e-6)


def test_a_step_against_the_gradient_lowers_the_held_out_loss():
    model, train, val = make()
    value = objective(model, train, val, 0.7)
    theta = [p.detach().clone() for p in model.matching.parameters()]
    grads, _ = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), 0.7)
    stepped = [p - 0.1 * g for p, g in zip(theta, grads, strict=True)]
    assert value(*stepped) < value(*theta)


@pytest.mark.parametrize('training', [True, False])
def test_meta_gradient_changes_nothing(training):
    model, train, val = make()
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(m.training, getattr(m, 'track_running_stats', None)) for m in model.modules()]
    grads, val_loss = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), 0.5)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert flags == [(m.training, getattr(m, 'track_running_stats', None)) for m in model.modules()]
    assert all(param.grad is None for param in model.parameters())
    assert all(param.requires_grad for param in model.parameters())
    assert model.backbone.arch == STUDENT
    assert not val_loss.requires_grad and not any(g.requires_grad for g in grads)


def test_no_step_no_gradient():
    model, train, val = make()
    grads, val_loss = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), 0.0)
    assert all(not grad.any() for grad in grads)
    logits = fixed_copy(model, STUDENT)(val)
    expected = F.cross_entropy(logits, torch.tensor(VAL_LABELS))
    assert float(val_loss) == pytest.approx(float(expected), rel=1e-9)


def test_frozen_parameters_stay_out():
    model, train, val = make()
    free = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), 0.5)[0]
    for param in model.backbone.parameters():
        param.requires_grad = False
    head_only = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), 0.5)[0]
    assert not torch.allclose(free[0], head_only[0])


# --- the network ---


def test_picks_the_best_score_at_its_sigmoid():
    matching = MetaMatching(4)
    features = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]])
    with torch.no_grad():
        matching.fc.weight.copy_(torch.tensor([[1.0, 2.0, -5.0, 9.0]]))
        matching.fc.bias.fill_(-0.5)
    index, rate = matching(features)  # scores 0.5, 3.5, -15.5
    assert index == 1 and type(index) is int
    assert rate.shape == () and float(rate) == pytest.approx(1 / (1 + math.exp(-3.5)), rel=1e-6)
    rate.backward()
    slope = float(rate * (1 - rate))
    torch.testing.assert_close(matching.fc.weight.grad, slope * features[1:2])
    assert float(matching.fc.bias.grad) == pytest.approx(slope, rel=1e-6)


def test_negative_scores_as_well():
    matching = MetaMatching(2)
    with torch.no_grad():
        matching.fc.weight.copy_(torch.tensor([[-1.0, 0.0]]))
    index, rate = matching(torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]]))
    assert index == 1 and float(rate) == pytest.approx(1 / (1 + math.e), rel=1e-6)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite(value):
    matching = MetaMatching(2)
    with torch.no_grad():
        matching.fc.weight.fill_(1.0)
    features = torch.tensor([[0.1, 0.2], [value, 0.3]])
    with pytest.raises(FloatingPointError, match='not finite: .*lower the learning rate'):
        matching(features)


def test_starts_uniform_and_unbiased():
    torch.manual_seed(0)
    matching = MODELS.build(dict(type='cream_mm.MetaMatching', num_features=4000))
    weight = matching.fc.weight.detach()
    assert weight.shape == (1, 4000) and matching.fc.bias.item() == 0
    assert weight.min() < -0.99 and 0.99 < weight.max() <= 1
    assert weight.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize('compat', ['fixed', 'paper', 'official'])
def test_scores_that_are_not_finite_stop_in_every_mode(compat):
    model = tiny_cream(compat=compat)
    model.board.offer(
        model.backbone.space.decode([0] * model.backbone.space.num_layers), 50.0,
        torch.rand(4, 3, 8, 8), torch.full((4, 3), 1 / 3),
    )  # fmt: skip
    model.matching.fc.weight.data.fill_(float('nan'))
    with pytest.raises(FloatingPointError, match='meta matching scores are not finite'):
        model.loss(torch.rand(4, 3, 8, 8), tiny_samples([0, 1, 2, 0]))


def test_a_meta_gradient_that_is_not_finite_steps_nothing():
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([param], 0.1)
    with pytest.raises(FloatingPointError, match='meta gradient of me is not finite'):
        clipped_step(optimizer, [param], [torch.full((3,), float('nan'))], 1.0, 'of me')
    assert torch.equal(param.detach(), torch.ones(3))
