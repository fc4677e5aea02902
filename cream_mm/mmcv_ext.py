"""A stand-in for ``mmcv._ext``, so that mmdet runs without mmcv's compiled operators.

mmdet imports ``mmcv.ops``, which asks ``mmcv._ext`` for some hundred operators as it is imported.
Most detectors need no more than NMS, soft-NMS, the focal loss and RoIAlign; those are here, as
torch, torchvision and NumPy compute them. All other operators exist by name and raise when called.
Compiled operators, where there are any, are never replaced.

Reference:
    Signatures and the meaning of the arguments:
    ``mmcv/ops/{nms,focal_loss,roi_align,info}.py`` (Apache-2.0).
"""

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from cream_mm.environment import mm_family

_NAME = 'mmcv._ext'
_HOW_TO_COMPILE = {
    'onedl': (
        '  pip install onedl-mim && mim install onedl-mmcv  (prebuilt, where there is a wheel for '
        'this torch and CUDA), or\n'
        '  pip install --force-reinstall --no-deps --no-build-isolation --no-binary onedl-mmcv '
        'onedl-mmcv  (compiles; needs a C++ compiler, and nvcc for CUDA; about 40 min on 2 cores)'
    ),
    'openmmlab': (
        '  pip uninstall -y mmcv-lite && pip install openmim && mim install "mmcv>=2.0.1,<2.2"  '
        '(prebuilt, where there is a wheel for this torch and CUDA; otherwise it compiles, which '
        'needs a C++ compiler, and nvcc for CUDA; about 40 min on 2 cores)'
    ),
}
_WITHOUT_COMPILING = {
    'roi_pool_forward': "use RoIAlign: roi_layer=dict(type='RoIAlign', output_size=7)",
}


def install_stand_in() -> None:
    """Put the stand-in where ``mmcv._ext`` is looked for, unless there is a real one.

    Calling it again does nothing. It must be called before ``mmcv.ops`` is imported.
    """
    # find_spec imports the package mmcv, but neither mmcv.ops nor the extension; for a module in
    # sys.modules, such as the stand-in of an earlier call, it returns that one's __spec__.
    if importlib.util.find_spec(_NAME) is not None:
        return
    stand_in = _StandIn(_NAME, __doc__)
    # No loader, so that mmcv.utils.check_ops_exist() goes on telling the truth: False.
    stand_in.__spec__ = importlib.machinery.ModuleSpec(_NAME, loader=None, origin=__file__)
    for function in _OPERATORS:
        setattr(stand_in, function.__name__, function)
    sys.modules[_NAME] = stand_in
    sys.modules['mmcv']._ext = stand_in


class _StandIn(types.ModuleType):
    """A module with every operator: the known ones work, the others raise when called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        # No operator begins with an underscore, but protocols do (__wrapped__, __file__, ...).
        if name.startswith('_'):
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        operator = _missing_operator(name)
        setattr(self, name, operator)
        return operator


def _missing_operator(name: str) -> Callable[..., NoReturn]:
    def operator(*args, **kwargs) -> NoReturn:
        hint = _WITHOUT_COMPILING.get(name)
        raise NotImplementedError(
            f'mmcv.ops needs the compiled operator {name!r}, but mmcv is installed without '
            'compiled operators and cream_mm provides only nms, softnms, sigmoid_focal_loss and '
            f'roi_align in their place. {f"To do without it: {hint}. " if hint else ""}To get it:\n'
            f'{_HOW_TO_COMPILE[mm_family()]}'
        )

    operator.__name__ = operator.__qualname__ = name
    return operator


# The operators; names and arguments are those of the compiled module.


@torch.no_grad()
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that no better box overlaps by more than the threshold, best first.

    Args:
        boxes (Tensor): Corners (x1, y1, x2, y2).
        scores (Tensor): Higher is better.
        iou_threshold (float): A box is dropped when its IoU with a kept one is above this.
        offset (int): 0 or 1; a side is ``x2 - x1 + offset`` long, so 1 is for corners that are
            pixel indices.

    Shapes:
        boxes: (N, 4). scores: (N,). Returns: (num_kept,), int64.
    """
    if offset not in (0, 1):
        raise ValueError(f'offset must be 0 or 1, got {offset}')
    if boxes.numel() == 0:
        return boxes.new_zeros(0, dtype=torch.long)
    # torchvision wants one dtype for both, and has no kernel for half precision on the CPU.
    dtype = torch.float64 if torch.float64 in (boxes.dtype, scores.dtype) else torch.float32
    boxes, scores = boxes.to(dtype), scores.to(dtype)
    if offset:
        # Moving x2 and y2 by one moves the corners of intersections in the same way.
        boxes = boxes + boxes.new_tensor([0, 0, 1, 1])
    return torchvision.ops.nms(boxes, scores, float(iou_threshold))


@torch.no_grad()
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the focal loss of each logit into ``output``.

    With p = sigmoid(x): ``-alpha (1-p)^gamma log(p)`` at the class of the row, and
    ``-(1-alpha) p^gamma log(1-p)`` at the others. It is computed in float32 or better, and without
    the compiled kernel's clamp of the logarithms at -87.

    Args:
        input (Tensor): Logits x.
        target (Tensor): Class of each row; one outside of [0, C) is background.
        weight (Tensor): A factor for each class, by the target of the row; empty for none. A row
            of background keeps its loss (the compiled kernel reads past the end of ``weight``).
        output (Tensor): Overwritten with the loss.
        gamma (float): Exponent of the focal term.
        alpha (float): Factor of the positive term.

    Shapes:
        input, output: (N, C). target: (N,), int64. weight: (C,) or (0,).
    """
    x = _at_least_float32(input)
    loss = _power(x.sigmoid(), gamma).mul_(_softplus(x)).mul_(1 - alpha)  # as if all negative

    def positive(x: Tensor) -> Tensor:
        return alpha * _power((-x).sigmoid(), gamma) * _softplus(-x)

    _overwrite_targets(loss, x, target, positive)
    output.copy_(_weighted(loss, target, weight))


@torch.no_grad()
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each logit's loss by that logit into ``grad_input``.

    Args and shapes: as in :func:`sigmoid_focal_loss_forward`, with ``grad_input`` for ``output``.
    """
    x = _at_least_float32(input)
    p = x.sigmoid()
    # (1-alpha) p^gamma (p + gamma (1-p) softplus(x)), in place: this is all of an image's anchors
    grad = _softplus(x).mul_(1 - p).mul_(gamma).add_(p)
    grad.mul_(_power(p, gamma)).mul_(1 - alpha)

    def positive(x: Tensor) -> Tensor:
        p, q = x.sigmoid(), (-x).sigmoid()
        return -alpha * _power(q, gamma) * (q + gamma * p * _softplus(-x))

    _overwrite_targets(grad, x, target, positive)
    grad_input.copy_(_weighted(grad, target, weight))


@torch.no_grad()
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the score of boxes that better ones overlap, and drop those that fall too low.

    Among equal scores the box that comes first in ``boxes`` goes first; in the compiled operator
    it is the first of an order that its own removals have changed.

    Args:
        boxes (Tensor): Corners (x1, y1, x2, y2).
        scores (Tensor): Higher is better.
        dets (Tensor): Its first ``num_kept`` rows are overwritten with box and new score.
        iou_threshold (float): Of methods 0 and 1: scores change from this IoU on.
        sigma (float): Of method 2.
        min_score (float): A box is dropped once its score is below this. The best is kept.
        method (int): The factor at an IoU of u is 0 (method 0), 1 - u (method 1), or
            ``exp(-u^2 / sigma)`` (method 2).
        offset (int): As in :func:`nms`.

    Shapes:
        boxes: (N, 4). scores: (N,). dets: (N, 5). Returns: (num_kept,), int64, best first.
    """
    dtype = torch.float64 if torch.float64 in (boxes.dtype, scores.dtype) else torch.float32
    left = np.concatenate([boxes.cpu().to(dtype), scores.cpu().to(dtype)[:, None]], axis=1)
    index = np.arange(len(left))  # of the rows of ``left``
    rows, kept = [], []
    while len(left):
        best = left[:, 4].argmax()
        rows.append(left[best])
        kept.append(index[best])
        left, index = np.delete(left, best, 0), np.delete(index, best)
        iou = _iou(rows[-1], left, offset)
        if method == 2:
            factor = np.exp(-(iou * iou) / left.dtype.type(sigma))
        else:
            factor = np.where(iou >= iou_threshold, 1 - iou if method == 1 else 0, 1)
        left[:, 4] *= factor
        stay = left[:, 4] >= min_score
        left, index = left[stay], index[stay]
    if rows:
        dets[: len(rows)] = torch.from_numpy(np.stack(rows))
    return torch.tensor(kept, dtype=torch.long)


def _iou(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """IoU of a box (5,) with others (N, 5); (N,)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:4], others[:, 2:4])
    inter = (high - low + offset).clip(min=0).prod(axis=1)
    areas = (others[:, 2:4] - others[:, :2] + offset).prod(axis=1)
    union = (box[2:4] - box[:2] + offset).prod() + areas - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union != 0)


@torch.no_grad()
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write what lies in each box, cut into bins, into ``output``.

    The map is read between its pixels at a grid of points in each bin; a point more than a pixel
    outside reads 0. It is computed in float32 or better. An average is torchvision's.

    Args:
        input (Tensor): Feature maps.
        rois (Tensor): Index of the image and corners (i, x1, y1, x2, y2).
        output (Tensor): Overwritten with the average or the largest of the points of each bin; 0
            for a box without points (the compiled kernel: -10000, or the lowest float, as the
            largest of none).
        argmax_y (Tensor): Overwritten with where the largest was read, in pixels of the map, for
            the backward pass; -1 for none. Empty if averages are taken.
        argmax_x (Tensor): Likewise.
        aligned_height (int): Bins along y.
        aligned_width (int): Bins along x.
        spatial_scale (float): Size of a map by the size that boxes are given in.
        sampling_ratio (int): Points along each side of a bin; 0 for one per pixel of the map.
        pool_mode (int): 0 for the largest, 1 for the average.
        aligned (bool): Whether a pixel's value is that of its middle, not of its corner.

    Shapes:
        input: (N, C, H, W). rois: (K, 5). output: (K, C, aligned_height, aligned_width), as
        argmax_y and argmax_x, or (0,).
    """
    bins = aligned_height, aligned_width
    x = _at_least_float32(input)
    rois = rois.to(x.dtype)
    if pool_mode == 1:
        output.copy_(
            torchvision.ops.roi_align(x, rois, bins, spatial_scale, sampling_ratio, aligned)
        )
        return
    starts, sides = _boxes_on_map(rois, spatial_scale, aligned)
    points = _points_per_bin(sides, bins, sampling_ratio)
    output.zero_()
    argmax_y.fill_(-1)
    argmax_x.fill_(-1)
    for grid in points.unique(dim=0).tolist():
        if 0 in grid:
            continue
        rows = (points == points.new_tensor(grid)).all(1).nonzero().squeeze(1)
        # Bins so small that each holds one point, then the largest of those of a bin.
        fine = [n * k for n, k in zip(bins, grid)]
        values = torchvision.ops.roi_align(x, rois[rows], fine, spatial_scale, 1, aligned)
        values = values.unflatten(3, (bins[1], grid[1])).unflatten(2, (bins[0], grid[0]))
        largest, at = values.transpose(3, 4).flatten(4).max(4)  # (rows, C, bins, bins)
        output[rows] = largest.to(output.dtype)
        for axis, (argmax, k) in enumerate([(argmax_y, at // grid[1]), (argmax_x, at % grid[1])]):
            side = sides[rows, axis].view(-1, 1, 1, 1) / bins[axis]
            number = torch.arange(bins[axis], device=x.device, dtype=x.dtype)
            number = number.view(-1, 1) if axis == 0 else number
            start = starts[rows, axis].view(-1, 1, 1, 1)
            argmax[rows] = (start + number * side + (k + 0.5) * side / grid[axis]).to(argmax.dtype)


@torch.no_grad()
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the derivative by the feature maps into ``grad_input``.

    Args and shapes: as in :func:`roi_align_forward`, with ``grad_output`` for ``output`` and
    ``grad_input`` for ``input``.
    """
    grad = _at_least_float32(grad_output)
    rois = rois.to(grad.dtype)
    if pool_mode == 1:
        grad_input.copy_(
            torch.ops.torchvision._roi_align_backward(
                grad.contiguous(), rois, spatial_scale, aligned_height, aligned_width,
                *grad_input.shape, sampling_ratio, aligned,
            )
        )  # fmt: skip
        return
    num_images, channels, height, width = grad_input.shape
    total = grad.new_zeros(grad_input.numel())
    y, x = argmax_y.to(grad.dtype), argmax_x.to(grad.dtype)
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width) & (argmax_y != -1)
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    plane = plane.view(*plane.shape, 1, 1) * (height * width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    for row, row_share in _neighbours(y, height):
        for column, column_share in _neighbours(x, width):
            share = torch.where(inside, grad * row_share * column_share, 0)
            total.index_add_(0, (plane + row * width + column).flatten(), share.flatten())
    grad_input.copy_(total.view_as(grad_input))


def _boxes_on_map(rois: Tensor, spatial_scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """First corners and sides (y, x) in pixels of the map, both (K, 2)."""
    corners = rois[:, [2, 1, 4, 3]] * spatial_scale - (0.5 if aligned else 0)
    sides = corners[:, 2:] - corners[:, :2]
    return corners[:, :2], sides if aligned else sides.clamp(min=1)


def _points_per_bin(sides: Tensor, bins: tuple[int, int], sampling_ratio: int) -> Tensor:
    """Along y and x, (K, 2), int64."""
    if sampling_ratio > 0:
        return torch.full_like(sides, sampling_ratio, dtype=torch.long)
    return (sides / sides.new_tensor(bins)).ceil().clamp(min=0).long()


def _neighbours(place: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels that a place between them is read from, and the share of each."""
    low = place.floor()
    high = (low + 1).clamp(max=size - 1)
    return [(low.long(), 1 - (place - low)), (high.long(), place - low)]


def get_compiler_version() -> str:
    """What ``mmcv.utils.collect_env`` prints as the compiler of the operators."""
    return 'n/a (mmcv without compiled operators)'


def get_compiling_cuda_version() -> str:
    """What ``mmcv.utils.collect_env`` prints as the CUDA version of the operators."""
    return 'n/a (mmcv without compiled operators)'


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _softplus(x: Tensor) -> Tensor:
    """-log(1 - sigmoid(x)); the default threshold of 20 would show in float64."""
    return F.softplus(x, threshold=40)


def _power(p: Tensor, gamma: float) -> Tensor:
    return p.square() if gamma == 2 else p.pow(gamma)


def _overwrite_targets(
    values: Tensor, x: Tensor, target: Tensor, positive: Callable[[Tensor], Tensor]
) -> None:
    """Set ``values[n, target[n]]`` to ``positive(x[n, target[n]])``; background rows stay.

    One entry per row is gathered, computed and put back: no second (N, C) pass, and no
    ``nonzero``, which would wait for the GPU.
    """
    num_classes = x.size(1)
    if x.numel() == 0:
        return
    column = target.clamp(0, num_classes - 1).unsqueeze(1)  # (N, 1)
    is_object = ((target >= 0) & (target < num_classes)).unsqueeze(1)
    mended = torch.where(is_object, positive(x.gather(1, column)), values.gather(1, column))
    values.scatter_(1, column, mended)


def _weighted(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Rows of ``values`` times the weight of their class; background keeps its value."""
    if weight.numel() == 0 or values.numel() == 0:
        return values
    is_object = (target >= 0) & (target < weight.numel())
    row_weight = weight.to(values.dtype)[target.clamp(0, weight.numel() - 1)]
    return values.mul_(torch.where(is_object, row_weight, 1).unsqueeze(1))


_OPERATORS = (
    nms,
    softnms,
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
    roi_align_forward,
    roi_align_backward,
    get_compiler_version,
    get_compiling_cuda_version,
)
