import copy

import numpy as np
import pytest
import torch
from torch import nn

from cream_mm.costs import build_cost_model
from cream_mm.methods.cream.meta_matching import MetaMatching
from cream_mm.models import CreamClsHead, CreamNet, CreamSupernet
from cream_mm.models.layers import head_settings
from cream_mm.models.layers.init import init_cream_weights
from cream_mm.ops import cpu_kernels
from cream_mm.spaces import MBConvSpace
from cream_mm.structures import Arch
from cream_mm.testing import tiny_space

ARCH = Arch(((1, 0), (0, 1)))
OTHER = Arch(((0, 0), (1, 1)))


def tiny_supernet(**kwargs):
    kwargs.setdefault('out_indices', (1, 3))
    return filled_supernet(tiny_space(), **kwargs)


def filled_supernet(space, **kwargs):
    torch.manual_seed(0)
    net = CreamSupernet(space, **kwargs)
    init_cream_weights(net)
    for buffer_name, buffer in net.named_buffers():
        if buffer_name.endswith('running_mean'):
            buffer.normal_()
        elif buffer_name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    return net


# --- golden numbers ---


@pytest.fixture(scope='module')
def cream(golden_net):
    return golden_net(CreamSupernet(), CreamClsHead(num_classes=1000))


def test_parameters_of_the_whole_search(cream):
    matching = MetaMatching(num_features=4 * 1000)
    assert sum(p.numel() for p in matching.parameters()) == 4001
    total = sum(p.numel() for p in cream.parameters()) + 4001
    assert total == 28_845_913
    stages = [sum(p.numel() for p in stage.parameters()) for stage in cream.backbone.blocks]
    assert stages == [744, 376_088, 918_312, 4_167_672 - 963_160, 5_105_032, 17_482_800, 62_080]


def test_keys_are_the_released_ones(cream):
    keys = cream.backbone.state_dict().keys()
    assert len(keys) == 2806 - 2 - 4 - 6 * 22  # less matching, head, the unused fifth layer
    assert {'blocks.0.0.0.conv_dw.weight', 'blocks.6.0.0.conv.weight',
            'blocks.3.3.5.se.conv_reduce.bias', 'blocks.1.0.4.bn3.running_var'} <= keys  # fmt: skip


@pytest.mark.parametrize('name', ['all0', 'issue12a', 'issue12b'])
def test_released_supernet(name, golden, golden_net, cream):
    expected = golden['supernet'][name]
    cream.backbone.set_arch(Arch.from_list(expected['arch']))
    with torch.no_grad():
        logits = cream(golden_net.image(224))[0]
    assert logits[:5].tolist() == pytest.approx(expected['logits5'], abs=1e-9, rel=0)
    assert logits.mean().item() == pytest.approx(expected['logits_mean'], abs=1e-9, rel=0)
    std = logits.std(correction=0).item()
    assert std == pytest.approx(expected['logits_std'], abs=1e-9, rel=0)
    assert int(logits.argmax()) == expected['argmax']
    params = sum(p.numel() for p in cream.backbone.path_parameters().values())
    assert params + sum(p.numel() for p in cream.head.parameters()) == expected['params']


# --- the path ---


def test_starts_with_the_first_choices():
    net = tiny_supernet()
    assert net.arch == Arch(((0, 0), (0, 0)))
    assert net.out_channels == (16, 32)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('arch', [ARCH, OTHER, Arch(((1,), (0, 0)))], ids=str)
def test_forward_equals_the_exported_network(arch, training):
    net = tiny_supernet().train(training)
    image = torch.rand(4, 3, 9, 8)
    fixed = net.export(arch).train(training)
    assert fixed.arch == arch and fixed.out_indices == net.out_indices
    net.set_arch(arch)
    for got, expected in zip(net(image), fixed(image), strict=True):
        assert torch.equal(got, expected)
    # Running statistics as well.
    again = net.export(arch).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in fixed.state_dict().items())


def test_exported_network_is_its_own():
    net = tiny_supernet().eval()
    fixed = net.export(ARCH, out_indices=(2,), frozen_stages=1).eval()
    assert fixed.out_indices == (2,) and fixed.frozen_stages == 1
    before = fixed.conv_stem.weight.clone()
    with torch.no_grad():
        net.conv_stem.weight.zero_()
    assert torch.equal(fixed.conv_stem.weight, before)


def test_paths_share_and_differ():
    net = tiny_supernet().eval()
    image = torch.rand(1, 3, 8, 8)
    outs = {}
    for arch in (ARCH, OTHER):
        net.set_arch(arch)
        outs[arch] = net(image)[-1]
    assert not torch.allclose(outs[ARCH], outs[OTHER])


def test_route():
    net = tiny_supernet()
    assert net.route(1, 1, 0) is net.blocks[1][1][0]
    net.set_arch(ARCH)
    seen = []
    for name, module in net.named_modules():
        if name.count('.') == 3 and name.startswith('blocks.'):
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
    net(torch.rand(2, 3, 8, 8))
    assert seen == ['blocks.0.0.0', 'blocks.1.0.1', 'blocks.1.1.0', 'blocks.2.0.0', 'blocks.2.1.1',
                    'blocks.3.0.0']  # fmt: skip


def test_using_restores():
    net = tiny_supernet().eval()
    net.set_arch(ARCH)
    image = torch.rand(1, 3, 8, 8)
    before = net(image)[-1]
    with net.using(OTHER):
        assert net.arch == OTHER
        with net.using(Arch(((1, 1), (1, 1)))):
            assert net.arch.stages == ((1, 1), (1, 1))
        assert net.arch == OTHER
    assert net.arch == ARCH and torch.equal(net(image)[-1], before)


def test_using_restores_after_an_error():
    net = tiny_supernet().eval()
    net.set_arch(ARCH)
    with pytest.raises(RuntimeError, match='stop'), net.using(OTHER):
        raise RuntimeError('stop')
    assert net.arch == ARCH
    with pytest.raises(ValueError, match='choice 2'), net.using(Arch(((2, 0), (0, 0)))):
        pass
    assert net.arch == ARCH


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        (Arch(((0, 0), (0, 2))), 'choice 2 in stage 2'),
        (Arch(((0, 0), (0, -1))), 'choice -1 in stage 2'),
        (Arch(((0, 0, 0), (0, 0))), 'stage 1 of .* has 3 layers'),
        (Arch(((0, 0),)), '1 searchable stages'),
        (Arch(((0, 0), (0, 0)), 'other'), "belongs to space 'other'"),
    ],
)
def test_set_arch_refuses(arch, message):
    net = tiny_supernet().eval()
    net.set_arch(ARCH)
    before = net(torch.ones(1, 3, 8, 8))[-1]
    with pytest.raises(ValueError, match=message):
        net.set_arch(arch)
    assert net.arch == ARCH and torch.equal(net(torch.ones(1, 3, 8, 8))[-1], before)
    with pytest.raises(ValueError, match=message):
        net.export(arch)


@pytest.mark.parametrize('arch', [ARCH, OTHER, Arch(((0,), (1,)))], ids=str)
def test_path_parameters_are_those_with_gradients(arch):
    net = tiny_supernet(out_indices=(3,)).train()
    net.set_arch(arch)
    net(torch.rand(4, 3, 8, 8))[0].square().sum().backward()
    touched = {name for name, param in net.named_parameters() if param.grad is not None}
    params = net.path_parameters()
    assert set(params) == touched
    by_name = dict(net.named_parameters())
    assert all(param is by_name[name] for name, param in params.items())
    # As many as the fixed network has.
    assert len(params) == len(list(net.export(arch).parameters()))


def test_path_modules_are_those_that_run():
    net = tiny_supernet().eval()
    net.set_arch(ARCH)
    ran = set()
    for module in net.modules():
        module.register_forward_hook(lambda module, *_: ran.add(id(module)))
    with cpu_kernels.disabled():  # they do not call the modules
        net(torch.rand(1, 3, 8, 8))
    with_weights = {
        id(m) for m in net.modules() if list(m.parameters(recurse=False)) and id(m) in ran
    }
    assert with_weights and with_weights <= {id(m) for m in net.path_modules()}
    assert {id(m) for m in net.path_modules()} <= ran


def test_a_deep_copy_has_a_path_of_its_own():
    net = tiny_supernet().eval()
    net.set_arch(ARCH)
    image = torch.rand(1, 3, 8, 8)
    before = net(image)[-1]
    twin = copy.deepcopy(net)
    assert torch.equal(twin(image)[-1], before)
    with torch.no_grad():
        twin.blocks[1][0][1].conv_pwl.weight.zero_()
    assert torch.equal(net(image)[-1], before)  # the copy's weights are not the original's
    assert not torch.equal(twin(image)[-1], before)  # and the copy runs its own
    twin.set_arch(OTHER)
    assert net.arch == ARCH and torch.equal(net(image)[-1], before)
    assert not {id(m) for m in twin.path_modules()} & {id(m) for m in net.modules()}


def test_init_weights_reaches_every_choice():
    torch.manual_seed(0)
    net = CreamSupernet(tiny_space(), out_indices=(3,))
    with torch.no_grad():
        for param in net.parameters():
            param.fill_(7)
    net.init_weights()
    for name, param in net.named_parameters():
        assert not (param == 7).any(), name


def test_space_as_dict_and_unknown_out_index():
    net = CreamSupernet(dict(width_mult=0.5, depths=[1, 1, 1, 1, 1]), out_indices=(5, 2))
    assert net.out_channels == (24, 96)
    with pytest.raises(ValueError, match=r'out_indices must lie in 0\.\.3; got \(4,\)'):
        CreamSupernet(tiny_space(), out_indices=(4,))


# --- other spaces ---

DNA = dict(preset='dna_identity', depths=(1, 2, 1, 1, 1, 1), width_mult=0.5)


def some_archs(space, count):
    rng = np.random.default_rng(0)
    skip = space.choices.index('identity')
    return [space.decode([skip] * space.num_layers), *(space.sample(rng) for _ in range(count))]


LITE = dict(
    preset='lite0', depths=(1, 2, 1, 1, 1, 1), choices=('identity', (3, 3), (5, 6)), head_channels=0
)


@pytest.fixture(
    scope='module', params=['nas_bench_macro', DNA, LITE], ids=['nas_bench_macro', 'dna', 'lite']
)
def supernet(request):
    return filled_supernet(request.param, out_indices=None)


@pytest.mark.parametrize('training', [True, False])
def test_paths_with_identities_equal_the_exported_networks(supernet, training):
    net, images = copy.deepcopy(supernet).train(training), torch.rand(4, 3, 32, 32)
    head = CreamClsHead(10, **head_settings(net.space))
    for arch in some_archs(net.space, 4):
        fixed = net.export(arch).train(training)
        net.set_arch(arch)
        (got,), (expected,) = net(images), fixed(images)
        assert torch.equal(got, expected) and got.shape[1] == net.out_channels[0]
        assert len(net.path_parameters()) == len(list(fixed.parameters()))
        params = sum(p.numel() for p in [*fixed.parameters(), *head.parameters()])
        if net.space.width_mult == 1:
            assert build_cost_model(net.space, 32, 10).cost(arch).params == params


def test_without_gradients_the_same(supernet):
    """There the operators work in place, which must not reach what an identity passes on."""
    net, images = copy.deepcopy(supernet).train(), torch.rand(4, 3, 32, 32)
    net.out_indices = tuple(range(len(net.blocks)))
    for arch in some_archs(net.space, 3):
        net.set_arch(arch)
        expected = net(images)
        with torch.no_grad():
            for got, one in zip(net(images), expected, strict=True):
                assert torch.equal(got, one)


def test_a_path_without_a_last_conv1x1():
    net = filled_supernet(LITE).eval()
    arch = net.space.decode([2, 1, 0, 2, 1, 2, 1])
    net.set_arch(arch)
    images = torch.rand(2, 3, 33, 32)
    (expected,) = net(images)
    assert len(net.blocks) == 8 and len(net.blocks[7]) == 0 and expected.shape[1] == 320
    layers = net.path_layers(arch)
    assert [layer.key for layer in layers] == [
        'stem', (0, 0, 0), (1, 0, 2), (2, 0, 1), (3, 0, 2), (4, 0, 1), (5, 0, 2), (6, 0, 1),
    ]  # fmt: skip
    x = images
    for layer in layers:
        x = layer.run(x)
    assert torch.equal(x, expected)
    eps = {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    assert eps == {1e-3} and net.norm_cfg == dict(type='BN', eps=1e-3)
    own = CreamSupernet(LITE, norm_cfg=dict(type='BN', eps=1e-4))
    fixed = own.export(arch)
    assert {m.eps for m in fixed.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-4}


def test_networks_of_one_canonical_form_compute_the_same():
    """With each block's weights moved along with the block."""
    net = filled_supernet('nas_bench_macro').eval()
    space, images = net.space, torch.rand(2, 3, 32, 32)
    for text in ('01202011', '10012102', '22001002', '00000001'):
        arch = space.parse(text)
        form = space.canonical(arch)
        assert form != arch
        one = net.export(arch).eval()
        other = CreamNet(form, space='nas_bench_macro').eval()
        other.load_state_dict(dict(zip(other.state_dict(), one.state_dict().values(), strict=True)))
        assert torch.equal(one(images)[0], other(images)[0])


def test_maps_of_nas_bench_macro():
    space = MBConvSpace.build('nas_bench_macro')
    net = CreamNet('00000000', space='nas_bench_macro', out_indices=space.feature_indices)
    shapes = [tuple(x.shape[1:]) for x in net(torch.rand(2, 3, 32, 32))]
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4)] and net.out_channels == (64, 128, 256)
    net = CreamNet([[0], [0, 1], [2, 0, 1], [2, 0, 1], [0]], space='nas_bench_macro',
                   out_indices=(0, 4))  # fmt: skip
    assert net.arch == space.parse('01201201') and net.out_channels == (32, 1280)
    assert [tuple(x.shape[1:]) for x in net(torch.rand(2, 3, 32, 32))] == [
        (32, 32, 32),
        (1280, 4, 4),
    ]


def test_all_weights_of_the_path_are_trained():
    net = filled_supernet('nas_bench_macro')
    net.set_arch(net.space.parse('01201210'))
    net(torch.rand(4, 3, 32, 32))[0].square().sum().backward()
    touched = {name for name, param in net.named_parameters() if param.grad is not None}
    assert set(net.path_parameters()) == touched
