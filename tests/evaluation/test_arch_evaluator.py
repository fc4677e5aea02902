import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cream_mm.evaluation import ArchEvaluator
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream, tiny_samples

ARCHS = [Arch(((0, 1), (1, 0))), Arch(((1, 1), (0, 0))), Arch(((0, 0), (0, 0)))]


def images_of(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)


def as_dataset(images, labels=None):
    labels = [0] * len(images) if labels is None else labels
    samples = tiny_samples(labels)
    return [dict(inputs=x, data_samples=s) for x, s in zip(images, samples, strict=True)]


@pytest.fixture
def model():
    torch.manual_seed(3)
    model = tiny_cream(
        data_preprocessor=dict(mean=[120.0, 110, 100], std=[60.0, 50, 70], to_rgb=True)
    ).train()
    for name, buffer in model.named_buffers():  # statistics that belong to no path
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.2, 3)
    return model


def normalised(images):
    mean = torch.tensor([120.0, 110, 100]).view(3, 1, 1)
    std = torch.tensor([60.0, 50, 70]).view(3, 1, 1)
    return (images.flip(1).float() - mean) / std


def predictions(model, arch, images, bn_images):
    """By hand: the exported network, its BN fitted to ``bn_images``."""
    net = nn.Sequential(model.backbone.export(arch), copy.deepcopy(model.head)).eval()
    if bn_images is None:  # each batch its own statistics
        for m in net.modules():
            if isinstance(m, _BatchNorm):
                m.train()
    elif len(bn_images):
        for m in net.modules():
            if isinstance(m, _BatchNorm):
                m.momentum = 1.0  # keep the last batch's, which is the only one
                m.train()
        net(normalised(bn_images))
        net.eval()
    with torch.no_grad():
        return net(normalised(images)).argmax(1).tolist()


@pytest.mark.parametrize('arch', ARCHS, ids=str)
@pytest.mark.parametrize('policy', ['recalibrate', 'batch_stats'])
def test_rating_equals_accuracy_by_hand(model, arch, policy):
    images, bn_images = images_of(12, 0), images_of(9, 1)
    right = predictions(model, arch, images, bn_images if policy == 'recalibrate' else None)
    assert len(set(right)) > 1
    labels = [(p + 1) % 3 if i in (2, 5, 11) else p for i, p in enumerate(right)]
    evaluator = ArchEvaluator(
        model, as_dataset(images, labels), as_dataset(bn_images), bn_policy=policy
    )
    rating = evaluator.rate(arch)
    assert rating[:2] == (75.0, 12)
    # The statistics that the supernet happens to have would give something else.
    plain = predictions(model, arch, images, [])
    assert sum(p == t for p, t in zip(plain, labels, strict=True)) != 9


def test_rating_twice_gives_the_same(model):
    images = images_of(10, 0)
    args = (as_dataset(images, [i % 3 for i in range(10)]), as_dataset(images_of(9, 1)))
    evaluator = ArchEvaluator(model, *args, batch_size=4)
    first = [evaluator.rate(arch) for arch in ARCHS]
    assert first == [evaluator.rate(arch) for arch in reversed(ARCHS)][::-1]
    assert first == ArchEvaluator(model, *args, batch_size=4).rate_all(ARCHS, lambda *_: None)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('policy', ['recalibrate', 'batch_stats'])
def test_the_model_is_left_as_it_was(model, training, policy):
    model.train(training)
    model.backbone.set_arch(ARCHS[1])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(m.training, getattr(m, 'momentum', None)) for m in model.modules()]
    evaluator = ArchEvaluator(
        model, as_dataset(images_of(5, 0)), as_dataset(images_of(5, 1)), bn_policy=policy
    )
    evaluator.rate(ARCHS[0])
    assert model.backbone.arch == ARCHS[1]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert flags == [(m.training, getattr(m, 'momentum', None)) for m in model.modules()]
    assert all(param.grad is None for param in model.parameters())


def test_statistics_are_averaged_over_batches(model):
    """The stem's norm: the plain average of each calibration batch's statistics."""
    bn_images = images_of(8, 1)
    evaluator = ArchEvaluator(
        model, as_dataset(images_of(4, 0)), as_dataset(bn_images), batch_size=2
    )
    order = [x for batch in evaluator._bn_batches for x in batch['inputs']]
    with torch.no_grad():
        maps = model.backbone.conv_stem(normalised(torch.stack(order)))
    groups = [maps[i : i + 2].transpose(0, 1).flatten(1) for i in range(0, 8, 2)]
    seen = []
    model.backbone.blocks[0][0][0].register_forward_hook(
        lambda *_: seen.append(
            (model.backbone.bn1.running_mean.clone(), model.backbone.bn1.running_var.clone())
        )
    )
    evaluator.rate(ARCHS[0])
    mean, var = seen[-1]  # while rating
    torch.testing.assert_close(mean, sum(g.mean(1) for g in groups) / 4)
    torch.testing.assert_close(var, sum(g.var(1, correction=1) for g in groups) / 4)


def test_subsets_are_random_and_seeded(model):
    images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 8, 8)

    def numbers(batches):
        return [int(x[0, 0, 0]) for batch in batches for x in batch['inputs']]

    def make(seed):
        return ArchEvaluator(
            model, as_dataset(images), as_dataset(images), num_images=10, num_bn_images=16,
            batch_size=3, seed=seed,
        )  # fmt: skip

    first, again, other = make(0), make(0), make(1)
    rated, fitted = numbers(first._batches), numbers(first._bn_batches)
    assert len(set(rated)) == 10 and len(set(fitted)) == 15  # a last one alone is left out
    assert rated != sorted(rated)
    assert (rated, fitted) == (numbers(again._batches), numbers(again._bn_batches))
    assert rated != numbers(other._batches)
    assert first.rate(ARCHS[0]).num_images == 10
    assert first.description == 'recalibrate(15 images)'


def test_few_images_are_all_taken(model):
    evaluator = ArchEvaluator(
        model, as_dataset(images_of(3, 0)), as_dataset(images_of(4, 1)), num_images=100
    )
    assert evaluator.rate(ARCHS[0]).num_images == 3
    assert evaluator.description == 'recalibrate(4 images)'


def test_rate_all_reports_each(model):
    evaluator = ArchEvaluator(
        model, as_dataset(images_of(6, 0), [0, 1, 2] * 2), [], bn_policy='batch_stats'
    )
    seen = []
    ratings = evaluator.rate_all(ARCHS, lambda i, rating: seen.append((i, rating)))
    # In the order of the choices: neighbours share layers.
    assert seen == [(i, ratings[i]) for i in sorted(range(3), key=lambda i: ARCHS[i].stages)]
    assert evaluator.description == 'batch_stats'


def test_errors(model):
    data = as_dataset(images_of(2, 0))
    with pytest.raises(ValueError, match="'recalibrate' or 'batch_stats'; got 'eval'"):
        ArchEvaluator(model, data, data, bn_policy='eval')
    with pytest.raises(ValueError, match='no images to rate on'):
        ArchEvaluator(model, [], data)
    with pytest.raises(ValueError, match='no images'):
        ArchEvaluator(model, data, [])
    evaluator = ArchEvaluator(model, data, data)
    before = model.backbone.arch
    with pytest.raises(ValueError, match='choice 2'):
        evaluator.rate(Arch(((2, 0), (0, 0))))
    assert model.training and model.backbone.arch == before


# ---- a single image ----------------------------------------------------------------------------


@pytest.mark.parametrize('batch_size', [1, 8])
def test_no_batch_of_a_single_image_is_normalised_by_itself(model, batch_size):
    images = images_of(9, 0)
    evaluator = ArchEvaluator(
        model, as_dataset(images), [], bn_policy='batch_stats', batch_size=batch_size
    )
    sizes = [len(batch['inputs']) for batch in evaluator._batches]
    assert sizes == ([2, 2, 2, 3] if batch_size == 1 else [9])
    assert evaluator.rate(ARCHS[0]).num_images == 9


@pytest.mark.parametrize(
    ('policy', 'number', 'options', 'which'),
    [('batch_stats', 1, {}, 'held-out'), ('recalibrate', 9, dict(num_bn_images=1), 'training')],
)
def test_statistics_of_one_image_are_refused(model, policy, number, options, which):
    data = as_dataset(images_of(number, 0))
    with pytest.raises(ValueError, match=f'on a single one of the {which} images: it needs two'):
        ArchEvaluator(model, data, data, bn_policy=policy, **options)
