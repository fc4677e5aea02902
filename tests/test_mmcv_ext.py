import importlib
import importlib.util
import inspect
import sys

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
def test_roi_align_has_a_way_around():
    from mmcv.ops import RoIAlign

    features = torch.arange(16.0).view(1, 1, 4, 4)
    rois = torch.tensor([[0.0, 0, 0, 4, 4]])
    with pytest.raises(NotImplementedError, match='use_torchvision=True'):
        RoIAlign(2)(features, rois)
    assert RoIAlign(2, use_torchvision=True)(features, rois).shape == (1, 1, 2, 2)


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
