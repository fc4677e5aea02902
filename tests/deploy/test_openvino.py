"""OpenVINO's files say what the ONNX file says, in float32 and with the same metadata."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from cream_mm.deploy import openvino as module
from cream_mm.deploy.onnx_file import read_about, write_about
from cream_mm.deploy.openvino import Precision, compare_default, convert
from cream_mm.deploy.runtimes import openvino_session

ABOUT = dict(
    task='classification', classes=['cat', 'dog'], input=dict(order='RGB'), normalisation={},
    resize=None, outputs=dict(probabilities='(N, 2)'), weights=dict(file='a.pth'),
)  # fmt: skip
NET = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3, 4, 4] image, float[48, 2] w) => (float[N, 2] probabilities) {
    flat = Flatten (image)
    logits = Gemm (flat, w)
    probabilities = Softmax <axis = 1> (logits)
}
"""


@pytest.fixture
def file(tmp_path):
    model = parser.parse_model(NET)
    weight = np.random.default_rng(0).normal(size=(48, 2)).astype(np.float32) / 10
    model.graph.initializer.append(numpy_helper.from_array(weight, 'w'))
    del model.graph.input[1]
    write_about(model, ABOUT)
    onnx.save(model, tmp_path / 'model.onnx')
    return tmp_path / 'model.onnx', weight


def test_the_files_are_float32_and_have_the_metadata(file):
    openvino = pytest.importorskip('openvino')
    path, weight = file
    xml = convert(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ['model.bin', 'model.onnx', 'model.xml']
    content = xml.with_suffix('.bin').read_bytes()
    assert any(w.tobytes() in content for w in (weight, weight.T))  # not in half precision
    model = openvino.Core().read_model(xml)
    assert json.loads(model.get_rt_info('cream_mm').astype(str)) == read_about(path)

    x = np.random.default_rng(1).uniform(-1, 1, (3, 3, 4, 4)).astype(np.float32)
    exact = openvino_session(xml, precision='f32')
    logits = np.exp(x.reshape(3, -1) @ weight)
    expected = logits / logits.sum(1, keepdims=True)
    np.testing.assert_allclose(exact(x)['probabilities'], expected, atol=1e-6)
    found = compare_default(xml, exact, x)
    assert found.output == 'probabilities' and found.tolerance == module.TOLERANCES[found.name]
    assert found.difference <= found.tolerance
    path.write_bytes(b'no model')
    with pytest.raises(ValueError, match='is no ONNX file'):
        convert(path)


def test_a_difference_is_told_with_the_precision():
    line = Precision('bf16', 'probabilities', 0.03, 0.1).line()
    assert 'is bf16: probabilities differ by at most 3.0e-02 from float32, 1e-01 is usual' in line
    assert 'INFERENCE_PRECISION_HINT to f32' in Precision('bf16', 'scores', 0.3, 0.1).line()


def test_without_the_package_it_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(ImportError, match=r'pip install "cream-mm\[openvino\]"'):
        convert(file[0])
