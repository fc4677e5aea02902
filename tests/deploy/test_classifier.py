"""The graph of a classifier, run by onnxruntime, is the model through its own preprocessor."""

import numpy as np
import onnx
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from cream_mm import create_model
from cream_mm.apis.time_networks import fit_norms
from cream_mm.deploy import parity
from cream_mm.deploy.classifier import Normalise, graph_of
from cream_mm.deploy.describe import graph_of as graph_and_words
from cream_mm.deploy.describe import onnx_content
from cream_mm.deploy.runtimes import onnxruntime_session
from cream_mm.registry import MODELS
from cream_mm.testing.tiny import tiny_space

CELL = '|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|'
NAO = '1 1 0 1 0 4 1 0 0 2 1 2 0 3 1 3 0 4 1 4 | 0 2 0 2 0 1 1 1 0 3 1 3 0 0 1 1 0 4 1 0'
SPACES = {
    'cream, with gates': ([[0], [0, 1], [1, 0], [0]], dict(space=tiny_space())),
    'lite, padded as TensorFlow does': (
        [[0], [0, 1], [1, 0], [0]],
        dict(space=tiny_space(padding='same', se='none', act='relu6', stem_stride=2)),
    ),
    'nas-bench-201': (CELL, dict(space=dict(num_cells=1, channels=4))),
    'nao': (NAO, dict(space=dict(num_cells=1, channels=4))),
}


def about_of(task='classification', size=(32, 33), dynamic=('batch', 'size'), classes=4, **more):
    return dict(
        task=task, classes=[f'class {i}' for i in range(classes)],
        input=dict(order='RGB', range=[0, 255], size=list(size), dynamic=list(dynamic), **more),
        normalisation={}, resize=None, outputs={}, weights={}, opset=17,
    )  # fmt: skip


def make_model(arch, **kwargs):
    torch.manual_seed(0)
    model = create_model(arch, num_classes=4, **kwargs)
    fit_norms(model, (2, 3, 32, 32))
    return model


def write(path, model, about):
    graph, names = graph_and_words(model, about, dynamic_size='size' in about['input']['dynamic'])
    path.write_bytes(onnx_content(graph, names, about))
    return onnxruntime_session(path, threads=1)


@pytest.mark.parametrize(
    'name, task',
    [
        ('cream, with gates', 'classification'),
        ('cream, with gates', 'maps'),
        ('lite, padded as TensorFlow does', 'classification'),
        ('nas-bench-201', 'maps'),
        ('nao', 'maps'),
    ],
)
def test_networks_of_all_spaces_at_any_batch_and_size(name, task, tmp_path):
    arch, kwargs = SPACES[name]
    model = make_model(arch, **kwargs)
    about = about_of(task)
    before = model.backbone.out_indices
    run = write(tmp_path / 'm.onnx', model, about)
    report = parity.check('m.onnx', run, model, None, about=about)
    assert report.passed, report.lines
    assert model.backbone.out_indices == before
    assert {'batches', 'sizes', 'uniform'} <= set(report.numbers)
    if task == 'maps' and name.startswith('na'):
        assert list(about['outputs']) == ['map_0', 'map_1', 'map_2']


def test_blue_first_and_several_labels(tmp_path):
    preprocess = dict(mean=[10.0, 120.0, 200.0], std=[20.0, 60.0, 90.0], to_rgb=False)
    model = make_model([[0], [0, 1], [1, 0], [0]], space=tiny_space())
    head = dict(type='cream_mm.CreamMultiLabelClsHead', num_classes=4, in_channels=32)
    model.head = MODELS.build(head).eval()
    model.head.classifier.weight.data.normal_()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model.data_preprocessor = MODELS.build(
            dict(preprocess, type='mmpretrain.ClsDataPreprocessor')
        )
    about = about_of('multi-label')
    run = write(tmp_path / 'm.onnx', model, about)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 33, 3), dtype=np.uint8)  # RGB
    bgr = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy())
    with torch.no_grad():
        (sample,) = model.val_step(dict(inputs=[bgr], data_samples=[DataSample()]))
    (got,) = run(image.transpose(2, 0, 1)[None].astype(np.float32))['probabilities']
    np.testing.assert_allclose(got, sample.pred_score, atol=1e-5)
    assert np.ptp(got) > 0.01 and abs(got.sum() - 1) > 0.1
    words = Normalise(model.data_preprocessor)
    assert words.in_words()['mean'] == [200.0, 120.0, 10.0]  # of red, green, blue
    assert words.colour(1.0) == [290.0, 180.0, 30.0]
    model.data_preprocessor.pad_size_divisor = 16
    padded = model.data_preprocessor(dict(inputs=[bgr]))['inputs']
    rgb = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    assert padded.shape[2:] == (32, 48)
    torch.testing.assert_close(Normalise(model.data_preprocessor)(rgb), padded)


def test_what_is_fixed_is_declared_fixed_and_two_exports_are_equal(tmp_path):
    model = make_model([[0], [0, 1], [1, 0], [0]], space=tiny_space()).train()
    contents = []
    for _ in range(2):
        about = about_of(size=(24, 32), dynamic=(), batch=3)
        graph, names = graph_and_words(model, about)
        contents.append(onnx_content(graph, names, about))
    assert contents[0] == contents[1]
    graph = onnx.load_from_string(contents[0]).graph
    sides = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert (graph.input[0].name, sides) == ('image', [3, 3, 24, 32])
    path = tmp_path / 'm.onnx'
    path.write_bytes(contents[0])
    run = onnxruntime_session(path, threads=1)
    assert parity.check(path, run, model.eval(), None, about=about).passed
    with pytest.raises(Exception, match='[Dd]imension'):
        run(np.zeros((1, 3, 24, 32), np.float32))


def test_what_is_no_classifier_is_refused():
    class Other(torch.nn.Module):
        data_preprocessor = torch.nn.Identity()

    with pytest.raises(ValueError, match='Identity does not become ONNX'):
        graph_of(Other())
    model = make_model([[0], [0, 1], [1, 0], [0]], space=tiny_space())
    model.head = torch.nn.Linear(3, 3)
    with pytest.raises(ValueError, match='with Linear does not become ONNX'):
        graph_of(model)
