"""What ONNX makes of a module is what PyTorch makes of it."""

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from cream_mm import create_model
from cream_mm.apis.export_onnx import export_onnx, onnx_bytes
from cream_mm.apis.time_networks import fit_norms


def answers(path, x):
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


@pytest.mark.parametrize('size', [(64, 64), (75, 50)])
@pytest.mark.parametrize('space', ['cream', 'lite0'])  # padded by half, and as TensorFlow does
def test_a_classifier(space, size, tmp_path):
    ends = [[0], [0], [3], [5], [2], [4], [0]]
    arch = ends if space == 'cream' else [*ends[:-1], [1], [0]]
    model = create_model(arch, num_classes=10, space=space)
    fit_norms(model, (2, 3, *size))
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(x)
    path = export_onnx(model, tmp_path / 'net.onnx', x.shape)
    (got,) = answers(path, x)
    assert expected.std() > 0.01
    limit = 1e-4 * float(expected.abs().max())
    torch.testing.assert_close(torch.tensor(got), expected, rtol=0, atol=limit)
    graph = onnx.load(path).graph
    assert [i.name for i in graph.input] == ['input']
    assert [o.name for o in graph.output] == ['output']
    assert not [node for node in graph.node if node.op_type == 'BatchNormalization']


def test_the_maps_of_a_backbone_with_names_and_an_open_batch(tmp_path):
    net = create_model([[0], [0], [3], [5], [2], [4], [0]], features_only=True)
    fit_norms(net, (2, 3, 64, 64))
    names = ['c2', 'c3', 'c4', 'c5']
    path = export_onnx(
        net, tmp_path / 'maps.onnx', (1, 3, 64, 64), output_names=names, dynamic_batch=True
    )
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = net(x)
    got = answers(path, x)
    assert [o.name for o in onnx.load(path).graph.output] == names
    for mine, theirs in zip(expected, got, strict=True):
        torch.testing.assert_close(torch.tensor(theirs), mine, rtol=0, atol=1e-4)


def test_a_module_stays_in_the_mode_that_it_was_in():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module.train()
    module[1].eval()
    onnx_bytes(module, (1, 3, 8, 8))
    assert [m.training for m in module.modules()] == [True, True, False, True]


def test_what_is_no_function_of_one_tensor_is_refused():
    class Boxes(nn.Module):
        def forward(self, x):
            return dict(x=x)

    with pytest.raises(ValueError, match='Boxes gives dict'):
        onnx_bytes(Boxes(), (1, 3, 8, 8))
    with pytest.raises(ValueError, match='one input and 1 outputs need as many names'):
        onnx_bytes(nn.Identity(), (1, 3, 8, 8), output_names=['a', 'b'])
