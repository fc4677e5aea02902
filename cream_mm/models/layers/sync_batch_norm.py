"""Synchronised batch norm where torch has none: on a CPU."""

import torch
import torch.nn as nn
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(nn.SyncBatchNorm):
    """``nn.SyncBatchNorm`` that also takes images on a CPU, differentiable any number of times.

    ``cream_mm.Runner`` puts it in the place of torch's, which ``sync_bn='torch'`` in a config or
    ``norm_cfg=dict(type='SyncBN')`` ask for, on machines without a GPU.

    Shapes:
        input and output: (N, C, ...); N may differ between the ranks.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        if not self.training or get_world_size() == 1:
            return _BatchNorm.forward(self, x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        var, mean = torch.var_mean(x, axes, correction=0)  # (C,), of this rank
        size = mean.new_full((1,), x.numel() / x.shape[1])
        # Each rank fills its row. Variances are joined, not mean squares: those would cancel.
        rows = x.new_zeros(get_world_size(), 2 * len(mean) + 1)
        mine = torch.zeros_like(rows[:, :1])
        mine[get_rank()] = 1
        rows = all_reduce(rows + mine * torch.cat([mean, var, size]))
        means, variances, sizes = rows.split([len(mean), len(mean), 1], dim=1)
        shares = sizes / sizes.sum()  # (ranks, 1)
        mean = (shares * means).sum(0)
        var = (shares * (variances + (means - mean) ** 2)).sum(0)
        if self.track_running_stats:
            self._track(mean.detach(), var.detach(), sizes.sum())
        shape = [1, -1] + [1] * (x.dim() - 2)
        scale = torch.rsqrt(var + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return x * scale.view(shape) + shift.view(shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, size: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        # None: a cumulative average
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * size / (size - 1), momentum)
