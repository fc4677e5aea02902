"""Each option of Compat against numbers that do not come from the code under test.

Everything is in float64. Exported copies stand for the student and its teachers: fixed networks
of their own, which know nothing of boards, options and shared weights.
"""

import copy
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cream_mm.methods.cream.compat import Compat
from cream_mm.methods.cream.meta_matching import MetaMatching, meta_gradient, real_meta_step
from cream_mm.models.supernets import cut_path
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

STUDENT = Arch(((0, 1), (1, 0)))
OTHER = Arch(((0, 0), (1, 1)))  # shares the first layers of both stages with the student
TEACHERS = [Arch(((0, 0), (0, 1))), Arch(((1, 1), (0, 0))), Arch(((0, 1), (1, 1)))]
LABELS = [0, 2, 1, 1, 0, 2]
VAL_LABELS = [2, 0, 1, 1]
STEM = 'backbone.conv_stem.weight'
DEEP = 'backbone.blocks.2.0.1.conv_pw.weight'  # of the student, and not of every teacher
EPS = 1e-5

#        option           official          paper                 fixed
TABLE = [
    ('sampling',         'uniform',        'op_prob',            'op_prob'),
    ('budget',           'ignored',        'ignored',            'enforced'),
    ('admission',        'gap_or_cheaper', 'better_and_cheaper', 'gap_or_cheaper'),
    ('board_cost',       'board_flops',    'board_flops',        'macs'),
    ('ties',             'costlier',       'costlier',           'cheaper'),
    ('duplicates',       'kept',           'kept',               'refreshed'),
    ('board_targets',    'teacher',        'own',                'own'),
    ('rate',             'last',           'best',               'best'),
    ('matching_grad',    'kept',           'none',               'none'),
    ('matching_batch',   'per_entry',      'per_entry',          'joint'),
    ('norm_stats',       'updated',        'updated',            'untouched'),
    ('meta_images',      'batch',          'batch',              'held_out'),
    ('meta_gradient',    'stem',           'path',               'path'),
    ('meta_step',        'real',           'virtual',            'virtual'),
    ('meta_count',       'epoch',          'epoch',              'run'),
    ('unsampled',        'decayed',        'decayed',            'still'),
    ('answer',           'board',          'board',              'effects'),
]  # fmt: skip
MODES = ('official', 'paper', 'fixed')


def make(compat, seed=0, num_teachers=3):
    torch.manual_seed(seed)
    model = tiny_cream(compat=compat).double().train()
    for i, arch in enumerate(TEACHERS[:num_teachers]):
        soft = torch.rand(2, 3, dtype=torch.float64).softmax(1)
        images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
        assert model.board.offer(arch, 50.0 - i, images, soft)
    model.backbone.set_arch(STUDENT)
    return model, torch.randn(6, 3, 8, 8, dtype=torch.float64), tiny_samples(LABELS)


def fixed_copy(model, arch):
    """The path as a network of its own, in training mode, every bit of its weights kept."""
    net = model.backbone.export(arch).double()
    net.load_state_dict(cut_path(model.backbone.state_dict(), arch, prefix=''))
    return nn.Sequential(net, copy.deepcopy(model.head)).train()


def path_params(model):
    """Parameters of path and head by name, in the order of ``fixed_copy(...).parameters()``."""
    params = {f'backbone.{k}': p for k, p in model.backbone.path_parameters().items()}
    return {**params, **{f'head.{k}': p for k, p in model.head.named_parameters()}}


def kd_by_hand(teacher_logits, logits):
    return -(teacher_logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


def scores_by_hand(model, student, theta=None):
    """Score of each entry, whose images the student sees alone; differentiable."""
    weight, bias = theta or (p.detach() for p in model.matching.parameters())
    scores = []
    for images, soft in zip(
        model.board.images[: len(model.board)], model.board.soft_targets, strict=False
    ):
        difference = student(images).softmax(1) - soft
        scores.append((difference.reshape(-1) * weight[0]).sum() + bias[0])
    return torch.stack(scores)


def central_difference(value, param, moves):
    """(value(param + EPS d) - value(param - EPS d)) / 2 EPS for each direction d."""
    start, slopes = param.detach().clone(), []
    for direction in moves:
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                param.copy_(start + sign * EPS * direction)
            sides.append(float(value()))
        slopes.append((sides[0] - sides[1]) / (2 * EPS))
    with torch.no_grad():
        param.copy_(start)
    return torch.tensor(slopes, dtype=torch.float64)


def unit_vectors(param, places=None):
    places = range(param.numel()) if places is None else places
    for i in places:
        one = torch.zeros_like(param)
        one.view(-1)[i] = 1
        yield one


# --- the table ---


@pytest.mark.parametrize('column', range(3), ids=MODES)
def test_the_table_of_options(column):
    expected = {option: values[column] for option, *values in TABLE}
    assert Compat.build(MODES[column]).to_dict() == dict(expected, mode=MODES[column])
    assert Compat.build(dict(mode=MODES[column])).to_dict()['mode'] == MODES[column]


def test_fixed_is_the_default():
    assert tiny_cream().compat == Compat.build('fixed') == Compat.build({})


@pytest.mark.parametrize('mode', MODES)
def test_one_option_changed(mode):
    """Each option takes the value of each other mode, and leaves the rest alone."""
    base = Compat.build(mode)
    for option, *values in TABLE:
        for value in values:
            changed = Compat.build({'mode': mode, option: value})
            assert changed == replace(base, **{option: value})
            assert getattr(changed, option) == value
            assert Compat.build(changed) is changed
            assert Compat.build(changed.to_dict()) == changed
    assert Compat.build(dict(rate='last')) == replace(Compat.build('fixed'), rate='last')


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ('offical', "compat mode is one of official, paper, fixed; got 'offical'"),
        (dict(mode='fix'), "compat mode is one of official, paper, fixed; got 'fix'"),
        (None, 'compat mode is one of official, paper, fixed; got None'),
        (
            dict(rates='last'),
            "compat has no option 'rates'; it knows sampling, budget, admission, ",
        ),
        (dict(rate='worst'), "compat option rate is 'last' or 'best'; got 'worst'"),
        (dict(mode='official', ties=True), "option ties is 'costlier' or 'cheaper'; got True"),
    ],
    ids=str,
)
def test_what_is_not_known_is_an_error(wrong, message):
    with pytest.raises(ValueError) as error:
        Compat.build(wrong)
    assert message in str(error.value)
    with pytest.raises(ValueError):
        tiny_cream(compat=wrong)


# --- rate ---


@pytest.mark.parametrize(
    ('rate', 'expected'), [('last', 0.7310585786), ('best', 0.9525741268)]
)  # 1 / (1 + exp(-1)), 1 / (1 + exp(-3))
def test_rate_of_the_last_entry(rate, expected):
    """The pick is the argmax either way; 'last' takes sigmoid(-w), of the last one."""
    matching = MetaMatching(2, rate=rate)
    with torch.no_grad():
        matching.fc.weight.copy_(torch.tensor([[-4.0, 2.5]]))
        matching.fc.bias.fill_(0.5)
    index, value = matching(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    assert index == 1  # scores -3.5, 3, -1
    assert float(value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('mode', MODES)
def test_rate_in_the_loss(mode, seed):
    """Loss of a mode, and the teacher it picks, from exported copies."""
    model, inputs, samples = make(mode, seed)
    student = fixed_copy(model, STUDENT)
    if mode == 'fixed':  # one batch of all entries
        images = model.board.images.flatten(0, 1)
        features = student(images).softmax(1).view(3, 2, 3) - model.board.soft_targets
        weight, bias = model.matching.parameters()
        scores = features.flatten(1) @ weight[0] + bias
    else:
        scores = scores_by_hand(model, student)
    index = int(scores.argmax())
    rate = (-scores[2]).sigmoid() if mode == 'official' else scores[index].sigmoid()
    teacher = fixed_copy(model, TEACHERS[index])(inputs).detach()
    logits = student(inputs)
    ce = F.cross_entropy(logits, torch.tensor(LABELS))
    losses = model.loss(inputs, samples)
    torch.testing.assert_close(losses['matching_rate'], rate.detach())
    torch.testing.assert_close(losses['loss_kd'], rate / 2 * kd_by_hand(teacher, logits))
    torch.testing.assert_close(losses['loss_cls'], (1 - rate / 2) * ce)


# --- what goes to the board ---


@pytest.mark.parametrize('targets', ['teacher', 'own'])
def test_soft_targets_for_the_board(targets):
    model, inputs, samples = make(dict(mode='official', board_targets=targets))
    own = fixed_copy(model, STUDENT)
    teacher = TEACHERS[int(scores_by_hand(model, own).argmax())]
    theirs = fixed_copy(model, teacher)
    expected = (theirs if targets == 'teacher' else own)(inputs).softmax(1)
    model.loss(inputs, samples)
    path = model.trained_path
    assert path.arch == STUDENT  # whoever's targets they are
    torch.testing.assert_close(path.soft_targets.double(), expected.detach(), rtol=0, atol=1e-6)
    assert not path.soft_targets.requires_grad


@pytest.mark.parametrize('mode', MODES)
def test_the_first_entry_has_targets_of_its_own(mode):
    model, inputs, samples = make(mode, num_teachers=0)
    expected = fixed_copy(model, STUDENT)(inputs).softmax(1)
    model.loss(inputs, samples)
    torch.testing.assert_close(model.trained_path.soft_targets.double(), expected.detach())


# --- the matching forwards ---


def test_per_entry_is_each_entry_alone():
    model, _, _ = make('official')
    student = fixed_copy(model, STUDENT)
    rows = [
        (student(model.board.images[i]).softmax(1) - model.board.soft_targets[i]).reshape(-1)
        for i in range(3)
    ]
    torch.testing.assert_close(model.matching_features(), torch.stack(rows))
    joint, _, _ = make(dict(mode='official', matching_batch='joint'))
    probs = student(joint.board.images.flatten(0, 1)).softmax(1).view(3, 2, 3)
    expected = (probs - joint.board.soft_targets).flatten(1)
    torch.testing.assert_close(joint.matching_features(), expected)
    assert not torch.allclose(torch.stack(rows), expected, atol=1e-3)


def norm_counts(model):
    """How many batches each norm layer's running statistics have seen."""
    return Counter(
        {
            k: int(v)
            for k, v in model.state_dict().items()
            if k.endswith('num_batches_tracked') and v
        }
    )


@pytest.mark.parametrize('batch', ['per_entry', 'joint'])
@pytest.mark.parametrize('stats', ['updated', 'untouched'])
def test_running_statistics_after_a_step(stats, batch):
    model, inputs, samples = make(dict(mode='official', norm_stats=stats, matching_batch=batch))
    nn.init.zeros_(model.matching.fc.weight)  # equal scores: TEACHERS[0] teaches
    stem, images = model.backbone.conv_stem.weight, model.board.images
    seen = [inputs]
    if (
        stats == 'updated'
    ):  # matching, the student's own forward, the teacher's through the same stem
        matching = list(images) if batch == 'per_entry' else [images.flatten(0, 1)]
        seen = [*matching, inputs, inputs]
    mean, var = torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)
    for x in seen:
        out = F.conv2d(x, stem, padding=1).detach()
        mean = 0.9 * mean + 0.1 * out.mean((0, 2, 3))
        var = 0.9 * var + 0.1 * out.var((0, 2, 3))
    model.loss(inputs, samples)
    torch.testing.assert_close(model.backbone.bn1.running_mean, mean)
    torch.testing.assert_close(model.backbone.bn1.running_var, var)

    matched = {('updated', 'per_entry'): 3, ('updated', 'joint'): 1}.get((stats, batch), 0)
    student, teacher = 1 + matched, int(stats == 'updated')
    expected = {
        'bn1': student + teacher,
        'blocks.0.0.0.bn2': student + teacher,
        'blocks.1.0.0.bn3': student + teacher,  # student [0, 1], [1, 0]; teacher [0, 0], [0, 1]
        'blocks.1.0.1.bn3': 0,
        'blocks.1.1.0.bn3': teacher,
        'blocks.1.1.1.bn3': student,
        'blocks.2.0.0.bn3': teacher,
        'blocks.2.0.1.bn3': student,
        'blocks.2.1.0.bn3': student,
        'blocks.2.1.1.bn3': teacher,
        'blocks.3.0.0.bn1': student + teacher,
    }
    counts = norm_counts(model)
    for name, count in expected.items():
        assert counts[f'backbone.{name}.num_batches_tracked'] == count, name


@pytest.mark.parametrize(('mode', 'forwards'), [('official', 6), ('paper', 6), ('fixed', 0)])
def test_running_statistics_after_a_meta_step(mode, forwards):
    """Three of matching, the student's, the teacher's and the one on held-out images."""
    model, inputs, _ = make(mode)
    args = inputs[:4], torch.randn(4, 3, 8, 8, dtype=torch.float64), tiny_samples(VAL_LABELS)
    if mode == 'official':
        real_meta_step(model, optimizer_of(model), *args, max_norm=1.0)
    else:
        meta_gradient(model, *args, step_size=0.1)
    assert norm_counts(model)['backbone.bn1.num_batches_tracked'] == forwards


# --- the gradient of the rate in the main loss ---


def total_loss(model, inputs, samples, teacher_logits):
    """The whole loss; what the teacher says is held fixed, as the loss does."""
    model.teach = lambda *_: teacher_logits
    return model.parse_losses(model.loss(inputs, samples))[0]


def test_the_main_loss_differentiates_the_rate():
    """All of the loss as a function of theta, and of weights, numerically differentiated."""

    def made(grad):
        model, inputs, samples = make(dict(mode='official', matching_grad=grad))
        with torch.no_grad():
            model.head.classifier.weight *= 10  # makes the rate's part of the gradient large
        return model, inputs, samples

    model, inputs, samples = made('kept')
    teacher_logits = model.teach(inputs, model.pick_teacher().teacher)

    def value():
        return total_loss(model, inputs, samples, teacher_logits)

    value().backward()
    params = dict(model.named_parameters())
    for name in ('matching.fc.weight', 'matching.fc.bias'):  # every element
        param = params[name]
        expected = central_difference(value, param, unit_vectors(param))
        assert expected.abs().min() > 1e-7
        torch.testing.assert_close(param.grad.reshape(-1), expected, rtol=1e-5, atol=1e-9)

    detached, inputs, samples = made('none')
    total_loss(detached, inputs, samples, teacher_logits).backward()
    without = dict(detached.named_parameters())
    for name in (STEM, DEEP):  # some elements, and all of them in three random directions
        param, generator = params[name], torch.Generator().manual_seed(0)
        places = torch.randperm(param.numel(), generator=generator)[:8].tolist()
        expected = central_difference(value, param, unit_vectors(param, places))
        torch.testing.assert_close(param.grad.reshape(-1)[places], expected, rtol=1e-4, atol=1e-8)
        for _ in range(3):
            direction = torch.randn(param.shape, generator=generator, dtype=torch.float64)
            direction /= direction.norm()
            slope = float(central_difference(value, param, [direction]))
            along = float((param.grad * direction).sum())
            assert along == pytest.approx(slope, rel=1e-5, abs=1e-8), name
        missing = (without[name].grad - param.grad).norm()  # without the rate's part
        assert missing > 5e-3 * param.grad.norm(), name


def test_without_the_rates_gradient():
    """'none': the loss as if the rate were a constant; the matching network gets nothing."""
    model, inputs, samples = make(dict(mode='official', matching_grad='none'))
    student = fixed_copy(model, STUDENT)
    scores = scores_by_hand(model, student).detach()
    teacher = fixed_copy(model, TEACHERS[int(scores.argmax())])(inputs).detach()
    rate, logits = (-scores[-1]).sigmoid(), student(inputs)
    ce = F.cross_entropy(logits, torch.tensor(LABELS))
    ((rate * kd_by_hand(teacher, logits) + (2 - rate) * ce) / 2).backward()
    model.parse_losses(model.loss(inputs, samples))[0].backward()
    assert all(p.grad is None for p in model.matching.parameters())
    params = path_params(model)
    for (name, param), theirs in zip(params.items(), student.parameters(), strict=True):
        torch.testing.assert_close(param.grad, theirs.grad, msg=name)


# --- the meta step, virtual ---


@pytest.mark.parametrize('rate', ['best', 'last'])
def test_meta_gradient_of_the_stem(rate):
    """Numeric differentiation of the held-out loss in theta, where theta moves the stem alone.

    All weights take the virtual step, at the present rate; the rate of the stem's is free.
    """
    options = dict(mode='paper', rate=rate)
    model, inputs, _ = make(dict(options, meta_gradient='stem'), seed=1)
    train, val, step_size = inputs[:4], torch.randn(4, 3, 8, 8, dtype=torch.float64), 0.7
    student = fixed_copy(model, STUDENT)
    scores = scores_by_hand(model, student).detach()
    index = int(scores.argmax())
    teacher = fixed_copy(model, TEACHERS[index])(train).detach()
    grads = torch.autograd.grad(kd_by_hand(teacher, student(train)), list(student.parameters()))
    names = list(path_params(model))
    theta = [p.detach().clone() for p in model.matching.parameters()]

    def rate_now():
        now = scores_by_hand(model, student, theta).detach()
        return (-now[-1]).sigmoid() if rate == 'last' else now[index].sigmoid()

    present = rate_now()

    def value(moving):
        stepped, free = copy.deepcopy(student), rate_now()
        with torch.no_grad():
            for name, param, grad in zip(names, stepped.parameters(), grads, strict=True):
                param -= step_size * (free if name in moving else present) * grad
            return F.cross_entropy(stepped(val), torch.tensor(VAL_LABELS))

    ours, _ = meta_gradient(model, train, val, tiny_samples(VAL_LABELS), step_size)
    whole, _ = meta_gradient(
        make(dict(options, meta_gradient='path'), seed=1)[0],
        train, val, tiny_samples(VAL_LABELS), step_size,
    )  # fmt: skip
    for i in range(2):
        by_stem = central_difference(lambda: value([STEM]), theta[i], unit_vectors(theta[i]))
        by_all = central_difference(lambda: value(names), theta[i], unit_vectors(theta[i]))
        torch.testing.assert_close(ours[i].reshape(-1), by_stem, rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(whole[i].reshape(-1), by_all, rtol=1e-4, atol=1e-9)
        assert not torch.allclose(by_stem, by_all, rtol=0.1, atol=1e-7)


# --- the meta step, real ---

LR, META_LR, MOMENTUM, DECAY = 0.2, 0.03, 0.9, 0.01


def optimizer_of(model, own_group=True):
    theta = list(model.matching.parameters())
    inside = {id(p) for p in theta}
    rest = [p for p in model.parameters() if id(p) not in inside]
    groups = [
        dict(params=rest, lr=LR, weight_decay=DECAY),
        dict(params=theta, lr=META_LR, weight_decay=0.0),
    ]
    if not own_group:
        groups = [dict(params=rest + theta)]
    return torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM, nesterov=True)


def sgd_by_hand(weight, buffer, grad, lr, decay):
    """One step of SGD with Nesterov momentum: the new weight and buffer."""
    grad = grad + decay * weight
    buffer = MOMENTUM * buffer + grad
    return weight - lr * (grad + MOMENTUM * buffer), buffer


def clipped(grads, max_norm):
    norm = sum(float((g**2).sum()) for g in grads) ** 0.5
    return [g * min(1.0, max_norm / (norm + 1e-6)) for g in grads]


def in_training(compat, set_to_none=False):
    """A model after two main steps, of another path and of the student's: momentum is there."""
    model, inputs, samples = make(compat, seed=2)
    optimizer = optimizer_of(model)
    for arch in (OTHER, STUDENT):
        model.backbone.set_arch(arch)
        model.parse_losses(model.loss(inputs, samples))[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=set_to_none)
    return model, optimizer


@pytest.mark.parametrize('flow', ['stem', 'path'])
@pytest.mark.parametrize('max_norm', [1e-5, 1e4])
def test_real_meta_step(max_norm, flow):
    model, optimizer = in_training(dict(mode='official', meta_gradient=flow))
    train = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    val = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    params = path_params(model)
    names, theta_params = list(params), list(model.matching.parameters())
    theta = [p.detach().clone() for p in theta_params]
    buffers = {p: optimizer.state[p]['momentum_buffer'].clone() for p in model.parameters()
               if p in optimizer.state}  # fmt: skip

    student = fixed_copy(model, STUDENT)
    index = int(scores_by_hand(model, student).argmax())
    teacher = fixed_copy(model, model.board.entries[index].arch)(train).detach()

    def gradient(rate=None):
        """dJ/dw of J = m(w, theta) KD(w), or of a constant rate."""
        rate = (-scores_by_hand(model, student, theta)[-1]).sigmoid() if rate is None else rate
        loss = rate * kd_by_hand(teacher, student(train))
        return torch.autograd.grad(loss, list(student.parameters()))

    # 1. The student's step: main learning rate, momentum, decay.
    grads = gradient()
    constant = gradient((-scores_by_hand(model, student)[-1]).sigmoid().detach())
    assert max(float((a - b).abs().max()) for a, b in zip(grads, constant, strict=True)) > 1e-4
    expected = {}
    for name, grad in zip(names, clipped(grads, max_norm), strict=True):
        weight = params[name].detach().clone()
        expected[name], _ = sgd_by_hand(weight, buffers[params[name]], grad, LR, DECAY)

    # 2. The held-out loss at the stepped weights.
    stepped = fixed_copy(model, STUDENT)
    with torch.no_grad():
        for name, param in zip(names, stepped.parameters(), strict=True):
            param.copy_(expected[name])
    val_loss = F.cross_entropy(stepped(val), torch.tensor(VAL_LABELS))
    held_out = torch.autograd.grad(val_loss, list(stepped.parameters()))

    # 3. Numeric differentiation of < v, -eta dJ/dw > in theta, with v held fixed.
    def value():
        return sum(
            float((v * -META_LR * g).sum())
            for name, v, g in zip(names, held_out, gradient(), strict=True)
            if name == STEM or flow == 'path'
        )

    slopes = [
        central_difference(value, p, unit_vectors(p)).reshape(p.shape) for p in theta
    ]  # fmt: skip
    assert max(float(s.abs().max()) for s in slopes) > 1e-6
    theta_expected = []
    for param, start, slope in zip(theta_params, theta, clipped(slopes, max_norm), strict=True):
        # The student's step was one of the whole optimizer: theta moved by its momentum.
        moved, buffer = sgd_by_hand(start, buffers[param], torch.zeros_like(start), META_LR, 0.0)
        theta_expected.append(sgd_by_hand(moved, buffer, slope, META_LR, 0.0)[0])

    loss = real_meta_step(model, optimizer, train, val, tiny_samples(VAL_LABELS), max_norm)
    assert float(loss) == pytest.approx(float(val_loss), rel=1e-9) and not loss.requires_grad
    for name, param in params.items():
        torch.testing.assert_close(param.detach(), expected[name], rtol=1e-9, atol=1e-12, msg=name)
    for param, value_, start in zip(theta_params, theta_expected, theta, strict=True):
        # Differences of theta, on whose size the tolerance is.
        scale = float((value_ - start).abs().max())
        torch.testing.assert_close(param.detach() - start, value_ - start, rtol=0,
                                   atol=1e-5 * scale)  # fmt: skip
    assert all(p.grad is None for p in [*params.values(), *theta_params])
    assert model.backbone.arch == STUDENT


@pytest.mark.parametrize('zero', [True, False])
def test_paths_beside_the_real_meta_step(zero):
    """Parameters off the path make two optimizer steps with a gradient of 0, or none at all."""
    model, optimizer = in_training('official', set_to_none=not zero)
    beside = [
        p for name, p in model.named_parameters() if name.startswith('backbone.blocks.2.1.1.')
    ]
    never = [p for name, p in model.named_parameters() if name.startswith('backbone.blocks.1.0.1.')]
    assert beside and never and not {id(p) for p in beside} & set(map(id, path_params(model)))
    expected, before = [], [p.detach().clone() for p in never]
    for param in beside:
        weight, buffer = param.detach().clone(), optimizer.state[param]['momentum_buffer'].clone()
        for _ in range(2 if zero else 0):
            weight, buffer = sgd_by_hand(weight, buffer, 0.0, LR, DECAY)
        expected.append(weight)
    starts = [p.detach().clone() for p in beside]
    images = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    real_meta_step(model, optimizer, images[:4], images[4:], tiny_samples(VAL_LABELS), 1.0)
    for param, weight, start in zip(beside, expected, starts, strict=True):
        torch.testing.assert_close(param.detach(), weight, rtol=1e-12, atol=1e-14)
        assert torch.equal(param, start) is not zero
    assert all(torch.equal(p, b) for p, b in zip(never, before, strict=True))


def test_the_matching_network_needs_a_group_of_its_own():
    model, inputs, _ = make('official')
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="custom_keys={'matching': dict") as error:
        real_meta_step(
            model, optimizer_of(model, own_group=False), inputs[:3], inputs[3:],
            tiny_samples(LABELS[3:]), 1.0,
        )  # fmt: skip
    assert 'search_imagenet_official.py' in str(error.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
