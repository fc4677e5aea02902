"""int8 files: scales by hand, what stays in float, errors that name the node."""

import json
import weakref

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from cream_mm.deploy.int8_file import quantize, split

NET = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3, 8, 8] image, float[3, 1, 1] mean, float[4, 3, 1, 1] w1, float[4] b1,
     float[4, 1, 3, 3] w2, float[4, 2] w3) => (float[N, 2] probabilities) {
    [norm] x = Sub (image, mean)
    [first] y = Conv (x, w1, b1)
    [act] z = Relu (y)
    [depth] d = Conv <group = 4, pads = [1, 1, 1, 1]> (z, w2)
    [act2] e = Relu (d)
    [pool] p = GlobalAveragePool (e)
    [flat] f = Flatten (p)
    [last] g = Gemm (f, w3)
    [softmax] probabilities = Softmax <axis = 1> (g)
}
"""
SIZES = np.array([1.0, 0.3, 0.05, 0.002], np.float32)  # of the channels, far apart


def weights():
    rng = np.random.default_rng(0)
    w1 = rng.uniform(-1, 1, (4, 3, 1, 1)) * 0.02
    w2 = rng.uniform(-1, 1, (4, 1, 3, 3)) * SIZES[:, None, None, None]
    w3 = rng.uniform(-1, 1, (4, 2)) / SIZES[:, None]  # small channels count as much
    b1 = [0.1, -0.1, 0.2, 0.0]
    return dict(mean=np.full((3, 1, 1), 100), w1=w1, b1=b1, w2=w2, w3=w3)


def make(path, text=NET, values=None):
    model = parser.parse_model(text)
    for name, value in (values or weights()).items():
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.metadata_props.add(key='cream_mm', value='{"format": 1}')
    onnx.save(model, path)
    return path


def images(number=8):
    return np.random.default_rng(1).uniform(0, 255, (number, 3, 8, 8)).astype(np.float32)


def run(path, x, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 3
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return session.run(None, {'image': x})[0]


def constants(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def test_scales_are_those_of_the_channels_and_of_the_images(tmp_path):
    path, out = make(tmp_path / 'm.onnx'), tmp_path / 'q.onnx'
    x = images()
    found = quantize(path, out, [x[:4], x[4:]])
    assert found == (8, 2, ['last'])
    model = onnx.load(out)
    nodes, values = {n.output[0]: n for n in model.graph.node}, constants(model)

    for conv, name in (('first', 'w1'), ('depth', 'w2')):
        (node,) = (n for n in model.graph.node if n.name == conv)
        scale = values[nodes[node.input[1]].input[1]]
        largest = np.abs(np.float32(weights()[name])).reshape(4, -1).max(1)
        np.testing.assert_allclose(scale, largest / 127, rtol=1e-5)  # one for each channel
    (first,) = (n for n in model.graph.node if n.name == 'first')
    scale, zero = (values[name] for name in nodes[first.input[0]].input[1:])
    normal = x - 100  # both batches, behind the normalisation
    np.testing.assert_allclose(scale, (normal.max() - normal.min()) / 255, rtol=1e-5)
    assert zero == round(-normal.min() / scale)

    # The normalisation, the last layer and softmax take and give float.
    by_name = {n.name: n for n in model.graph.node}
    assert list(by_name['norm'].input) == ['image', 'mean']
    assert by_name['last'].input[1] == 'w3' and values['w3'].dtype == np.float32
    assert list(by_name['softmax'].input) == list(by_name['last'].output)
    (said,) = (json.loads(p.value) for p in model.metadata_props if p.key == 'cream_mm')
    assert said == dict(format=1, int8=dict(images=8, bits=8))
    assert not list(tmp_path.glob('*.tmp')) and model.ir_version == 8


def test_one_scale_for_all_channels_loses_the_small_ones(tmp_path):
    path, out = make(tmp_path / 'm.onnx'), tmp_path / 'q.onnx'
    exact = np.float32(weights()['w2'])
    off = {}
    for per_channel in (True, False):
        quantize(path, out, [images()], per_channel=per_channel)
        values = constants(onnx.load(out))
        scale = values['w2_scale'].reshape(-1, 1, 1, 1)
        off[per_channel] = np.abs(values['w2_quantized'] * scale - exact).reshape(4, -1).max(1)
    largest = np.abs(exact).reshape(4, -1).max(1)
    assert (off[True] <= largest / 127 * 0.51).all()
    np.testing.assert_allclose(off[False][3], largest[3])  # all of them became 0


def test_optimisation_changes_no_more_than_a_rounding(tmp_path):
    path, out = make(tmp_path / 'm.onnx'), tmp_path / 'q.onnx'
    x = images(32)
    quantize(path, out, [x])
    plain = run(out, x, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    assert np.abs(run(out, x) - plain).max() < 0.01
    quantize(path, out, [x], reduce_range=True)
    model = onnx.load(out)
    assert json.loads(model.metadata_props[0].value)['int8'] == dict(images=32, bits=7)
    scales = [v for name, v in constants(model).items() if name == 'w1_scale']
    largest = np.abs(np.float32(weights()['w1'])).reshape(4, -1).max(1)
    np.testing.assert_allclose(scales[0], largest / 64, rtol=1e-5)  # 7 bits


def test_batches_are_taken_one_by_one_and_not_kept(tmp_path):
    path, alive, most = make(tmp_path / 'm.onnx'), [], []

    def batches():
        for _ in range(6):
            batch = images(2)
            alive.append(weakref.ref(batch))
            most.append(sum(ref() is not None for ref in alive))
            yield batch
            del batch

    assert quantize(path, tmp_path / 'q.onnx', batches()).images == 12
    assert max(most) <= 2


BOXES = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[1, 3, 8, 8] image, float[4, 3, 1, 1] w1, float[5, 4, 1, 1] w2, int64[1] most,
     float[1] overlap, float[1] least) => (int64[M, 3] kept, float[1, 5, 8, 8] maps) {
    a = Conv (image, w1)
    b = Relu (a)
    maps = Conv (b, w2)
    shape = Constant <value = int64[3] {1, 5, 64}> ()
    rows = Reshape (maps, shape)
    cut = Constant <value = int64[2] {4, 1}> ()
    boxes, scores = Split <axis = 1> (rows, cut)
    turned = Transpose <perm = [0, 2, 1]> (boxes)
    kept = NonMaxSuppression (turned, scores, most, overlap, least)
}
"""


def test_what_stands_behind_the_head_stays_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    values = dict(w1=rng.normal(size=(4, 3, 1, 1)), w2=rng.normal(size=(5, 4, 1, 1)))
    path, out = tmp_path / 'm.onnx', tmp_path / 'q.onnx'
    make(path, BOXES, values)
    model = onnx.load(path)
    for name, value in (('most', np.int64([9])), ('overlap', np.float32([0.5])),
                        ('least', np.float32([-1e6]))):  # fmt: skip
        model.graph.initializer.append(numpy_helper.from_array(value, name))
        model.graph.input.remove(next(i for i in model.graph.input if i.name == name))
    onnx.save(model, path)
    body, tail = split(onnx.load(path))
    assert [n.op_type for n in body.graph.node] == ['Conv', 'Relu', 'Conv']
    assert [o.name for o in body.graph.output] == ['maps']

    assert quantize(path, out, [images(1)]).layers == 1
    assert list(onnx.load(out).graph.node)[-len(tail) :] == tail
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(str(f), options) for f in (path, out)]
    exact, ours = (s.run(None, {'image': images(1)}) for s in sessions)
    assert len(exact[0]) and np.abs(ours[1] - exact[1]).max() < 0.03 * np.abs(exact[1]).max()


def test_errors_name_the_node_and_the_remedy(tmp_path):
    path, out = make(tmp_path / 'm.onnx'), tmp_path / 'q.onnx'
    with pytest.raises(ValueError, match='needs images to calibrate with: there is none'):
        quantize(path, out, [])
    old = make(tmp_path / 'old.onnx', NET.replace('"" : 17', '"" : 12'))
    with pytest.raises(ValueError, match='has opset 12; scales by channel need 13'):
        quantize(old, out, [images()])
    odd = NET.replace('[act] z = Relu (y)', '[strange] z = other.Swirl (y)')
    odd = make(tmp_path / 'odd.onnx', odd.replace('"" : 17', '"" : 17, "other" : 1'))
    with pytest.raises(ValueError, match=r'the type of what the node strange \(Swirl\) gives'):
        quantize(odd, out, [images()])
    bad = make(tmp_path / 'bad.onnx', values=dict(weights(), mean=np.zeros((5, 1, 1))))
    with pytest.raises(ValueError, match='shapes cannot be inferred: .*node name: norm'):
        quantize(bad, out, [images()])
    assert not out.exists()
