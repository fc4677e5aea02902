"""Files run by the runtimes that they are for."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cream_mm.deploy.runtimes import onnxruntime_session, openvino_session


def write(path, opset=17, ir_version=8):
    """image -> half of it, and its double."""
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, ['n', 3, 2, 2])
    outs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ['n', 3, 2, 2]) for x in 'ab']
    half = helper.make_tensor('half', TensorProto.FLOAT, [], [0.5])
    nodes = [
        helper.make_node('Mul', ['image', 'half'], ['a']),
        helper.make_node('Add', ['image', 'image'], ['b']),
    ]
    graph = helper.make_graph(nodes, 'g', [image], outs, [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)])
    model.ir_version = ir_version
    onnx.save(model, path)
    return path


@pytest.mark.parametrize('session', [onnxruntime_session, openvino_session])
def test_outputs_by_name(session, tmp_path):
    if session is openvino_session:
        pytest.importorskip('openvino')
    run = session(write(tmp_path / 'm.onnx'), threads=1)
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    first, second = run(image), run(image + 1)
    np.testing.assert_array_equal(first['a'], image / 2)  # and the second run left it alone
    np.testing.assert_array_equal(second['b'], 2 * image + 2)


def test_a_file_of_a_later_version_is_said_with_the_remedy(tmp_path):
    path = write(tmp_path / 'm.onnx', ir_version=99)
    with pytest.raises(
        ValueError, match=r'onnxruntime .* cannot run .*m.onnx \(opset 17, IR version 99\).*--opset'
    ):
        onnxruntime_session(path)
