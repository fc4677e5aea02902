"""A detector's ONNX file against its own prediction of each image alone."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip('mmdet')

from made_detector import HEADS, made_detector

from cream_mm.apis.export_onnx import onnx_bytes
from cream_mm.deploy.box_match import Agreement, match_boxes
from cream_mm.deploy.detector import check_detector, graph_of
from cream_mm.deploy.detector_parity import Pair
from cream_mm.deploy.parity import batches_of, noise

ABOUT = dict(input=dict(size=[64, 96], dynamic=['batch', 'size']), resize=None)


def session_of(model, dynamic_size):
    runtime = pytest.importorskip('onnxruntime')
    graph, names = graph_of(model, dynamic_size=dynamic_size)
    content = onnx_bytes(
        graph, (2, 3, 64, 96), input_names=['image'], output_names=names, dynamic_batch=True,
        dynamic_size=dynamic_size,
    )  # fmt: skip
    session = runtime.InferenceSession(content, providers=['CPUExecutionProvider'])
    return session, lambda x: dict(zip(names, session.run(list(names), {'image': x})))


def agreement(pair, batches):
    total = Agreement()
    for batch in batches:
        for image, rows in zip(batch, pair.file(batch), strict=True):
            theirs = pair.torch(image)
            assert len(theirs.scores) > 2
            total.add(match_boxes(rows, theirs, **pair.limits))
    return total


def check_agreement(model, sizes):
    session, run = session_of(model, True)
    assert session.get_inputs()[0].shape[2:] != [64, 96]
    pair = Pair(run, model, ABOUT)
    batches = [batch for size in sizes for batch in batches_of(noise(3, size), True)]
    total = agreement(pair, batches)
    assert total.agrees and total.pairs > 5 * len(batches), total
    assert total.score < 1e-5 and total.corner < 0.01


def test_any_batch_and_size_of_a_light_retinanet():
    # The smallest map has 4 x 4 places, 96 pairs of box and class: fewer than nms_pre.
    check_agreement(made_detector('RetinaSepBNHead'), [(64, 96), (64, 64), (45, 61)])


@pytest.mark.slow
@pytest.mark.parametrize('kind', HEADS)
def test_any_batch_and_size_of_each_head(kind):
    model = made_detector(kind, preprocessor=dict(bgr_to_rgb=False, pad_value=2))
    check_agreement(model, [(64, 96), (64, 64), (45, 61)])


@pytest.mark.slow
def test_a_neck_that_needs_more_than_the_preprocessor_says():
    # It doubles maps and adds them up; PyTorch's own takes multiples of 16 only.
    neck = dict(type='CSPNeXtPAFPN', in_channels=[8, 8], out_channels=8, num_csp_blocks=1)
    model = made_detector('RTMDetSepBNHead', neck=neck, preprocessor=dict(pad_size_divisor=1))
    _, run = session_of(model, True)
    with pytest.raises(RuntimeError):
        Pair(run, model, ABOUT).torch(noise(1, (33, 61))[0])
    boxes = Pair(run, model, ABOUT).row(noise(1, (33, 61))[0]).boxes
    assert len(boxes) and (boxes <= [61, 33, 61, 33]).all() and boxes.max() > 50
    check_agreement(model, [(64, 96)])


def test_what_is_fixed_is_said_to_be():
    pytest.importorskip('onnxruntime')
    session, run = session_of(made_detector('FCOSHead'), False)
    assert session.get_inputs()[0].shape[1:] == [3, 64, 96]
    assert [out.shape[1:] for out in session.get_outputs()] == [[20, 4], [20], [20]]
    assert run(np.zeros((3, 3, 64, 96), np.float32))['labels'].dtype == np.int64
    with pytest.raises(Exception, match='INVALID_ARGUMENT'):
        run(np.zeros((1, 3, 64, 64), np.float32))


@pytest.mark.parametrize(
    ('nms', 'message'),
    [
        (dict(type='soft_nms', iou_threshold=0.5), 'nms of type soft_nms'),
        (dict(type='nms', iou_threshold=0.5, max_num=9), 'max_num'),
    ],
)
def test_another_suppression_is_refused(nms, message):
    with pytest.raises(ValueError, match=f'{message}.* does not become ONNX'):
        graph_of(made_detector('RetinaHead', test_cfg=dict(nms=nms)))


def test_detectors_of_another_kind_are_told_those_that_work():
    with pytest.raises(ValueError, match='Linear does not become ONNX; .* RetinaNet, FCOS and RTM'):
        check_detector(nn.Linear(1, 1))
    model = made_detector('RetinaHead')
    model.data_preprocessor.__class__ = type('Mine', (type(model.data_preprocessor),), {})
    with pytest.raises(ValueError, match='RetinaNet with Mine'):
        check_detector(model)


@torch.no_grad()
def test_the_graph_in_torch_takes_one_image_or_several():
    model = made_detector('RTMDetHead')
    graph, names = graph_of(model)
    images = torch.from_numpy(noise(2, (64, 96)).transpose(0, 3, 1, 2)).float()
    both = dict(zip(names, graph(images)))
    for i in range(2):
        alone = dict(zip(names, graph(images[i : i + 1])))
        torch.testing.assert_close(both['boxes'][i], alone['boxes'][0], rtol=1e-5, atol=1e-3)
