"""Cream's training step as the released code does it, in plain PyTorch, to compare ours with.

A straight reading of the released step (docs/cream.md) that shares no code with cream_mm: ordinary
modules in the contiguous layout, each board entry matched by a forward of its own inside the
autograd graph, the teacher in train mode without a graph, gradients zeroed in place, and every
parameter in every optimizer step. Parameters have the released names.
``tests/benchmarks/test_plain_supernet.py`` compares its losses and gradients with those of
``compat='official'``.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

CHOICES = [(3, 4), (3, 6), (5, 4), (5, 6), (7, 4), (7, 6)]  # kernel, expansion
STEM_CHANNELS, LAST_CHANNELS, HEAD_CHANNELS = 16, 320, 1280
STAGES = [(24, 2), (40, 2), (80, 2), (96, 1), (192, 2)]  # channels, stride of the first layer
SLICE = 4  # images of a board entry


class SwishFunction(torch.autograd.Function):
    """Keeps its input alone and computes the sigmoid once more in the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate = x.sigmoid()
        return grad * (gate * (1 + x * (1 - gate)))


class Swish(nn.Module):
    """``x * sigmoid(x)`` as the released code's networks had it, before PyTorch's own operator."""

    def forward(self, x: Tensor) -> Tensor:
        return SwishFunction.apply(x)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        reduced = divisible(channels * 0.25)
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.act = nn.ReLU(inplace=True)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv_expand(self.act(self.conv_reduce(F.adaptive_avg_pool2d(x, 1))))
        return x * (F.relu6(gate + 3.0) / 6.0)


class MBConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, expand: int, stride: int):
        super().__init__()
        mid = divisible(in_channels * expand)
        self.shortcut = stride == 1 and in_channels == out_channels
        self.conv_pw = nn.Conv2d(in_channels, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.act1 = Swish()
        self.conv_dw = nn.Conv2d(mid, mid, kernel, stride, kernel // 2, groups=mid, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.act2 = Swish()
        self.se = SqueezeExcite(mid)
        self.conv_pwl = nn.Conv2d(mid, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv_pw(x)))
        out = self.act2(self.bn2(self.conv_dw(out)))
        out = self.bn3(self.conv_pwl(self.se(out)))
        if self.shortcut:
            out += x
        return out


class DepthwiseSeparable(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = Swish()
        self.se = SqueezeExcite(channels)
        self.conv_pw = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.se(self.act1(self.bn1(self.conv_dw(x))))
        out = self.bn2(self.conv_pw(out))
        out += x
        return out


class ConvBNAct(nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.act1 = Swish()

    def forward(self, x: Tensor) -> Tensor:
        return self.act1(self.bn1(self.conv(x)))


class PlainSupernet(nn.Module):
    """Every choice at every layer, and the matching network.

    Args:
        depths (Sequence[int]): Layers of the five stages.
        num_classes (int): Number of classes.
        silu (bool): PyTorch's operator in place of :class:`Swish`: the same values, faster.

    Shapes:
        input: (N, 3, H, W), and the choices of each stage. output: (N, num_classes).
    """

    def __init__(
        self,
        depths: Sequence[int] = (4, 4, 4, 4, 4),
        num_classes: int = 1000,
        silu: bool = False,
    ):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.act1 = Swish()
        stages = [[[DepthwiseSeparable(STEM_CHANNELS)]]]
        channels = STEM_CHANNELS
        for (out_channels, stride), depth in zip(STAGES, depths, strict=True):
            stages.append([])
            for layer in range(depth):
                shape = channels, out_channels
                step = stride if layer == 0 else 1
                stages[-1].append([MBConv(*shape, *choice, step) for choice in CHOICES])
                channels = out_channels
        stages.append([[ConvBNAct(channels, LAST_CHANNELS)]])
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(choices) for choices in stage) for stage in stages
        )
        self.conv_head = nn.Conv2d(LAST_CHANNELS, HEAD_CHANNELS, 1)
        self.act2 = Swish()
        self.classifier = nn.Linear(HEAD_CHANNELS, num_classes)
        self.meta_layer = nn.Linear(SLICE * num_classes, 1)
        if silu:
            for module in list(self.modules()):
                for name, child in module.named_children():
                    if isinstance(child, Swish):
                        setattr(module, name, nn.SiLU(inplace=True))

    def forward(self, x: Tensor, arch: Sequence[Sequence[int]]) -> Tensor:
        x = self.act1(self.bn1(self.conv_stem(x)))
        for stage, choices in zip(self.blocks, [[0], *arch, [0]], strict=True):
            for layer, choice in zip(stage, choices, strict=True):
                x = layer[choice](x)
        x = self.act2(self.conv_head(F.adaptive_avg_pool2d(x, 1)))
        return self.classifier(x.flatten(1))


class Entry(NamedTuple):
    """What the board holds of a path."""

    arch: Sequence[Sequence[int]]
    images: Tensor  # (SLICE, 3, H, W)
    soft_targets: Tensor  # (SLICE, num_classes)


Phase = Callable[[str], AbstractContextManager]


class PlainStep:
    """A training step with a full board.

    Args:
        model (PlainSupernet): The supernet, in training mode.
        board (list[Entry]): Best first.
        lr (float): Of all but the matching network, which has a 1e-4 part of it.
    """

    def __init__(self, model: PlainSupernet, board: list[Entry], lr: float = 1e-3):
        self.model, self.board = model, board
        groups = dict(vector=[], matrix=[], meta_bias=[], meta_weight=[])
        for name, param in model.named_parameters():
            if name.startswith('meta_layer'):
                groups['meta_bias' if name.endswith('bias') else 'meta_weight'].append(param)
            else:
                groups['vector' if param.dim() == 1 else 'matrix'].append(param)
        self.optimizer = torch.optim.SGD(
            [
                dict(params=groups['vector']),
                dict(params=groups['matrix'], weight_decay=1e-4),
                dict(params=groups['meta_bias'], lr=lr * 1e-4),
                dict(params=groups['meta_weight'], lr=lr * 1e-4),
            ],
            lr=lr,
            momentum=0.9,
            nesterov=True,
        )
        for param in model.parameters():  # as after a while of training: every path was met
            param.grad = torch.zeros_like(param)

    def run(
        self,
        images: Tensor,
        labels: Tensor,
        arch: Sequence[Sequence[int]],
        phase: Phase = lambda name: nullcontext(),
    ) -> Tensor:
        """Train ``arch`` on one batch and return the loss; ``phase`` times the parts."""
        loss = self.loss(images, labels, arch, phase)
        with phase('backward'):
            self.optimizer.zero_grad(set_to_none=False)
            loss.backward()
        with phase('optimizer'):
            self.optimizer.step()
        return loss.detach()

    def loss(
        self,
        images: Tensor,
        labels: Tensor,
        arch: Sequence[Sequence[int]],
        phase: Phase = lambda name: nullcontext(),
    ) -> Tensor:
        """(N, 3, H, W), (N,) -> scalar, with a graph."""
        with phase('matching'):
            rate, teacher = self.select_teacher(arch)
        with phase('student'):
            logits = self.model(images, arch)
            loss_cls = F.cross_entropy(logits, labels, label_smoothing=0.1)
        with phase('teacher'), torch.no_grad():
            soft_labels = self.model(images, teacher).softmax(1)
        with phase('student'):
            loss_kd = (-soft_labels * logits.log_softmax(1)).sum(1).mean()
            return ((rate * loss_kd + (2 - rate) * loss_cls) / 2).sum()

    def select_teacher(self, arch: Sequence[Sequence[int]]) -> tuple[Tensor, Sequence]:
        """The rate, of the *last* entry as released, and the path with the highest score.

        All entries run inside autograd, but only the last one's graph is still there in the end.
        """
        best, teacher = -float('inf'), None
        for entry in self.board:
            probs = self.model(entry.images, arch).softmax(1)
            score = self.model.meta_layer((probs - entry.soft_targets).view(1, -1))
            if float(score.detach()) > best:
                best, teacher = float(score.detach()), entry.arch
        return torch.sigmoid(-score), teacher


def divisible(value: float, by: int = 8) -> int:
    """The nearest multiple, at least 90 % of ``value``."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded
