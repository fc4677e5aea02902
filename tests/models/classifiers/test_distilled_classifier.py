import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.structures import DataSample

from cream_mm.models.classifiers.distilled_classifier import kl_divergence, kl_of_labels
from cream_mm.models.layers import head_settings
from cream_mm.registry import MODELS
from cream_mm.structures import Arch
from cream_mm.testing import tiny_samples, tiny_space

LABELS = [0, 2, 1, 1]


def parts(arch=((0, 1), (1, 0)), **head):
    space = tiny_space()
    head = {'type': 'cream_mm.CreamClsHead', 'num_classes': 3, **head_settings(space, 16), **head}
    backbone = dict(type='cream_mm.CreamNet', arch=Arch(arch), space=space.to_dict())
    return dict(backbone=backbone, head=head)


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    torch.manual_seed(0)
    model.init_weights()
    return model


def plain(arch=((0, 1), (1, 0)), **head):
    return build(dict(type='mmpretrain.ImageClassifier', **parts(arch, **head)))


def distilled(teacher=None, head=(), **kwargs):
    return build(
        dict(type='cream_mm.DistilledClassifier', **parts(**dict(head)), teacher=teacher, **kwargs)
    )


@pytest.fixture
def teacher(tmp_path):
    """A network of another architecture, as something trained, and its argument."""
    model = plain(((1, 1), (0, 1)))
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'full.pth')
    cfg = dict(parts(((1, 1), (0, 1))), checkpoint=str(tmp_path / 'full.pth'))
    return model.eval(), cfg


def images(side=16):
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_the_loss_is_that_of_the_paper(teacher):
    theirs, cfg = teacher
    model = distilled(cfg, distill_weight=0.6, temperature=2.0).train()
    losses = model(images(), tiny_samples(LABELS), mode='loss')
    logits, p = model.logits, F.softmax(theirs(images()) / 2, dim=1)
    kl = (p * (p.log() - F.log_softmax(logits / 2, dim=1))).sum(1).mean()
    cls = F.cross_entropy(logits, torch.tensor(LABELS))
    assert losses.keys() == {'loss_cls', 'loss_kd'}
    assert float(losses['loss_cls']) == pytest.approx(0.4 * float(cls), rel=1e-5)
    assert float(losses['loss_kd']) == pytest.approx(0.6 * 4 * float(kl), rel=1e-5)
    told = model.path_losses()
    assert float(told['loss']) == pytest.approx(float(sum(losses.values())), rel=1e-6)
    theirs_cls = F.cross_entropy(theirs(images()), torch.tensor(LABELS))
    assert float(told['teacher_loss']) == pytest.approx(float(theirs_cls), rel=1e-5)


def test_the_gradient_is_that_of_the_loss():
    """Of a linear student: (1 - w) (q - y) + w T (q_T - p_T), over N."""
    torch.manual_seed(0)
    student = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 4, dtype=torch.float64)
    kl_divergence(teacher, student, 3.0).backward()
    want = 3 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)) / 5
    torch.testing.assert_close(student.grad, want)
    assert kl_divergence(teacher, teacher).abs() < 1e-12


def test_mixed_images_and_several_labels(teacher, tmp_path):
    """Mixed labels go through the head; outputs of several labels are compared one by one."""
    theirs, cfg = teacher
    model = distilled(cfg).train()
    soft = torch.rand(4, 3).softmax(1)
    losses = model(images(), [DataSample().set_gt_score(one) for one in soft], mode='loss')
    cls = -(soft * model.logits.log_softmax(1)).sum(1).mean()
    assert float(losses['loss_cls']) == pytest.approx(0.3 * float(cls), rel=1e-5)

    head = dict(type='cream_mm.CreamMultiLabelClsHead')
    cfg['head'] = parts(**head)['head']
    model = distilled(cfg, head, distill_weight=1.0).train()
    samples = [DataSample().set_gt_score(one) for one in (soft > 0.3).float()]
    losses = model(images(), samples, mode='loss')
    p, q = theirs(images()).sigmoid(), model.logits.sigmoid()
    kl = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum(1).mean()
    assert float(losses['loss_kd']) == pytest.approx(float(kl), rel=1e-4)
    assert kl_of_labels(model.logits, model.logits).abs() < 1e-6


def test_without_a_teacher_it_is_an_image_classifier():
    ours, theirs = distilled().train(), plain().train()
    results = []
    for model in (ours, theirs):
        losses = model(images(), tiny_samples(LABELS), mode='loss')
        losses['loss'].backward()
        results.append((losses, [p.grad for p in model.parameters()], model.state_dict()))
    assert results[0][0].keys() == results[1][0].keys()
    assert torch.equal(results[0][0]['loss'], results[1][0]['loss'])
    assert all(torch.equal(a, b) for a, b in zip(results[0][1], results[1][1]))
    assert all(torch.equal(results[0][2][key], value) for key, value in results[1][2].items())


def test_nobody_sees_the_teacher(teacher):
    _, cfg = teacher
    model, alone = distilled(cfg), plain()
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in alone.named_parameters()]
    assert type(alone) is ImageClassifier
    alone.load_state_dict(model.state_dict())  # strictly
    model.train()
    before = copy.deepcopy(model.teacher.state_dict())
    model(images(), tiny_samples(LABELS), mode='loss')
    assert not model.teacher.training
    assert all(torch.equal(before[k], v) for k, v in model.teacher.state_dict().items())
    copied = copy.deepcopy(model)
    assert copied.teacher is model.teacher
    twice = model.double()(images().double(), tiny_samples(LABELS), mode='loss')
    assert twice['loss_kd'].dtype == torch.float64  # it follows the model


def test_the_teacher_sees_the_whole_image(teacher):
    theirs, cfg = teacher
    model = distilled(cfg, input_size=8, distill_weight=1.0).train()
    losses = model(images(), tiny_samples(LABELS), mode='loss')
    small = F.interpolate(images(), (8, 8), mode='bilinear', antialias=True)
    logits = model.logits
    torch.testing.assert_close(logits, copy.deepcopy(model)(small))
    torch.testing.assert_close(losses['loss_kd'], kl_divergence(theirs(images()), logits))
    assert model.eval()(images()).shape == (4, 3)  # as the pipeline makes them


def test_outputs_in_its_place(teacher):
    _, cfg = teacher
    model = distilled(cfg).train()
    with model.taught_by(None):
        losses = model(images(), tiny_samples(LABELS), mode='loss')
    assert losses.keys() == {'loss'}
    own = model.logits
    with model.taught_by(own):
        losses = model(images(), tiny_samples(LABELS), mode='loss')
    assert losses['loss_kd'].abs() < 1e-6  # it is taught what it says
    assert model(images(), tiny_samples(LABELS), mode='loss')['loss_kd'] > 1e-4


def test_what_is_wrong_is_told(teacher, tmp_path):
    _, cfg = teacher
    with pytest.raises(FileNotFoundError, match=r'no checkpoint of the teacher.*full\.pth into'):
        distilled(dict(cfg, checkpoint=str(tmp_path / 'gone.pth')))
    with pytest.raises(ValueError, match='does not hold the weights of model.teacher: '):
        distilled(dict(parts(((0, 0), (0, 0))), checkpoint=cfg['checkpoint']))
    with pytest.raises(ValueError, match=r'teacher is dict\(backbone=.*got \[.checkpoint'):
        distilled(dict(checkpoint=cfg['checkpoint']))
    for wrong in (dict(distill_weight=1.2), dict(temperature=0), dict(input_size=0)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            distilled(**wrong)


def test_inference_needs_no_file(teacher):
    _, cfg = teacher
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(type='cream_mm.DistilledClassifier', **parts(),
                                  teacher=dict(cfg, checkpoint='gone.pth')))  # fmt: skip
    model.load_state_dict(plain().state_dict())
    assert len(model.eval().predict(images())) == 4
    with pytest.raises(FileNotFoundError, match='no checkpoint of the teacher'):
        model.loss(images(), tiny_samples(LABELS))
