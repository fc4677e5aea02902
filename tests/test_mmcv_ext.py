import importlib
import importlib.util
import inspect
import itertools
import math
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from cream_mm import mmcv_ext

mmcv_ext.install_stand_in()

HAS_STAND_IN = isinstance(sys.modules.get('mmcv._ext'), mmcv_ext._StandIn)
needs_stand_in = pytest.mark.skipif(not HAS_STAND_IN, reason='mmcv has compiled operators')
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    return request.param


# --- the focal loss


def logits_and_targets(dtype=torch.float64, num_rows=12, num_classes=5, device='cpu'):
    """Logits (N, C) in about [-9, 9]; targets (N,) in [0, C], where C is background."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(num_rows, num_classes, generator=generator, dtype=torch.float64)
    target = torch.randint(num_classes + 1, (num_rows,), generator=generator)
    target[0], target[1] = num_classes, 0  # both kinds, whatever the seed
    return logits.to(device, dtype), target.to(device)


def reference_loss(logits, target, gamma, alpha, weight=None):
    """mmdet's definition in float64; weight (C,) by the class of the row, 1 for background."""
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    num_classes = logits.size(1)
    one_hot = torch.nn.functional.one_hot(target, num_classes + 1)[:, :num_classes]
    loss = py_sigmoid_focal_loss(
        logits.double(), one_hot, gamma=gamma, alpha=alpha, reduction='none'
    )
    if weight is not None:
        loss = loss * torch.cat([weight.double(), weight.new_ones(1)])[target].unsqueeze(1)
    return loss


@pytest.mark.parametrize('gamma', [0.0, 1.0, 1.5, 2.0])
@pytest.mark.parametrize('alpha', [0.25, 0.6])
@pytest.mark.parametrize('weighted', [False, True])
def test_focal_loss_and_gradient_equal_autograd(gamma, alpha, weighted, device):
    from mmcv.ops import sigmoid_focal_loss

    logits, target = logits_and_targets(device=device)
    weight = torch.linspace(0.5, 2, logits.size(1), device=device).double() if weighted else None
    ours = logits.clone().requires_grad_()
    loss = sigmoid_focal_loss(ours, target, gamma, alpha, weight, 'none')
    expected = logits.clone().requires_grad_()
    expected_loss = reference_loss(expected, target, gamma, alpha, weight)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-12, atol=1e-14)

    # mmcv's backward multiplies by a gradient of the same shape, or a scalar
    upstream = torch.linspace(-1, 1, loss.numel(), device=device).double().view_as(loss)
    loss.backward(upstream)
    expected_loss.backward(upstream)
    torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_focal_loss_gradcheck(reduction):
    from mmcv.ops import sigmoid_focal_loss

    logits, target = logits_and_targets(num_rows=6)
    logits.requires_grad_()
    assert gradcheck(lambda x: sigmoid_focal_loss(x, target, 2.0, 0.25, None, reduction), (logits,))


@pytest.mark.parametrize(
    ('dtype', 'rtol'), [(torch.float32, 1e-5), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)]
)
def test_focal_loss_keeps_its_dtype(dtype, rtol, device):
    logits, target = logits_and_targets(dtype, device=device)
    no_weight = logits.new_empty(0)
    loss, grad = torch.full_like(logits, 7), torch.full_like(logits, 7)
    result = mmcv_ext.sigmoid_focal_loss_forward(
        logits, target, no_weight, loss, gamma=2.0, alpha=0.25
    )
    mmcv_ext.sigmoid_focal_loss_backward(logits, target, no_weight, grad, gamma=2.0, alpha=0.25)
    assert result is None  # the output argument is overwritten instead
    assert loss.dtype == grad.dtype == dtype

    x = logits.double().requires_grad_()
    expected = reference_loss(x, target, 2.0, 0.25)
    expected.sum().backward()
    atol = torch.finfo(dtype).smallest_normal + 1e-7
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=rtol, atol=atol)
    torch.testing.assert_close(grad.double(), x.grad, rtol=rtol, atol=atol)


def test_focal_loss_of_sure_logits():
    """A sure and wrong logit costs -log p, here 200, not the clamped 87 and not infinity."""
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]])
    target = torch.tensor([1, 1])  # row 0: both wrong, row 1: both right
    loss, grad = torch.empty_like(logits), torch.empty_like(logits)
    args = (logits, target, logits.new_empty(0))
    mmcv_ext.sigmoid_focal_loss_forward(*args, loss, gamma=2.0, alpha=0.25)
    mmcv_ext.sigmoid_focal_loss_backward(*args, grad, gamma=2.0, alpha=0.25)
    torch.testing.assert_close(loss, torch.tensor([[150.0, 50.0], [0.0, 0.0]]))
    torch.testing.assert_close(grad, torch.tensor([[0.75, -0.25], [0.0, 0.0]]))


def test_focal_loss_without_rows():
    logits, target = torch.empty(0, 5), torch.empty(0, dtype=torch.long)
    for weight in (torch.empty(0), torch.ones(5)):
        output = torch.empty(0, 5)
        mmcv_ext.sigmoid_focal_loss_forward(logits, target, weight, output, gamma=2.0, alpha=0.25)
        mmcv_ext.sigmoid_focal_loss_backward(logits, target, weight, output, gamma=2.0, alpha=0.25)


def test_negative_targets_are_background():
    logits, _ = logits_and_targets(num_rows=3)
    losses = []
    for label in (-1, 5):
        output = torch.empty_like(logits)
        target = torch.full((3,), label)
        mmcv_ext.sigmoid_focal_loss_forward(
            logits, target, torch.full((5,), 9.0), output, gamma=2.0, alpha=0.25
        )
        losses.append(output)
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], reference_loss(logits, torch.full((3,), 5), 2.0, 0.25))


# --- nms


def brute_force_nms(boxes, scores, iou_threshold, offset):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i], boxes[k], offset) <= iou_threshold for k in kept):
            kept.append(i)
    return kept


def iou(a, b, offset):
    width = (min(a[2], b[2]) - max(a[0], b[0]) + offset).clamp(min=0)
    height = (min(a[3], b[3]) - max(a[1], b[1]) + offset).clamp(min=0)
    area_a, area_b = ((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    return width * height / (area_a + area_b - width * height)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('iou_threshold', [0.1, 0.5, 0.8])
def test_nms_equals_brute_force(offset, iou_threshold, device):
    from mmcv.ops import nms

    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(40, 2, generator=generator) * 5
    boxes = torch.cat([corners, corners + 5 + 3 * torch.rand(40, 2, generator=generator)], 1)
    scores = torch.rand(40, generator=generator)
    dets, kept = nms(boxes.to(device), scores.to(device), iou_threshold, offset=offset)
    expected = brute_force_nms(boxes, scores, iou_threshold, offset)
    assert 1 <= len(expected) < 40
    assert kept.tolist() == expected
    torch.testing.assert_close(dets.cpu(), torch.cat([boxes, scores[:, None]], 1)[expected])


def test_offset_decides():
    """Pixels 0..3 and 2..5 in x: sides of 3 share 1, of 4 (offset 1) share 2."""
    boxes = torch.tensor([[0.0, 0, 3, 3], [2.0, 0, 5, 3]])
    scores = torch.tensor([0.5, 0.9])
    # IoU 3 / (9 + 9 - 3) = 0.2 without the offset, 8 / (16 + 16 - 8) = 0.333 with it
    assert mmcv_ext.nms(boxes, scores, iou_threshold=0.25, offset=0).tolist() == [1, 0]
    assert mmcv_ext.nms(boxes, scores, iou_threshold=0.25, offset=1).tolist() == [1]
    with pytest.raises(ValueError, match='offset must be 0 or 1, got 2'):
        mmcv_ext.nms(boxes, scores, iou_threshold=0.25, offset=2)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_takes_any_dtype(dtype, device):
    boxes = torch.tensor([[0, 0, 4, 4], [0, 0, 4, 3], [9, 9, 12, 12]], device=device, dtype=dtype)
    scores = torch.tensor([0.5, 0.75, 0.25], device=device)
    kept = mmcv_ext.nms(boxes, scores, iou_threshold=0.5, offset=0)
    assert kept.tolist() == [1, 2]
    assert kept.dtype == torch.long


def test_nms_without_boxes():
    kept = mmcv_ext.nms(torch.empty(0, 4), torch.empty(0), iou_threshold=0.5, offset=0)
    assert kept.shape == (0,)
    assert kept.dtype == torch.long


# --- soft-NMS


def naive_soft_nms(boxes, scores, iou_threshold, sigma, min_score, method, offset):
    """One box after the other: (box index, score), best first."""
    left = dict(enumerate(scores.tolist()))
    kept = []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        kept.append((best, left.pop(best)))
        for i in list(left):
            u = iou(boxes[best], boxes[i], offset).item()
            hit = u >= iou_threshold
            left[i] *= (0 if hit else 1, 1 - u if hit else 1, math.exp(-u * u / sigma))[method]
            if left[i] < min_score:
                del left[i]
    return kept


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms_equals_a_plain_loop(method, offset):
    """Where mmcv has compiled operators, it is they that are compared."""
    from mmcv.ops import soft_nms

    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(40, 2, generator=generator) * 6
    boxes = torch.cat([corners, corners + 2 + 6 * torch.rand(40, 2, generator=generator)], 1)
    scores = torch.rand(40, generator=generator)
    settings = dict(iou_threshold=0.3, sigma=0.4, min_score=0.05, offset=offset)
    dets, kept = soft_nms(boxes, scores, method=method, **settings)
    number = ['naive', 'linear', 'gaussian'].index(method)
    expected = naive_soft_nms(boxes.double(), scores.double(), method=number, **settings)
    assert 3 <= len(expected) < 40
    assert kept.tolist() == [i for i, _ in expected]
    torch.testing.assert_close(dets[:, :4], boxes[kept])
    torch.testing.assert_close(dets[:, 4], torch.tensor([score for _, score in expected]))


def test_soft_nms_by_hand():
    """Boxes of area 4 that share 2: an IoU of 1/3. The third is elsewhere and too weak."""
    boxes = torch.tensor([[0.0, 0, 2, 2], [1.0, 0, 3, 2], [9.0, 9, 11, 11], [5.0, 5, 5, 5]])
    scores = torch.tensor([0.8, 0.9, 0.01, 0.5])
    expected = {0: 0.0, 1: 0.8 * 2 / 3, 2: 0.8 * math.exp(-1 / 9 / 0.5)}
    for method, score in expected.items():
        dets = torch.full((4, 5), 7.0)
        kept = mmcv_ext.softnms(boxes, scores, dets, 0.3, 0.5, 0.02, method, 0)
        rest = [(0, score), (3, 0.5)] if score > 0.5 else [(3, 0.5), (0, score)]
        rows = [(1, 0.9)] + [row for row in rest if row[1] >= 0.02]
        assert kept.tolist() == [i for i, _ in rows]
        torch.testing.assert_close(dets[: len(rows), 4], torch.tensor([s for _, s in rows]))
        assert (dets[len(rows) :] == 7).all()


def test_soft_nms_at_its_edges():
    empty = mmcv_ext.softnms(torch.empty(0, 4), torch.empty(0), torch.empty(0, 5), 0.3, 1, 0, 2, 0)
    assert empty.shape == (0,) and empty.dtype == torch.long
    point = torch.ones(2, 4)  # no area, an IoU of 0 by 0
    dets = torch.empty(2, 5)
    kept = mmcv_ext.softnms(point, torch.tensor([0.5, 0.5]), dets, 0.3, 0.5, 0.0, 2, 0)
    assert kept.tolist() == [0, 1] and dets[:, 4].tolist() == [0.5, 0.5]  # the first goes first
    alone = mmcv_ext.softnms(point[:1], torch.tensor([0.1]), dets, 0.3, 0.5, 0.9, 2, 0)
    assert alone.tolist() == [0]  # the best is kept, however weak


def test_batched_soft_nms_keeps_classes_apart():
    from mmcv.ops import batched_nms

    boxes = torch.tensor([[0.0, 0, 4, 4], [0.0, 0, 4, 4], [0.0, 0, 4, 4]])
    settings = dict(type='soft_nms', method='linear', iou_threshold=0.5, min_score=0.05)
    dets, kept = batched_nms(
        boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1]), settings
    )
    assert kept.tolist() == [0, 2]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.9, 0.7]))


# --- RoIAlign


def naive_roi_align(features, rois, bins, scale, ratio=0, mode='avg', aligned=True):
    """RoIAlign by its definition, one point after the other: (K, C, *bins), in float64."""
    output = features.new_zeros(len(rois), features.size(1), *bins)
    for k, (i, *box) in enumerate(rois.tolist()):
        left, top, right, bottom = (side * scale - (0.5 if aligned else 0) for side in box)
        sides = bottom - top, right - left
        sides = sides if aligned else tuple(max(side, 1.0) for side in sides)
        grid = [ratio or math.ceil(side / n) for side, n in zip(sides, bins)]
        for row, column in itertools.product(*map(range, bins)):
            values = [
                bilinear(
                    features[int(i)],
                    top + (row + (iy + 0.5) / grid[0]) * sides[0] / bins[0],
                    left + (column + (ix + 0.5) / grid[1]) * sides[1] / bins[1],
                )
                for iy, ix in itertools.product(*map(range, grid))
            ]
            if values:
                values = torch.stack(values)
                output[k, :, row, column] = values.mean(0) if mode == 'avg' else values.amax(0)
    return output


def bilinear(features, y, x):
    """A map (C, H, W) at a point; it ends in its outermost pixels, and is 0 a pixel beyond."""
    height, width = features.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return features.new_zeros(features.size(0))
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    total = 0
    for row, column in itertools.product((int(y), int(y) + 1), (int(x), int(x) + 1)):
        share = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
        total = total + share * features[:, min(row, height - 1), min(column, width - 1)]
    return total


ROIS = torch.tensor(
    [
        [0, 4.0, 2.0, 19.0, 13.0],
        [1, 0.3, 1.1, 5.2, 30.7],
        [1, -9.0, -7.0, 12.0, 60.0],  # beyond the map on three sides
        [0, 6.0, 6.0, 6.5, 6.5],  # less than a pixel
        [0, 90.0, 90.0, 99.0, 99.0],  # beside it
        [1, 4.0, 4.0, 4.0, 9.0],  # no area
    ],
    dtype=torch.float64,
)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_equals_its_definition(aligned, mode, ratio, device):
    """Values and gradients; where mmcv has compiled operators, it is they that are compared."""
    from mmcv.ops import roi_align

    generator = torch.Generator().manual_seed(3)
    features = torch.rand(2, 3, 8, 10, generator=generator, dtype=torch.float64).to(device)
    rois = ROIS.to(device)
    if mode == 'max' and not HAS_STAND_IN:
        rois = rois[:-1]  # the largest of no point is -10000 there
    ours = features.clone().requires_grad_()
    found = roi_align(ours, rois, (3, 2), 0.25, ratio, mode, aligned)
    plain = features.clone().requires_grad_()
    expected = naive_roi_align(plain, rois, (3, 2), 0.25, ratio, mode, aligned)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    upstream = torch.linspace(-1, 1, found.numel(), device=device).double().view_as(found)
    found.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_of_constant_and_linear_maps(mode):
    """Closed forms: 3 is 3; x, y averaged over a bin are its middle, their largest its last."""
    from mmcv.ops import RoIAlign

    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing='ij')
    features = torch.stack([torch.full((16, 16), 3.0), x, y])[None]
    # 8 to 36 pixels at stride 4: seven bins of one pixel of the map, one point in each
    rois = torch.tensor([[0.0, 8, 4, 36, 32]])
    out = RoIAlign(7, 0.25, 0, mode)(features, rois)
    torch.testing.assert_close(out[0, 0], torch.full((7, 7), 3.0))
    torch.testing.assert_close(out[0, 1], torch.arange(2.0, 9.0).expand(7, 7))
    torch.testing.assert_close(out[0, 2].T, torch.arange(1.0, 8.0).expand(7, 7))
    # not aligned: the corner 8 / 4 is pixel 2, so the middle of the first bin is 2.5
    out = RoIAlign(7, 0.25, 0, mode, aligned=False)(features, rois)
    torch.testing.assert_close(out[0, 1], torch.arange(2.5, 9.0).expand(7, 7))
    # two bins of 3.5 pixels, four points each: middles 1.5 + 1.75 and + 5.25; the last point of a
    # bin is 3/8 of 3.5 further
    out = RoIAlign(2, 0.25, 0, mode)(features, rois)
    last = 1.3125 if mode == 'max' else 0
    torch.testing.assert_close(out[0, 1, 0], torch.tensor([3.25, 6.75]) + last)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_gradcheck(mode, aligned):
    from mmcv.ops import roi_align

    features = torch.rand(1, 2, 5, 6, generator=torch.Generator().manual_seed(4)).double()
    rois = torch.tensor([[0, 0.2, 0.4, 4.1, 4.6], [0, -2.0, 1.0, 9.0, 3.0]]).double()
    features.requires_grad_()
    assert gradcheck(lambda x: roi_align(x, rois, (2, 3), 1.0, 0, mode, aligned), (features,))


@needs_stand_in
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_keeps_its_dtype(dtype, mode, device):
    from mmcv.ops import roi_align

    features = torch.linspace(0, 1, 64, device=device).view(1, 1, 8, 8).to(dtype).requires_grad_()
    rois = torch.tensor([[0.0, 1, 1, 5, 5]], device=device).to(dtype)
    out = roi_align(features, rois, (2, 2), 1.0, 0, mode, True)
    expected = naive_roi_align(features.detach().double(), rois, (2, 2), 1.0, 0, mode)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), expected, rtol=8e-3, atol=1e-3)
    out.sum().backward()
    assert features.grad.dtype == dtype
    assert features.grad.sum().item() == pytest.approx(4, rel=0.01)


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    """mmcv's own CPU sources of the operators that are here, compiled: half a minute."""
    import mmcv
    from torch.utils import cpp_extension

    sources = Path(mmcv.__file__).parent / 'ops/csrc'
    if not (sources / 'pytorch/cpu/roi_align.cpp').is_file() or not shutil.which('c++'):
        pytest.skip('needs a C++ compiler and an mmcv that brings its sources')
    names = ('roi_align_forward', 'roi_align_backward', 'softnms', 'nms')
    code = ['#include <torch/extension.h>', '#include "pytorch_cpp_helper.hpp"']
    code += [f'#include "{sources}/pytorch/cpu/{name}.cpp"' for name in ('roi_align', 'nms')]
    code += ['PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {']
    code += [f'm.def("{name}", &{name}_cpu);' for name in names] + ['}']
    folder = tmp_path_factory.mktemp('compiled')
    (folder / 'all.cpp').write_text('\n'.join(code))
    paths = [str(sources / part) for part in ('common', 'pytorch')]
    return cpp_extension.load(
        'mmcv_cpu', [str(folder / 'all.cpp')], extra_include_paths=paths, build_directory=folder
    )


@pytest.mark.slow
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('pool_mode', [0, 1])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_equals_mmcvs_own_sources(compiled, aligned, pool_mode, ratio):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 4, 20, 30, generator=generator)
    corners = torch.rand(60, 2, generator=generator) * torch.tensor([260.0, 180.0]) - 20
    sides = 1 + 100 * torch.rand(60, 2, generator=generator)
    image = torch.randint(2, (60, 1), generator=generator)
    rois = torch.cat([image, corners, corners + sides], 1)
    found = []
    for module in (mmcv_ext, compiled):
        output, grad = torch.zeros(60, 4, 7, 7), torch.zeros_like(features)
        where = [torch.zeros_like(output) if pool_mode == 0 else torch.zeros(0) for _ in 'yx']
        settings = (7, 7, 0.125, ratio, pool_mode, aligned)
        module.roi_align_forward(features, rois, output, *where, *settings)
        upstream = torch.linspace(-1, 1, output.numel()).view_as(output)
        module.roi_align_backward(upstream, rois, *where, grad, *settings)
        found.append([output, grad, *where])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('method', [0, 1, 2])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms_equals_mmcvs_own_sources(compiled, method, offset):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(500, 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + 3 + torch.rand(500, 2, generator=generator) * 20], 1)
    scores = torch.rand(500, generator=generator)
    found = []
    for module in (mmcv_ext, compiled):
        dets = torch.zeros(500, 5)
        kept = module.softnms(boxes, scores, dets, 0.3, 0.5, 1e-3, method, offset)
        found.append((kept, dets[: len(kept)]))
    assert torch.equal(found[0][0], found[1][0]) and len(found[0][0]) < 500
    torch.testing.assert_close(found[0][1], found[1][1])


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_without_boxes(mode):
    from mmcv.ops import roi_align

    features = torch.rand(2, 3, 8, 8, requires_grad=True)
    out = roi_align(features, torch.empty(0, 5), (7, 7), 0.5, 0, mode, True)
    assert out.shape == (0, 3, 7, 7)
    out.sum().backward()
    assert features.grad.abs().sum() == 0


# --- the module


@needs_stand_in
@pytest.mark.parametrize('family', ['onedl', 'openmmlab'])
def test_other_operators_say_what_is_missing(family, monkeypatch):
    monkeypatch.setattr(mmcv_ext, 'mm_family', lambda: family)
    ext = sys.modules['mmcv._ext']
    with pytest.raises(NotImplementedError) as error:
        ext.carafe_forward(torch.ones(1), scale=2)
    message = str(error.value)
    assert "'carafe_forward'" in message
    assert 'mim install' in message
    assert ('onedl-mmcv' in message) == (family == 'onedl')
    assert '40 min' in message


@needs_stand_in
def test_roi_pool_has_a_way_around():
    from mmcv.ops import RoIPool

    with pytest.raises(NotImplementedError, match="roi_layer=dict\\(type='RoIAlign'"):
        RoIPool(2)(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 4, 4]]))


@needs_stand_in
def test_is_a_well_behaved_module():
    import mmcv
    from mmengine.utils.dl_utils import misc

    ext = sys.modules['mmcv._ext']
    assert mmcv._ext is ext
    mmcv_ext.install_stand_in()
    assert sys.modules['mmcv._ext'] is ext
    assert ext.softnms is ext.softnms
    for name in ('__wrapped__', '__file__', '__path__', '_private'):
        assert not hasattr(ext, name)
    inspect.getmodule(ext.nms)
    assert importlib.util.find_spec('mmcv._ext').name == 'mmcv._ext'
    misc.mmcv_full_available()  # must not raise; the answer depends on the version of mmengine

    from mmcv.utils.ext_loader import check_ops_exist

    if sys.version_info < (3, 14):  # it asks pkgutil.find_loader
        assert check_ops_exist() is False


def test_collect_env():
    from mmcv.utils import collect_env
    from mmengine.utils.dl_utils import collect_env as collect_mmengine_env

    assert collect_mmengine_env()['PyTorch'] == torch.__version__
    versions = collect_env()
    if HAS_STAND_IN:
        assert versions['MMCV Compiler'] == 'n/a (mmcv without compiled operators)'


def test_revert_sync_batchnorm():
    from mmengine.model import revert_sync_batchnorm

    model = revert_sync_batchnorm(torch.nn.Sequential(torch.nn.SyncBatchNorm(2))).eval()
    assert model(torch.ones(1, 2, 1, 1)).shape == (1, 2, 1, 1)


def test_mmdet_models_import():
    import mmcv.ops  # noqa: F401
    import mmdet.models

    assert mmdet.models.RetinaHead


def test_real_operators_are_never_replaced(tmp_path, monkeypatch):
    """A package mmcv with an extension of its own keeps it, and it is not even imported."""
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / '_ext.py').write_text('nms = "compiled"')
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmcv']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)

    mmcv_ext.install_stand_in()
    assert [name for name in sys.modules if name.split('.')[0] == 'mmcv'] == ['mmcv']
    assert importlib.import_module('mmcv._ext').nms == 'compiled'
