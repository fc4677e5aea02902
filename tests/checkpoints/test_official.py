import argparse
import collections
import errno
import hashlib
import io
import json
import os
import pickle
import sys
import tarfile
import types
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import golden_fill
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from torch import nn

from cream_mm import create_model
from cream_mm.apis.export_arch import export_arch
from cream_mm.checkpoints import from_official, infer_arch, load_checkpoint_file, load_weights
from cream_mm.checkpoints.official import OfficialLayout
from cream_mm.converters import convert_checkpoint
from cream_mm.converters.to_official import to_official
from cream_mm.models import CreamClsHead, CreamNet, CreamSupernet
from cream_mm.models.backbones.published import published_nets
from cream_mm.registry import MODELS
from cream_mm.structures import Arch
from cream_mm.testing import tiny_cream

ROOT = Path(__file__).resolve().parents[2]
# Of the official supernet with 4 layers per stage and 1000 classes, its dead layer included.
SUPERNET_SHA256 = '36a5ca1f482657289019e1e0ebfaa13290f1fcf17deab2127d3efe10ba8992d6'
SUPERNET_ENTRIES = 2806
SUPERNET_PARAMS, LIVING_PARAMS = 29_809_073, 28_845_913
UNPUBLISHED = [[0], [3], [2, 5], [0, 4, 1], [2], [5], [0]]
SMALL = (1, 1, 1, 1, 1)  # depths of a supernet that is quick to write
DEAD_SMALL = (1, 1, 4, 1, 1)


class Net(nn.Module):
    """Backbone and head under the names that a whole classifier has."""

    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone = backbone
        self.head = CreamClsHead(num_classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def official_shapes(arch=None, depths=None, num_classes=1000, dead=False, meta=True):
    """Official names and shapes as the modules of cream_mm have them, not by the layout."""
    with torch.device('meta'):
        if arch is not None:
            net = Net(CreamNet(arch), num_classes)
        else:
            depths = list(depths)
            depths[2] += dead
            net = Net(CreamSupernet(dict(depths=depths)), num_classes)
    shapes = {k.split('.', 1)[1]: tuple(v.shape) for k, v in net.state_dict().items()}
    if arch is None and meta:
        shapes |= {'meta_layer.weight': (1, 4 * num_classes), 'meta_layer.bias': (1,)}
    return shapes


def weights_of(shapes, seed=0):
    """Random weights as ``state_dict()`` gives them, metadata included."""
    generator = torch.Generator().manual_seed(seed)
    out = collections.OrderedDict()
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            out[name] = torch.tensor(77)
        else:
            out[name] = torch.rand(shape, generator=generator)
    out._metadata = {'': dict(version=1)}
    return out


def official(arch='cream-14m', num_classes=10, **kwargs):
    return weights_of(official_shapes(arch, num_classes=num_classes), **kwargs)


def official_supernet(depths=SMALL, num_classes=10, **kwargs):
    return weights_of(official_shapes(depths=depths, num_classes=num_classes, **kwargs))


def sha256(shapes):
    lines = [f'{name} {"x".join(map(str, shape))}' for name, shape in shapes.items()]
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def shapes_of(state_dict):
    return {name: tuple(value.shape) for name, value in state_dict.items()}


def save_official(path, weights, ema=None, *, zipped=False, **more):
    """As timm 0.1.20 does."""
    content = dict(epoch=480, arch='model', state_dict=weights, optimizer={'state': {}}, version=2)
    content.update(more)
    if ema is not None:
        content['state_dict_ema'] = ema
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_equal(got, expected):
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert torch.equal(got[name], value) and got[name].dtype == value.dtype, name


# --- which tensors ---


@pytest.mark.parametrize('name', [n for n in published_nets if n.startswith('cream-')])
def test_tensors_of_the_published_networks(name, golden):
    shapes = official_shapes(name)
    arch = Arch.from_list(published_nets[name].arch)
    layout = OfficialLayout(arch.depths, 1000, arch)
    assert list(layout.shapes().items()) == list(shapes.items())
    assert infer_arch(weights_of(shapes)) == layout
    number = name.removeprefix('cream-').removesuffix('m')
    if number in golden:
        assert sha256(layout.shapes()) == golden[number]['keys_sha256']
    assert len(shapes) == {'43': 252, '604': 626}.get(number) or golden[number]['n_keys']


def test_tensors_of_the_official_supernet():
    layout = OfficialLayout((4, 4, 4, 4, 4), num_images=4, has_dead_layer=True)
    assert len(layout.shapes()) == SUPERNET_ENTRIES
    assert sha256(layout.shapes()) == SUPERNET_SHA256
    expected = official_shapes(depths=layout.depths, dead=True)
    assert list(layout.shapes().items()) == list(expected.items())


@pytest.mark.parametrize('arch', [UNPUBLISHED, [[0], *[[5]] * 5, [0]], [[0], *[[4, 0]] * 5, [0]]])
@pytest.mark.parametrize('num_classes', [2, 1001])
def test_any_architecture_is_recognised(arch, num_classes):
    weights = official(arch, num_classes)
    layout = infer_arch(weights)
    assert layout.arch.to_list() == arch and layout.num_classes == num_classes
    assert not layout.is_supernet
    shuffled = dict(sorted(weights.items(), reverse=True))
    assert infer_arch({f'module.{k}': v for k, v in shuffled.items()}) == layout


@pytest.mark.parametrize('dead', [True, False])
@pytest.mark.parametrize('depths', [SMALL, (1, 2, 3, 3, 3), DEAD_SMALL])
def test_any_depths_are_recognised(depths, dead):
    dead = dead and depths[2] == 4
    layout = infer_arch(official_supernet(depths, dead=dead))
    assert layout == OfficialLayout(depths, 10, None, 4, dead)
    assert infer_arch(official_supernet(depths, dead=dead, meta=False)).num_images is None


# --- numbers ---


def golden_official(shapes):
    """The golden weights under their official names."""
    filled = golden_fill({k: torch.empty(shape) for k, shape in shapes.items()})
    return {k: torch.tensor(0) if k.endswith('tracked') else v for k, v in filled.items()}


@pytest.mark.parametrize('number', ['14', '287'])
def test_golden_logits_of_a_converted_network(number, golden, golden_net):
    expected = golden[number]
    weights = golden_official(official_shapes(f'cream-{number}m'))
    state_dict, _ = from_official({f'module.{k}': v for k, v in weights.items()})
    net = Net(CreamNet(f'cream-{number}m'), 1000).double().eval()
    net.load_state_dict(state_dict)
    with torch.no_grad():
        logits = net(golden_net.image(expected['res']))[0]
    assert logits[:5].tolist() == pytest.approx(expected['logits5'], abs=1e-9, rel=0)
    assert logits.mean().item() == pytest.approx(expected['logits_mean'], abs=1e-9, rel=0)
    assert int(logits.argmax()) == expected['argmax']


def test_golden_logits_of_a_converted_supernet(golden, golden_net):
    expected = golden['supernet']['issue12a']
    weights = golden_official(official_shapes(depths=(4, 4, 4, 4, 4), dead=True))
    assert len(weights) == SUPERNET_ENTRIES
    state_dict, layout = from_official(weights)
    assert layout.has_dead_layer and not any('blocks.3.4.' in name for name in state_dict)
    net = Net(CreamSupernet(), 1000).double().eval()
    result = net.load_state_dict(state_dict, strict=False)
    assert not result.missing_keys
    assert result.unexpected_keys == ['matching.fc.weight', 'matching.fc.bias']
    net.backbone.set_arch(Arch.from_list(expected['arch']))
    with torch.no_grad():
        logits = net(golden_net.image(224))[0]
    assert logits[:5].tolist() == pytest.approx(expected['logits5'], abs=1e-9, rel=0)
    assert int(logits.argmax()) == expected['argmax']


# --- there and back ---


@pytest.mark.parametrize('arch', ['cream-14m', 'cream-43m', UNPUBLISHED], ids=str)
def test_network_there_and_back(arch):
    theirs = official(arch)
    ours, _ = from_official(theirs)
    back = to_official(ours)
    assert list(back) == list(theirs)
    assert_equal(back, theirs)
    assert_equal(from_official(back)[0], ours)
    assert set(ours) == set(create_model(arch, num_classes=10).state_dict())


@pytest.mark.parametrize('depths', [SMALL, (1, 2, 3, 3, 3), DEAD_SMALL])
def test_supernet_there_and_back(depths):
    dead = depths[2] == 4
    theirs = official_supernet(depths, dead=dead)
    ours, _ = from_official(theirs)
    back = to_official(ours)
    assert list(back) == list(theirs)
    living = {k: v for k, v in theirs.items() if not k.startswith('blocks.3.4.')}
    assert_equal({k: back[k] for k in living}, living)
    assert_equal(from_official(back)[0], ours)


def test_the_whole_search_to_official():
    """The default search model, 4 layers per stage: what the released supernet loads strictly."""
    shapes = official_shapes(depths=(4, 4, 4, 4, 4))
    ours, _ = from_official(weights_of(shapes))
    ours = {**ours, 'board.images': torch.zeros(2), 'board.length': torch.tensor(1)}
    theirs = to_official(ours)
    assert isinstance(theirs, collections.OrderedDict)
    assert len(theirs) == SUPERNET_ENTRIES and sha256(shapes_of(theirs)) == SUPERNET_SHA256
    params = {k: v.numel() for k, v in theirs.items() if not k.endswith(('mean', 'var', 'tracked'))}
    assert sum(params.values()) == SUPERNET_PARAMS
    dead = {k: theirs[k] for k in theirs if k.startswith('blocks.3.4.')}
    assert sum(params.get(k, 0) for k in dead) == SUPERNET_PARAMS - LIVING_PARAMS

    # Initialised like a layer: norms 1 and 0, convolutions spread by their fan-out.
    assert (dead['blocks.3.4.5.bn1.weight'] == 1).all()
    assert (dead['blocks.3.4.5.bn1.running_mean'] == 0).all()
    assert dead['blocks.3.4.5.conv_dw.weight'].std().item() == pytest.approx((2 / 49) ** 0.5, 0.05)
    assert (dead['blocks.3.4.5.se.conv_reduce.bias'] == 0).all()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    assert_equal({k: v for k, v in to_official(ours).items() if k in dead}, dead)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_counters_of_old_files():
    theirs = official()
    without = {k: v for k, v in theirs.items() if not k.endswith('num_batches_tracked')}
    ours, _ = from_official(without)
    create_model('cream-14m', num_classes=10).load_state_dict(ours)
    counters = [v for k, v in ours.items() if k.endswith('num_batches_tracked')]
    assert len(counters) == 25 and all(v.dtype == torch.int64 and v == 0 for v in counters)


# --- files of the released code ---


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('averaged', [True, False])
def test_file_of_a_network(tmp_path, averaged, prefix, zipped):
    raw, ema = official(seed=1), official(seed=2)
    dst = tmp_path / 'new' / 'folder' / 'net.pth'  # made on the way, as a work-dir is
    src = save_official(
        tmp_path / '14.pth.tar',
        {prefix + k: v for k, v in raw.items()},
        {('' if prefix else 'module.') + k: v for k, v in ema.items()} if averaged else None,
        zipped=zipped,
        args=argparse.Namespace(lr=0.1, gp='avg'),
        metric=53.8,
    )
    assert zipfile.is_zipfile(src) == zipped
    found = convert_checkpoint(src, dst)
    assert found.name == found.arch == 'cream-14m' and found.input_size == 64
    assert found.num_tensors == 186 and found.layout.num_classes == 10
    assert found.num_params == 2_673_096 - 990 * 1281
    assert ('state_dict_ema' in found.source) == averaged
    assert any('averaged' in note for note in found.notes) != averaged

    content = torch.load(dst, weights_only=True)
    assert_equal(content['state_dict'], from_official(ema if averaged else raw)[0])
    meta = content['meta']
    assert meta['kind'] == 'network' and meta['name'] == 'cream-14m' and meta['num_classes'] == 10
    assert meta['arch'] == published_nets['cream-14m'].arch and meta['input_size'] == 64
    assert meta['source'] == '14.pth.tar' and meta['official_metric'] == 53.8
    assert json.loads(json.dumps(meta)) == meta  # plain values
    assert sorted(p.name for p in dst.parent.iterdir()) == ['net.pth']


def test_converted_file_in_use(tmp_path):
    theirs = official()
    convert_checkpoint(save_official(tmp_path / '14.pth.tar', theirs), dst := tmp_path / 'net.pth')
    model = create_model('cream-14m', num_classes=10, checkpoint=str(dst))
    assert torch.equal(model.head.classifier.weight, theirs['classifier.weight'])
    load_checkpoint(model, str(dst), map_location='cpu', strict=True)

    backbone = CreamNet(
        'cream-14m',
        out_indices=(1, 2, 4, 6),
        init_cfg=dict(type='Pretrained', checkpoint=str(dst), prefix='backbone.'),
    )
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        backbone.init_weights()
    assert_equal(backbone.state_dict(), {k: theirs[k] for k in backbone.state_dict()})


def test_a_network_that_is_not_published(tmp_path):
    theirs = official(UNPUBLISHED)
    torch.save(theirs, src := tmp_path / 'bare.pth')
    found = convert_checkpoint(str(src), str(tmp_path / 'mine.pth'))
    assert found.name is None and found.arch == str(tmp_path / 'mine.json')
    assert 'bare' in found.source
    assert any('224' in note for note in found.notes)
    model = create_model(found.arch, checkpoint=tmp_path / 'mine.pth')
    assert model.backbone.arch.to_list() == UNPUBLISHED
    assert_equal(model.state_dict(), from_official(theirs)[0])
    about = json.loads(Path(found.arch).read_text())
    assert about['num_classes'] == 10 and about['input_size'] == [224, 224]
    assert about['costs']['params_m'] == pytest.approx(found.num_params / 1e6)


@pytest.mark.parametrize('depths', [SMALL, DEAD_SMALL])
def test_file_of_a_supernet_in_a_search(tmp_path, depths):
    dead = depths[2] == 4
    theirs = official_supernet(depths, dead=dead)
    found = convert_checkpoint(
        save_official(tmp_path / 'supernet.pth.tar', theirs), dst := tmp_path / 'search.pth'
    )
    assert found.layout.is_supernet and found.name is found.arch is None
    assert any('blocks.3.4' in note for note in found.notes) == dead
    assert not any('averaged' in note for note in found.notes)

    cfg = Config.fromfile(ROOT / 'configs/cream/search_imagenet.py')
    cfg.model.backbone.space.depths = depths
    cfg.model.head.num_classes = cfg.model.data_preprocessor.num_classes = 10
    cfg.model.input_size = 32
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    content = torch.load(dst, weights_only=True)
    assert content['meta']['space'] == model.backbone.space.to_dict()
    result = model.load_state_dict(content['state_dict'], strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys and all(k.startswith('board.') for k in result.missing_keys)
    assert torch.equal(model.matching.fc.weight, theirs['meta_layer.weight'])


# --- files for the released code ---


def trained(path, state_dict, **more):
    content = dict(meta=dict(epoch=12, cfg='model = dict(arch=1)'), state_dict=state_dict, **more)
    torch.save(content, path)
    return path


@pytest.mark.parametrize('wrapped', [True, False])
def test_classifier_to_official(tmp_path, wrapped):
    theirs = official()
    ours, _ = from_official(theirs)
    raw = {f'module.{k}': v * 0 for k, v in ours.items()}
    src, dst = tmp_path / 'epoch_12.pth', tmp_path / 'new' / '14.pth.tar'
    if wrapped:
        trained(src, ours, ema_state_dict=raw, optimizer={}, message_hub={})
    else:
        torch.save(ours, src)
    found = convert_checkpoint(src, dst, to_official=True)
    assert found.name == 'cream-14m' and ('EMAHook' in found.source) == wrapped
    assert not zipfile.is_zipfile(dst)  # torch 1.2 reads it
    content = torch.load(dst, weights_only=True)
    assert content['version'] == 2 and content['epoch'] == (12 if wrapped else 0)
    assert content['arch'] == 'cream-14m'
    for entry in ('state_dict', 'state_dict_ema'):
        assert list(content[entry]) == list(theirs)
        assert_equal(content[entry], theirs)
    assert dst.stat().st_size < 1.2 * sum(v.nbytes for v in theirs.values())  # stored once

    convert_checkpoint(dst, again := tmp_path / 'again.pth')
    assert_equal(load_weights(again), ours)


def test_search_to_official(tmp_path):
    ours, _ = from_official(official_supernet(DEAD_SMALL))
    board = {'board.length': torch.tensor(2), 'board.images': torch.zeros(3)}
    src = trained(tmp_path / 'search.pth', {**ours, **board})
    found = convert_checkpoint(src, dst := tmp_path / 'search.pth.tar', to_official=True)
    notes = ' '.join(found.notes)
    assert 'board was left out' in notes and 'added blocks.3.4.* (132 tensors)' in notes
    expected = official_shapes(depths=DEAD_SMALL, num_classes=10, dead=True)
    assert list(shapes_of(torch.load(dst, weights_only=True)['state_dict'])) == list(expected)
    assert found.num_tensors == len(expected) and found.layout.has_dead_layer


def test_single_layers_that_the_released_code_ignores(tmp_path):
    src = trained(tmp_path / 'a.pth', from_official(official(UNPUBLISHED))[0])
    found = convert_checkpoint(src, tmp_path / 'b.pth.tar', to_official=True)
    strides, note = found.notes
    assert '[[0],[0],[2,5],[0,4,1],[1],[3],[0]]' in note and 'do not load' in note
    assert 'strides leave no trace in weights' in strides


# --- other checkpoints ---


def without(weights, *starts):
    return {k: v for k, v in weights.items() if not k.startswith(starts)}


BROKEN = {
    'missing': (
        lambda w: without(w, 'blocks.1.0.conv_dw', 'bn1.bias'),
        ['2 missing, 0 different and 0 unexpected', 'missing     bn1.bias  16'],
    ),
    'no classifier': (lambda w: without(w, 'classifier'), ['missing     classifier.weight']),
    'a stage': (
        lambda w: without(w, 'blocks.4'),
        ['missing     blocks.4.0.conv_pw', 'and 14 more'],
    ),
    'a layer in between': (
        lambda w: {k.replace('blocks.2.1', 'blocks.2.2'): v for k, v in w.items()},
        ['missing     blocks.2.1.conv_pw', 'unexpected  blocks.2.2.conv_pw'],
    ),
    'extra': (lambda w: {**w, 'x.y': torch.zeros(2, 3)}, ['1 unexpected', 'unexpected  x.y  2x3']),
    'shape': (
        lambda w: {**w, 'blocks.2.0.se.conv_reduce.weight': torch.zeros(36, 144, 1, 1)},
        ['1 different', 'conv_reduce.weight  36x144x1x1, expected 40x144x1x1'],
    ),
    'a forged name': (
        lambda w: {**w, 'a\n\x1b[31m' + 'b' * 999: torch.zeros(1)},
        ['unexpected  a\\n\\x1b[31mb', 'bbb  1'],
    ),
    'no shape': (lambda w: {**w, 'classifier.weight': torch.tensor(0.0)}, ['scalar, expected 10x']),
    'type': (
        lambda w: {**w, 'bn1.weight': torch.zeros(16, dtype=torch.int64)},
        ['type        bn1.weight  torch.int64, expected floating point'],
    ),
    'every kind': (
        lambda w: {**without(w, 'blocks.5'), 'x': torch.zeros(1), 'bn1.bias': torch.zeros(2)},
        ['19 missing, 1 different and 1 unexpected', 'unexpected  x  1', 'bn1.bias  2', '16 more'],
    ),
    'far away': (
        lambda w: {k: v[:1] if v.dim() else v for k, v in w.items()},
        ['its classifier has 1 outputs'],
    ),
    'another space': (
        lambda w: {k: v[: len(v) // 2] if v.dim() else v for k, v in w.items()},
        ['no checkpoint of a Cream network', 'width_mult=1'],
    ),
    'a wider space': (
        lambda w: {**w, 'blocks.2.1.conv_pw.weight': torch.zeros(8, 40, 1, 1)},
        ['blocks.2.1 is none of the known choices', 'DIL_CONV) are not supported'],
    ),
    'a residual unit': (
        lambda w: {**without(w, 'blocks.2.1'), 'blocks.2.1.conv1.weight': torch.zeros(8)},
        ['blocks.2.1 is none of the known choices', 'RESUNIT'],
    ),
    'resnet': (
        lambda w: {'conv1.weight': torch.zeros(2), 'layer1.0.bn1.bias': torch.zeros(2)},
        ['not a Cream checkpoint', 'conv1.weight, layer1.0.bn1.bias'],
    ),
    'a huge layer number': (
        lambda w: {**w, 'blocks.1.999.x': torch.zeros(1), 'blocks.1.9999999.x': torch.zeros(1)},
        ['blocks.1.999 is none of the known choices'],
    ),
    'ours': (lambda w: from_official(w)[0], ["names are cream_mm's already", '--to official']),
    'no names': (lambda w: dict(enumerate(w.values())), ['tensors have no name']),
    'no tensors': (lambda w: dict.fromkeys(w, 0), ['holds no weights']),
}


@pytest.mark.parametrize('case', BROKEN)
def test_one_clear_error(tmp_path, case):
    change, words = BROKEN[case]
    src = save_official(tmp_path / 'a.pth.tar', change(official()))
    (dst := tmp_path / 'b.pth').write_text('old')
    with pytest.raises(ValueError) as error:
        convert_checkpoint(src, dst)
    text = str(error.value)
    assert text.startswith(f'{src} cannot be converted: ') and text.count('\n') <= 6
    for word in words:
        assert word in text, text
    assert dst.read_text() == 'old' and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda w: without(w, 'blocks.1.0.3.bn2'), ['supernet of depths', '4 missing', '3.bn2']),
        (lambda w: {**w, 'meta_layer.weight': torch.zeros(1, 39)}, ['1x39, expected 1x40']),
        (lambda w: without(w, 'meta_layer.weight'), ['missing     meta_layer.weight  1x']),
        (
            lambda w: {**w, **{k.replace('.5.', '.6.'): w[k] for k in w if '.0.5.' in k}},
            ['7 choices per layer', 'RESUNIT, DIL_CONV) are not supported'],
        ),
        (lambda w: {k: v for k, v in w.items() if '.0.5.' not in k}, ['5 choices', 'six choices']),
        (
            lambda w: {**w, **{k.replace('s.1.0', f's.1.{i}'): v for i in range(1, 5)
                               for k, v in w.items() if 's.1.0' in k}},
            ['depths [5, 1, 1, 1, 1]', 'at most 4 layers per stage'],
        ),
    ],
    ids=['missing', 'matching', 'half a matching', 'wider', 'narrower', 'deeper'],
)  # fmt: skip
def test_one_clear_error_about_a_supernet(change, words):
    with pytest.raises(ValueError) as error:
        from_official(change(official_supernet()))
    for word in words:
        assert word in str(error.value)


def test_what_cannot_be_official():
    classifier = create_model('cream-14m', num_classes=10).state_dict()
    backbone = {k: v for k, v in classifier.items() if k.startswith('backbone.')}
    deep = official_supernet(DEAD_SMALL, dead=True)
    deep = {('head.' if k[:2] in ('cl', 'co') and 'stem' not in k else 'backbone.') + k: v
            for k, v in deep.items() if 'meta' not in k}  # fmt: skip
    cases = [
        (official(), ['official already', 'leave out --to official']),
        (backbone, ['head.classifier.weight', 'backbone alone']),
        ({k.removeprefix('backbone.'): v for k, v in backbone.items()}, ['begin with conv_stem']),
        ({**backbone, 'neck.w': torch.zeros(1), 'bbox_head.w': torch.zeros(1)}, ['bbox_head']),
        (create_model('cream-14m', space=dict(width_mult=0.5)).state_dict(), ['width_mult=1']),
        (tiny_cream().state_dict(), ['2 choices per layer', 'six choices']),
        ({**classifier, 'extra.w': torch.zeros(3)}, ['unexpected  extra.w  3']),
        ({**classifier, 'backbone.conv_head.bias': torch.zeros(3)}, ['backbone.conv_head.bias']),
        (without(classifier, 'head.conv_head.bias'), ['missing     head.conv_head.bias  1280']),
        (deep, ['depths [1, 1, 5, 1, 1]', 'at most 4']),
    ]
    for weights, words in cases:
        with pytest.raises(ValueError) as error:
            to_official(weights)
        for word in words:
            assert word in str(error.value)


# --- where to write ---


def test_places_that_cannot_be_written(tmp_path):
    src = save_official(tmp_path / '14.pth.tar', official())
    before = src.read_bytes()
    (tmp_path / 'file').write_text('')
    for dst in (src, tmp_path, tmp_path / 'file' / 'x.pth', tmp_path / 'x.json'):
        with pytest.raises(ValueError, match='cannot (write|be the converted)'):
            convert_checkpoint(src, dst)
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        convert_checkpoint(tmp_path / 'gone.pth', tmp_path / 'x.pth')
    assert src.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {'14.pth.tar', 'file'}


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_read_only_folder(tmp_path):
    src = save_official(tmp_path / '14.pth.tar', official())
    (folder := tmp_path / 'locked').mkdir(mode=0o555)
    with pytest.raises(ValueError, match='cannot write .*locked/x.pth: Permission denied'):
        convert_checkpoint(src, folder / 'x.pth')


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    src = save_official(tmp_path / '14.pth.tar', official())
    (dst := tmp_path / 'x.pth').write_text('old')

    def full(number):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(ValueError, match='^cannot write .*x.pth: No space left on device$'):
        convert_checkpoint(src, dst)
    assert dst.read_text() == 'old' and len(list(tmp_path.iterdir())) == 2


# --- untrusted files ---


class Call:
    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('where', ['args', 'list', 'meta', 'weights', 'ema', 'optimizer'])
def test_nothing_is_executed(tmp_path, where, zipped):
    marker = tmp_path / 'marker'
    attack = Call(os.system, f'touch {marker}')
    weights, ema, more = official(), official(), {}
    if where == 'weights':
        weights['extra'] = attack
    elif where == 'ema':
        ema['extra'] = attack
    elif where == 'list':
        more = dict(history=[1, [2, [attack, (attack,)]]])
    else:
        more = {where: attack if where == 'args' else dict(cfg=attack)}
    src = save_official(tmp_path / 'a.pth.tar', weights, ema, zipped=zipped, **more)
    found = convert_checkpoint(src, dst := tmp_path / 'b.pth')
    assert found.name == 'cream-14m' and not marker.exists()
    torch.load(dst, weights_only=True)
    torch.load(src, weights_only=False)
    assert marker.exists()  # the attack would have worked


def test_classes_that_are_not_installed(tmp_path, monkeypatch):
    """The released code pickles its yacs config."""
    module = types.ModuleType('yacs.config')

    class CfgNode(dict):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = 'yacs.config', 'CfgNode'
    module.CfgNode = CfgNode
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', types.ModuleType('yacs'))
        patch.setitem(sys.modules, 'yacs.config', module)
        node = CfgNode(LR=0.1)
        node.frozen = True
        args = argparse.Namespace(cfg=node, seed=1)
        src = save_official(tmp_path / 'a.pth.tar', official(), args=args, cfg=node)
    assert convert_checkpoint(src, tmp_path / 'b.pth').name == 'cream-14m'


def text(value):
    value = value.encode()
    return b'X' + len(value).to_bytes(4, 'little') + value


def test_forged_source_code_is_not_written(tmp_path, recwarn):
    """torch's loader of old files writes a "patch" where a function's source code has changed."""
    state = (
        b'N}(' + text('__name__') + text(str(tmp_path / 'hole')) + text('dump_patches') + b'\x88u'
    )
    function = b'ctorch._utils\n_rebuild_tensor_v2\n' + state + b'\x86b'
    code = b'\x80\x02(' + text('module') + function + text('a.py') + text('forged') + b'tQ.'
    start = (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})
    content = b''.join(pickle.dumps(part, 2) for part in start) + code + pickle.dumps([], 2)
    (src := tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(ValueError):
        load_checkpoint_file(src)
    assert torch._utils._rebuild_tensor_v2.__name__ == '_rebuild_tensor_v2'
    assert not hasattr(torch._utils._rebuild_tensor_v2, 'dump_patches')
    assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


def test_programs_and_archives_are_refused(tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError('not to be called')

    script, tar = tmp_path / 'script.pth', tmp_path / 'tar.pth'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.script(nn.Linear(2, 2)).save(str(script))
    with tarfile.open(tar, 'w') as archive:
        for name in ('storages', 'tensors', 'pickle'):
            info = tarfile.TarInfo(name)
            info.size = len(data := pickle.dumps(0))
            archive.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(torch.jit, 'load', never)
    monkeypatch.setattr(tarfile.TarFile, 'extract', never)
    for src, word in ((script, 'TorchScript'), (tar, 'tar archive')):
        with pytest.raises(ValueError, match=f'not a readable checkpoint.*{word}'):
            convert_checkpoint(src, tmp_path / 'b.pth')


def test_hooks_and_wrong_strides_stay_behind(tmp_path):
    """Arguments of the functions that are allowed."""
    storage, size = torch.zeros(4), torch.Size
    good = Call(torch._utils._rebuild_tensor_v2, storage.storage(), 0, size([4]), (1,), True,
                {1: print})  # fmt: skip
    torch.save(dict(w=good), src := tmp_path / 'a.pth')
    weight = load_weights(src)['w']
    assert not weight._backward_hooks and not weight.requires_grad
    for arguments in [(0, (5,), (1,)), (1, (4,), (1,)), (0, (2**40,), (1,)), (0, (4,), (-1,))]:
        bad = Call(torch._utils._rebuild_tensor_v2, storage.storage(), *arguments, False, {})
        torch.save(dict(w=bad), src)
        with pytest.raises(ValueError, match='not a readable checkpoint'):
            load_weights(src)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('size', [0, 3, 4, 100, 5000, 10**6])
def test_truncated(tmp_path, size, zipped):
    src = save_official(tmp_path / 'a.pth.tar', official(), zipped=zipped)
    src.write_bytes(src.read_bytes()[:size])
    with pytest.raises(ValueError, match='a.pth.tar is not a readable checkpoint'):
        convert_checkpoint(src, tmp_path / 'b.pth')
    assert not (tmp_path / 'b.pth').exists()


@pytest.mark.parametrize('content', [b'# notes\n', b'{"arch": []}', pickle.dumps({'a': 1})])
def test_other_files(tmp_path, content):
    (src := tmp_path / 'a.txt').write_bytes(content)
    # A byte that is no code of a pickle is no reason that anybody understands.
    with pytest.raises(ValueError, match=r'a.txt is not a readable checkpoint.*\D$'):
        convert_checkpoint(src, tmp_path / 'b.pth')


# --- without conversion ---


def test_official_files_are_read_as_they_are(tmp_path):
    ema, raw = official(num_classes=7), official(num_classes=7, seed=1)
    src = save_official(tmp_path / '14.pth.tar', raw, ema)
    expected = from_official(ema)[0]
    model = create_model('cream-14m', num_classes=7, checkpoint=src)
    assert_equal(model.state_dict(), expected)
    features = create_model('cream-14m', features_only=True, checkpoint=src)
    backbone = {k[9:]: v for k, v in expected.items() if k.startswith('backbone.')}
    assert_equal(features.state_dict(), backbone)

    del ema['conv_head.bias']
    save_official(src, raw, ema)
    with pytest.raises(ValueError, match=r'14\.pth\.tar: .* 1 missing'):
        create_model('cream-14m', num_classes=7, checkpoint=src)


def test_a_path_is_cut_out_of_an_official_supernet(tmp_path):
    weights = official_supernet(DEAD_SMALL)
    src = save_official(tmp_path / 'supernet.pth.tar', weights)
    arch = '[[0],[1],[2],[3,4,5,0],[1],[2],[0]]'
    files = export_arch(arch, str(src), str(tmp_path / 'out'), root=str(ROOT))
    net = create_model(arch, checkpoint=files['weights'], num_classes=10).state_dict()
    for ours, theirs in {
        'backbone.blocks.3.2.conv_dw.weight': 'blocks.3.2.5.conv_dw.weight',
        'backbone.blocks.5.0.bn3.running_var': 'blocks.5.0.2.bn3.running_var',
        'head.conv_head.bias': 'conv_head.bias',
    }.items():
        assert torch.equal(net[ours], weights[theirs])
