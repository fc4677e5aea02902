"""What suppression leaves, against the definition; in torch and as ONNX's operator."""

import numpy as np
import pytest
import torch
from torch import nn

from cream_mm.apis.export_onnx import onnx_bytes
from cream_mm.deploy.nms_graph import best_boxes

CLASSES, ROWS = 3, 12


def candidates(images, number, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 40, (images, number, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (images, number, 2))], axis=-1)
    scores = rng.uniform(0.1, 1, (images, number))
    scores[rng.random(scores.shape) < 0.2] = 0  # no candidates
    labels = rng.integers(0, CLASSES, (images, number))
    return boxes.astype(np.float32), scores.astype(np.float32), labels


def by_definition(boxes, scores, labels, threshold, agnostic):
    """Of one image: (boxes, scores, labels) of what is left, the best first."""
    left = []
    for i in np.argsort(-scores, kind='stable'):
        if scores[i] == 0:
            continue
        for j in left:
            low, high = (
                np.maximum(boxes[i, :2], boxes[j, :2]),
                np.minimum(boxes[i, 2:], boxes[j, 2:]),
            )
            both = np.prod(np.clip(high - low, 0, None))
            areas = [np.prod(boxes[k, 2:] - boxes[k, :2]) for k in (i, j)]
            if (agnostic or labels[i] == labels[j]) and both / (sum(areas) - both) > threshold:
                break
        else:
            left.append(i)
    return left[:ROWS]


class Packed(nn.Module):
    """One tensor (N, M, 6) in, as the exporter of modules takes it."""

    def __init__(self, agnostic):
        super().__init__()
        self.agnostic = agnostic

    def forward(self, packed):
        return best_boxes(
            packed[..., :4], packed[..., 4], packed[..., 5].long(), num_classes=CLASSES,
            iou_threshold=0.4, max_per_image=ROWS, class_agnostic=self.agnostic,
        )  # fmt: skip


@pytest.mark.parametrize('agnostic', [False, True])
def test_what_is_left_by_torch_and_by_onnxruntime(agnostic):
    runtime = pytest.importorskip('onnxruntime')
    module = Packed(agnostic)
    content = onnx_bytes(module, (2, 9, 6), output_names=['b', 's', 'l'], dynamic_batch=True)
    session = runtime.InferenceSession(content, providers=['CPUExecutionProvider'])
    assert [out.shape[1] for out in session.get_outputs()] == [ROWS] * 3  # said to be fixed
    for seed, images in enumerate((1, 3, 2)):
        boxes, scores, labels = candidates(images, 9, seed)
        if images == 3:
            scores[1] = 0  # an image without any, between two that have some
        packed = np.concatenate([boxes, scores[..., None], labels[..., None]], -1, dtype=np.float32)
        sides = module(torch.from_numpy(packed)), session.run(None, {'input': packed})
        for found in sides:
            found_boxes, found_scores, found_labels = map(np.asarray, found)
            for i in range(images):
                left = by_definition(boxes[i], scores[i], labels[i], 0.4, agnostic)
                n = len(left)
                assert n or images == 3
                np.testing.assert_array_equal(found_boxes[i, :n], boxes[i, left])
                np.testing.assert_array_equal(found_scores[i, :n], scores[i, left])
                np.testing.assert_array_equal(found_labels[i, :n], labels[i, left])
                assert not found_boxes[i, n:].any() and not found_scores[i, n:].any()
                assert (found_labels[i, n:] == -1).all()


def test_no_more_rows_than_asked_for_and_the_best_ones():
    boxes, scores, labels = map(torch.from_numpy, candidates(1, 60, 5))
    found = best_boxes(
        boxes, scores, labels, num_classes=CLASSES, iou_threshold=0.9, max_per_image=ROWS
    )
    left = by_definition(*(x[0].numpy() for x in (boxes, scores, labels)), 0.9, False)
    assert len(left) == ROWS
    torch.testing.assert_close(found[0][0], boxes[0, left], rtol=0, atol=0)


def test_classes_are_told_apart_far_from_the_origin():
    # What moves boxes apart by a multiple of the largest side loses their digits here.
    box = [1e6, 1e6, 1e6 + 10, 1e6 + 10]
    scores, labels = torch.linspace(1, 0.5, 81)[None], torch.arange(81)[None] % 80
    found = best_boxes(
        torch.tensor([[box] * 81]), scores, labels, num_classes=80, iou_threshold=0.5,
        max_per_image=100,
    )  # fmt: skip
    assert found[2][0].tolist() == [*range(80), *[-1] * 20]
