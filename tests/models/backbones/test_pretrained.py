"""What was not loaded is refused; what was is told."""

import copy
import importlib

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import DefaultScope

import cream_mm
from cream_mm.converters.to_official import to_official
from cream_mm.models import CreamClsHead, CreamNet, CreamSupernet
from cream_mm.models.backbones.pretrained import check_model, load_backbone
from cream_mm.models.backbones.published import published_nets
from cream_mm.registry import MODELS


@pytest.fixture
def lines(monkeypatch):
    said = []
    module = importlib.import_module('cream_mm.models.backbones.pretrained')  # not the function
    monkeypatch.setattr(module, 'print_log', lambda text, *_: said.append(text))
    return said


@pytest.fixture(scope='module')
def nets():
    """Classifiers with ten classes; 248 tensors in each backbone of the larger one."""
    torch.manual_seed(0)
    return {
        name: cream_mm.create_model(name, num_classes=10) for name in ('cream-14m', 'cream-43m')
    }


@pytest.fixture
def file(nets, tmp_path):
    """Writes a checkpoint of a classifier under other names."""

    def write(name='cream-43m', rename=lambda key: key, only=''):
        state = nets[name].state_dict()
        state = {rename(k): v for k, v in state.items() if k.startswith(only)}
        torch.save(dict(state_dict=state), tmp_path / 'w.pth')
        return tmp_path / 'w.pth'

    return write


def net(file, arch='cream-43m', **init_cfg):
    init_cfg = dict(type='Pretrained', checkpoint=str(file), **init_cfg)
    return CreamNet(arch, init_cfg=init_cfg, out_indices=(1, 2, 4, 6))


def assert_loaded(backbone, classifier):
    state = backbone.state_dict()
    assert len(state) == len(classifier.backbone.state_dict())
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(state[name], value), name


PREFIXES = [
    '', 'backbone.', 'module.backbone.', '_orig_mod.backbone.', 'model.backbone.',
    'module._orig_mod.model.backbone.', 'backbone._orig_mod.', 'module.', 'backbone.module.',
]  # fmt: skip


@pytest.mark.parametrize('prefix', PREFIXES)
def test_prefixes_are_found(file, nets, lines, prefix):
    path = file(rename=lambda key: prefix + key.removeprefix('backbone.'), only='backbone.')
    backbone = net(path)
    backbone.init_weights()
    assert_loaded(backbone, nets['cream-43m'])
    assert lines == [f'248 of 248 tensors loaded from {path}']


@pytest.mark.parametrize('wrapper', ['', 'module.', '_orig_mod.module.', 'model.'])
@pytest.mark.parametrize('prefix', ['backbone.', 'backbone'])
def test_a_given_prefix_may_be_wrapped(file, nets, prefix, wrapper):
    backbone = net(file(rename=lambda key: wrapper + key), prefix=prefix)
    backbone.init_weights()
    assert_loaded(backbone, nets['cream-43m'])


def test_any_other_prefix_is_named_and_may_be_given(file, nets):
    path = file(rename=lambda key: f'student.{key}')
    with pytest.raises(ValueError, match="0 of 248 .*prefix='student.backbone.' would load all"):
        net(path).init_weights()
    backbone = net(path, prefix='student.backbone.')
    backbone.init_weights()
    assert_loaded(backbone, nets['cream-43m'])
    for wrong in ('neck.', 'back'):
        with pytest.raises(ValueError, match=r"prefix='backbone\.' would load all of them"):
            net(file(), prefix=wrong).init_weights()


@pytest.mark.parametrize('prefix', [None, 'backbone.'])
def test_another_architecture_is_refused_and_named(file, prefix):
    given = {} if prefix is None else dict(prefix=prefix)
    with pytest.raises(ValueError, match="179 of 182 .*arch='cream-43m' would fit"):
        net(file('cream-43m'), 'cream-14m', **given).init_weights()
    with pytest.raises(ValueError, match="of 248 .*arch='cream-14m' would fit"):
        net(file('cream-14m'), 'cream-43m', **given).init_weights()


def test_part_of_a_deeper_network_is_refused(file, nets):
    """All tensors of the smaller one are there, but the file's network has more layers."""
    arch = copy.deepcopy(published_nets['cream-43m'].arch)
    arch[4].pop()
    with pytest.raises(ValueError, match="beyond it: blocks.4.2.*arch='cream-43m' would fit"):
        net(file(), arch).init_weights()
    backbone = net(file(), arch, partial=True)
    backbone.init_weights()
    assert torch.equal(backbone.conv_stem.weight, nets['cream-43m'].backbone.conv_stem.weight)


def test_an_unpublished_architecture_is_written_out(tmp_path):
    arch = [[0], [2], [0, 5], [1], [4], [3], [0]]
    torch.save(CreamNet(arch).state_dict(), tmp_path / 'w.pth')
    with pytest.raises(ValueError) as error:
        net(tmp_path / 'w.pth', 'cream-14m').init_weights()
    assert 'arch=[[0],[2],[0,5],[1],[4],[3],[0]] would fit' in str(error.value).replace(', ', ',')


def test_a_file_of_something_else(tmp_path):
    torch.save({'layer1.weight': torch.zeros(2)}, tmp_path / 'w.pth')
    for given in ({}, dict(prefix='backbone.'), dict(partial=True)):
        with pytest.raises(ValueError, match='0 of 248 .*another model: its names.*layer1.weight'):
            net(tmp_path / 'w.pth', **given).init_weights()
    with pytest.raises(FileNotFoundError, match='no checkpoint nowhere.pth'):
        net('nowhere.pth').init_weights()
    with pytest.raises(FileNotFoundError, match='network of that name; .*of lite0, lite1, lite2$'):
        net('lite9').init_weights()
    with pytest.raises(ValueError, match='neither a file nor an http address'):
        net('open-mmlab://resnet50').init_weights()


@pytest.mark.parametrize('name', ['conv_stem.weight', 'bn1.running_mean', 'blocks.6.0.conv.weight'])
def test_one_missing_tensor(file, nets, lines, name):
    path = file()
    content = torch.load(path)
    del content['state_dict'][f'backbone.{name}']
    torch.save(content, path)
    with pytest.raises(ValueError, match=f'247 of 248 .*: {name}') as error:
        net(path).init_weights()
    assert 'init_cfg.partial=True takes what fits' in str(error.value)
    backbone = net(path, partial=True)
    backbone.init_weights()
    assert lines == [f'247 of 248 tensors loaded from {path}; not loaded: {name}']
    expected = nets['cream-43m'].backbone.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in backbone.state_dict().items() if k != name)


def test_one_tensor_of_another_shape(file):
    path = file()
    content = torch.load(path)
    content['state_dict']['backbone.bn1.weight'] = torch.ones(3)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'247 of 248 .*: bn1\.weight'):
        net(path).init_weights()


def test_counters_may_be_absent(file, lines):
    path = file()
    content = torch.load(path)
    state = content['state_dict']
    content['state_dict'] = {k: v for k, v in state.items() if 'num_batches' not in k}
    torch.save(content, path)
    net(path).init_weights()
    assert lines == [f'248 of 248 tensors loaded from {path}']


def test_official_files(nets, tmp_path, lines):
    official = to_official(nets['cream-43m'].state_dict())
    path = tmp_path / 'o.pth.tar'
    noise = {k: torch.zeros_like(v) for k, v in official.items()}
    torch.save(dict(state_dict=noise, state_dict_ema=official), path)  # averaged weights win
    for given in ({}, dict(prefix='backbone.')):
        backbone = net(path, **given)
        backbone.init_weights()
        assert_loaded(backbone, nets['cream-43m'])
    assert lines == [f'248 of 248 tensors loaded from {path}'] * 2


def test_unknown_keys(file):
    with pytest.raises(ValueError, match="checkpoint=FILE.*got .*'prefx'"):
        net(file(), prefx='backbone.').init_weights()


@pytest.mark.parametrize('frozen', [-1, 0, 3])
def test_in_a_detector(file, nets, frozen):
    """mmdet initialises the backbone; frozen stages are frozen with what was loaded."""
    cfg = dict(
        type='mmdet.RetinaNet',
        backbone=dict(
            type='cream_mm.CreamNet', arch='cream-43m', out_indices=(1, 2, 4, 6),
            frozen_stages=frozen,
            init_cfg=[
                dict(type='Pretrained', checkpoint=str(file())),
                dict(type='Constant', layer='Conv2d', val=0.5),  # the file is loaded over it
            ],
        ),
        neck=dict(type='mmdet.FPN', in_channels=[24, 40, 96, 320], out_channels=16, num_outs=5),
        bbox_head=dict(type='mmdet.RetinaHead', num_classes=2, in_channels=16, feat_channels=16),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MMDET_MODELS.build(cfg)
        model.init_weights()
        assert_loaded(model.backbone, nets['cream-43m'])
        assert model.backbone.conv_stem.weight.requires_grad == (frozen < 0)
        cfg['backbone']['arch'] = 'cream-14m'
        with pytest.raises(ValueError, match="arch='cream-43m' would fit"):
            MMDET_MODELS.build(cfg).init_weights()


def test_a_second_call_leaves_the_weights(file, nets):
    backbone = net(file())
    backbone.init_weights()
    backbone.init_weights()
    assert_loaded(backbone, nets['cream-43m'])


def test_supernets(tmp_path, lines):
    space = dict(depths=(1, 1, 1, 1, 1), width_mult=0.5)
    trained = CreamSupernet(space)
    trained.init_weights()
    torch.save({f'module.backbone.{k}': v for k, v in trained.state_dict().items()}, tmp_path / 's')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 's'))
    supernet = MODELS.build(dict(type='cream_mm.CreamSupernet', space=space, init_cfg=init_cfg))
    supernet.init_weights()
    state = supernet.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in trained.state_dict().items())
    assert lines == [f'{len(state)} of {len(state)} tensors loaded from {tmp_path / "s"}']
    deeper = CreamSupernet(dict(space, depths=(1, 1, 2, 1, 1)), init_cfg=init_cfg)
    with pytest.raises(ValueError, match=r'supernet of depths \[1, 1, 1, 1, 1\]: set space.depths'):
        deeper.init_weights()
    fixed = CreamNet([[0], [0], [0], [0], [0], [0], [0]], space=space, init_cfg=init_cfg)
    with pytest.raises(ValueError, match=r'tools/export_arch.py cuts a path out of it'):
        fixed.init_weights()
    torch.save(fixed.state_dict(), tmp_path / 's')
    with pytest.raises(ValueError, match=r'a fixed network, .*, and no supernet'):
        supernet.__class__(space, init_cfg=init_cfg).init_weights()


# --- create_model ---


@pytest.mark.parametrize('wrapper', ['', 'module.', '_orig_mod.model.'])
def test_create_model(file, nets, lines, wrapper):
    path = file(rename=lambda key: wrapper + key)
    model = cream_mm.create_model('cream-43m', checkpoint=path)  # with the file's ten classes
    for name, value in nets['cream-43m'].state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert lines == [f'252 of 252 tensors loaded from {path}']
    backbone = cream_mm.create_model('cream-43m', checkpoint=path, features_only=True)
    assert_loaded(type('C', (), dict(state_dict=backbone.state_dict)), nets['cream-43m'])


def test_create_model_with_a_new_head(file, nets, lines):
    path = file()
    model = cream_mm.create_model('cream-43m', num_classes=4, checkpoint=path)
    assert_loaded(model.backbone, nets['cream-43m'])
    state = nets['cream-43m'].state_dict()
    assert torch.equal(model.head.conv_head.weight, state['head.conv_head.weight'])
    assert model.head.classifier.weight.shape == (4, 1280)
    assert lines == [
        f'250 of 252 tensors loaded from {path}',
        f'{path} has 10 classes: head.classifier, for 4, is new and has to be trained',
    ]


def test_create_model_refuses(file):
    with pytest.raises(ValueError, match="arch='cream-14m' would fit"):
        cream_mm.create_model('cream-43m', checkpoint=file('cream-14m'))
    path = file(rename=lambda key: key.removeprefix('backbone.'), only='backbone.')
    match = 'the backbone without this head, .* by its retrain.py, .* features_only=True'
    with pytest.raises(ValueError, match=match):
        cream_mm.create_model('cream-43m', checkpoint=path)
    path = file(only='head.')
    for features_only in (False, True):
        with pytest.raises(ValueError, match='does not fit|0 of 248'):
            cream_mm.create_model('cream-43m', checkpoint=path, features_only=features_only)


def test_load_backbone(file, nets):
    backbone = CreamNet('cream-43m')
    load_backbone(backbone, file())
    assert_loaded(backbone, nets['cream-43m'])


# --- heads, and other people's backbones ---


def head(file, classes=10, hidden=1280, **init_cfg):
    init_cfg = dict(type='Pretrained', checkpoint=str(file), **init_cfg)
    return CreamClsHead(classes, hidden_channels=hidden, init_cfg=init_cfg)


@pytest.mark.parametrize('wrapper', ['', 'module.', '_orig_mod.model.'])
def test_a_head_of_the_same_classes(file, nets, lines, wrapper):
    path = file(rename=lambda key: wrapper + key)
    (own := head(path)).init_weights()
    expected = nets['cream-43m'].head.state_dict()
    assert all(torch.equal(value, expected[k]) for k, value in own.state_dict().items())
    assert lines == [f'4 of 4 tensors of the head loaded from {path}']


def test_a_head_of_other_classes(file, nets, lines):
    """The layer before it is taken; the new classifier begins with logits near zero."""
    (own := head(path := file(), 3)).init_weights()
    loaded = nets['cream-43m'].head.state_dict()
    assert torch.equal(own.conv_head.weight, loaded['conv_head.weight'])
    assert 0.008 < own.classifier.weight.std() < 0.012 and not own.classifier.bias.any()
    assert lines == [
        f'2 of 4 tensors of the head loaded from {path}; its classifier has 10 classes: the one '
        'here is new'
    ]


def test_another_head_is_refused(file):
    with pytest.raises(ValueError, match='2 of 4 .*: conv_head.weight, conv_head.bias.*kind'):
        head(file(rename=lambda k: k.replace('conv_head', 'fc')), 10).init_weights()
    with pytest.raises(ValueError, match='holds no head: leave model.head.init_cfg out'):
        head(file(only='backbone.')).init_weights()


def test_half_of_another_backbone_is_refused():
    layers = torch.nn.ModuleDict({f'layer{i}': torch.nn.Linear(2, 2, False) for i in range(10)})
    model = torch.nn.ModuleDict(dict(backbone=layers, head=torch.nn.Linear(2, 2)))
    weights = dict(model.state_dict())
    del weights['backbone.layer3.weight']
    assert check_model(model, weights, 'w.pth').startswith('11 of 12 tensors loaded from w.pth')
    weights['backbone.layer5.weight'] = torch.zeros(3, 3)
    with pytest.raises(ValueError, match='8 of the 10 tensors of the backbone.*random.*layer5'):
        check_model(model, weights, 'w.pth')
    only_head = {k: v for k, v in weights.items() if k.startswith('head.')}
    with pytest.raises(ValueError, match='0 of the 10 tensors of the backbone'):
        check_model(model, only_head, 'w.pth')
