"""A stand-in for ``mmcv._ext``, so that mmdet runs without mmcv's compiled operators.

mmdet imports ``mmcv.ops``, which asks ``mmcv._ext`` for some hundred operators as it is imported.
Few detectors need more than NMS and the focal loss; those two are here, as torch and torchvision
compute them. All other operators exist by name and raise when called. Compiled operators, where
there are any, are never replaced.

Reference:
    Signatures and the meaning of the arguments: ``mmcv/ops/{nms,focal_loss,info}.py`` (Apache-2.0).
"""

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import NoReturn

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
    'roi_align_forward': 'set use_torchvision=True in the RoIAlign of the config',
    'softnms': "use nms=dict(type='nms', ...) in test_cfg",
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
    for function in (
        nms,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    ):
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
            'compiled operators and cream_mm provides only nms and sigmoid_focal_loss in their '
            f'place. {f"To do without it: {hint}. " if hint else ""}To get it:\n'
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
