import numpy as np
import pytest
import torch
from mmpretrain import inference_model
from mmpretrain.models.classifiers import ImageClassifier
from PIL import Image

import cream_mm
from cream_mm import create_model
from cream_mm.files import write_json
from cream_mm.models import CreamNet, NASBench201Supernet


def test_list_models():
    names = cream_mm.list_models()
    assert names == [
        *(f'cream-{n}m' for n in (14, 43, 114, 287, 481, 604)),
        *(f'dna-{letter}' for letter in 'abcd'), 'lite0', 'lite1', 'lite2', 'naonet-v2',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'edge', 'side'),
    [('cream-14m', 73, 64), ('dna-a', 256, 224), ('lite0', 256, 224), ('lite1', 272, 240),
     ('lite2', 292, 260), ('naonet-v2', 32, 32)],
)  # fmt: skip
def test_how_an_image_is_prepared(name, edge, side):
    model = cream_mm.create_model(name)
    _, resize, crop, _ = model._config.test_dataloader.dataset.pipeline
    assert (resize.scale, crop.crop_size, resize.interpolation) == (edge, side, 'bicubic')
    mean, std = (model.data_preprocessor.mean.flatten(), model.data_preprocessor.std.flatten())
    lite = name.startswith('lite')
    of_name = (
        ([127] * 3, [128] * 3) if lite else ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )
    if name == 'naonet-v2':  # of CIFAR-10
        of_name = [125.307, 122.95, 113.865], [62.993, 62.089, 66.705]
    assert (mean.tolist(), std.tolist()) == tuple(map(pytest.approx, of_name))
    assert model.data_preprocessor.to_rgb


def test_maps_of_every_published_network():
    for name in cream_mm.list_models():
        backbone = cream_mm.create_model(name, features_only=True)
        maps = backbone(torch.rand(1, 3, 64, 96))
        strides = (1, 2, 4) if name == 'naonet-v2' else (4, 8, 16, 32)
        assert [tuple(x.shape[2:]) for x in maps] == [(64 // s, 96 // s) for s in strides]
        assert tuple(x.shape[1] for x in maps) == backbone.out_channels


@pytest.mark.parametrize(
    'arch', ['cream-14m', [[0], [0], [3, 3], [3, 3], [1], [3], [0]],
             '[[0],[0],[3,3],[3,3],[1],[3],[0]]']
)  # fmt: skip
def test_a_name_and_its_list_are_one_network(arch):
    model = cream_mm.create_model(arch)
    assert isinstance(model, ImageClassifier) and not model.training
    assert sum(p.numel() for p in model.parameters()) == 2_673_096


def test_a_published_network_of_cells():
    model = cream_mm.create_model('naonet-v2').eval()
    assert sum(p.numel() for p in model.parameters()) == 4_387_654
    with torch.no_grad():
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    small = cream_mm.create_model('naonet-v2', space=dict(channels=4, num_cells=1), num_classes=3)
    assert small.backbone.out_channels == (64,) and small.head.classifier.out_features == 3
    assert small.backbone.arch == model.backbone.arch


def test_classes_and_features():
    assert cream_mm.create_model('cream-14m', num_classes=7)(torch.rand(2, 3, 64, 64)).shape == (
        2,
        7,
    )
    backbone = cream_mm.create_model('cream-14m', features_only=True)
    assert isinstance(backbone, CreamNet)
    shapes = [tuple(f.shape[1:]) for f in backbone(torch.rand(1, 3, 64, 96))]
    assert shapes == [(24, 16, 24), (40, 8, 12), (96, 4, 6), (320, 2, 3)]


def test_checkpoint_goes_into_classifier_and_backbone(tmp_path):
    first = cream_mm.create_model('cream-14m', num_classes=5)
    torch.save(dict(state_dict=first.state_dict()), tmp_path / 'w.pth')
    second = cream_mm.create_model('cream-14m', num_classes=5, checkpoint=tmp_path / 'w.pth')
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(first(x), second(x))
    features = cream_mm.create_model(
        'cream-14m', checkpoint=tmp_path / 'w.pth', features_only=True, out_indices=(6,)
    )
    assert torch.equal(features(x)[0], first.backbone(x)[0])


def test_wrong_checkpoint_is_refused(tmp_path):
    torch.save(dict(state_dict=cream_mm.create_model('cream-14m').state_dict()), tmp_path / 'w.pth')
    with pytest.raises(ValueError, match='does not fit'):
        cream_mm.create_model('cream-43m', checkpoint=tmp_path / 'w.pth')


def test_exported_file_brings_space_classes_and_size(tmp_path):
    content = dict(
        format='cream_mm.arch/1', arch=[[0], [0], [1], [2], [3], [4], [0]],
        space=dict(depths=[1] * 5, width_mult=0.5, stem_stride=1), num_classes=4,
        head_channels=64, input_size=[32, 32],
    )  # fmt: skip
    write_json(tmp_path / 'arch.json', content)
    model = cream_mm.create_model(str(tmp_path / 'arch.json'))
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 4)
    assert model.backbone.conv_stem.out_channels == 8 and model.backbone.conv_stem.stride == (1, 1)


def test_an_export_of_several_labels_answers_each_for_itself(tmp_path):
    content = dict(
        format='cream_mm.arch/1', arch=[[0], [0], [1], [2], [3], [4], [0]],
        space=dict(depths=[1] * 5, width_mult=0.5, stem_stride=1), num_classes=4,
        head_channels=64, input_size=[32, 32], multi_label=True,
    )  # fmt: skip
    write_json(tmp_path / 'arch.json', content)
    model = cream_mm.create_model(str(tmp_path / 'arch.json'))
    maps = (torch.rand(1, model.head.in_channels, 2, 2),)
    (sample,) = model.head.predict(maps)
    torch.testing.assert_close(sample.pred_score, model.head(maps)[0].sigmoid())
    write_json(tmp_path / 'arch.json', dict(content, multi_label='yes'))
    with pytest.raises(ValueError, match='"multi_label" is yes'):
        cream_mm.create_model(str(tmp_path / 'arch.json'))


def test_mmpretrain_infers_with_it(tmp_path):
    path = tmp_path / 'photo.jpg'
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    result = inference_model(cream_mm.create_model('cream-14m', num_classes=3), str(path))
    assert 0 <= result['pred_label'] < 3 and 0 < result['pred_score'] <= 1


@pytest.mark.parametrize('arch', ['cream-288m', 'missing.json', [[0], [9], [0]], [3, 3]])
def test_wrong_arch_is_one_clear_error(arch):
    with pytest.raises(ValueError):
        cream_mm.create_model(arch)


def test_weights_of_a_larger_network_are_refused(tmp_path):
    larger = cream_mm.create_model([[0], [0], [3, 3], [3, 1, 3], [3, 3], [3], [0]], num_classes=10)
    torch.save(dict(state_dict=larger.state_dict()), tmp_path / 'larger.pth')
    with pytest.raises(ValueError, match='0 of its .* of the file are not in it, first backbone'):
        cream_mm.create_model(
            [[0], [0], [3, 3], [3, 1], [3, 3], [3], [0]],
            num_classes=10,
            checkpoint=tmp_path / 'larger.pth',
        )


def test_in_another_scope():
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        assert cream_mm.create_model('cream-14m', num_classes=3).head.num_classes == 3


CELL = (
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|'
    '+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|'
)


def test_a_cell_is_the_network_of_its_benchmark():
    """Its parameters are those of the benchmark's table, for 10 and for 100 classes."""
    for classes, params in ((10, 1_073_466), (100, 1_079_316)):
        model = create_model(CELL, num_classes=classes)
        assert sum(p.numel() for p in model.parameters()) == params
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, classes)
    steps = model._config.test_dataloader.dataset.pipeline
    assert steps[1].scale == steps[2].crop_size == 32  # nothing is cropped
    maps = create_model(CELL, features_only=True, space=dict(num_cells=1, stem_stride=4))(
        torch.zeros(1, 3, 64, 64)
    )
    assert [tuple(x.shape[1:]) for x in maps] == [(16, 16, 16), (32, 8, 8), (64, 4, 4)]


def test_weights_of_another_cell_are_refused(tmp_path):
    other = CELL.replace('skip_connect~0', 'nor_conv_1x1~0')
    for name, arch in (('more.pth', other), ('same.pth', CELL)):
        net = create_model(arch, features_only=True, space=dict(num_cells=1, channels=4))
        torch.save(dict(state_dict=net.state_dict(prefix='backbone.')), tmp_path / name)
    space = dict(num_cells=1, channels=4)
    load = dict(features_only=True, space=space)
    again = create_model(CELL, checkpoint=str(tmp_path / 'same.pth'), **load)
    assert torch.equal(again.stem[0].weight, torch.load(tmp_path / 'same.pth')['state_dict'][
        'backbone.stem.0.weight'])  # fmt: skip
    with pytest.raises(ValueError, match=r'beyond it: cells\.0\.layers\.3\.op\.1\.weight'):
        create_model(CELL, checkpoint=str(tmp_path / 'more.pth'), **load)  # an edge too many
    with pytest.raises(ValueError, match=r'cells\.0\.layers\.3\.op\.1\.weight'):
        create_model(other, checkpoint=str(tmp_path / 'same.pth'), **load)
    supernet = NASBench201Supernet(space).state_dict(prefix='backbone.')
    torch.save(dict(state_dict=supernet), tmp_path / 'supernet.pth')
    with pytest.raises(ValueError, match='a supernet: tools/export_arch.py cuts a path out of it'):
        create_model(CELL, checkpoint=str(tmp_path / 'supernet.pth'), **load)
