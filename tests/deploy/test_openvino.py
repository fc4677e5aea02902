"""OpenVINO's pair of files says what the ONNX file says, in numbers and of itself."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cream_mm.deploy.onnx_file import write_about
from cream_mm.deploy.openvino import convert
from cream_mm.deploy.runtimes import openvino_session

ABOUT = dict(
    task='classification', classes=['a'], input={}, normalisation={}, resize=None, outputs={},
    weights={},
)  # fmt: skip


def write(path):
    sides = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ['n', 3]) for x in ('image', 'b')]
    node = helper.make_node('Softmax', ['image'], ['b'], axis=1)
    model = helper.make_model(
        helper.make_graph([node], 'g', sides[:1], sides[1:]),
        opset_imports=[helper.make_opsetid('', 17)],
    )
    write_about(model, ABOUT)
    onnx.save(model, path)
    return path


def test_numbers_and_metadata(tmp_path):
    openvino = pytest.importorskip('openvino')
    out = convert(write(tmp_path / 'model.onnx'))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['model.bin', 'model.onnx', 'model.xml']
    values = np.array([[1, 2, 3], [0, 0, 5]], np.float32)
    expected = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    np.testing.assert_allclose(openvino_session(out)(values)['b'], expected, rtol=1e-5)
    about = openvino.Core().read_model(str(out)).get_rt_info('cream_mm').astype(str)
    assert json.loads(about) == dict(ABOUT, format=1)


def test_without_the_package_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'openvino', None)
    with pytest.raises(ImportError, match=r'cream-mm\[openvino\]'):
        convert(write(tmp_path / 'model.onnx'))
