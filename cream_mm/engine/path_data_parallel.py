"""Data-parallel training of a supernet: one path's gradients travel, not the whole supernet's."""

from typing import Any

import torch.nn as nn
from mmengine.dist import all_reduce_params, broadcast
from mmengine.optim import OptimWrapper
from torch import Tensor

from ..registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class PathDataParallel(nn.Module):
    """Averages over the ranks the gradients that a step has left, in one message after it.

    In place of ``MMDistributedDataParallel``, which sends a message for every parameter of the
    supernet and walks the graph for those without gradient. The path is the same on every rank
    (a function of seed and step), so the same parameters have gradients, and nothing has to be
    agreed on. The message waits for the backward pass; DistributedDataParallel's overlap with it.
    docs/scaling.md has the sizes.

    Parameters and buffers are those of rank 0 from the start. Running statistics of batch norm
    are each rank's own within an epoch, see :class:`NormStatsHook`.

    Args:
        module (nn.Module): A model of mmengine's.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        for tensor in (*module.parameters(), *module.buffers()):
            broadcast(tensor.data)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def train_step(
        self, data: dict | tuple | list, optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Forward, backward, all-reduce, optimizer step; returns what is to be logged.

        With gradient accumulation there is one message, before the optimizer steps.
        """
        with optim_wrapper.optim_context(self):
            data = self.module.data_preprocessor(data, True)
            losses = self(**data, mode='loss')
        loss, log_vars = self.module.parse_losses(losses)
        # OptimWrapper.update_params, with the message in the middle.
        optim_wrapper.backward(optim_wrapper.scale_loss(loss))
        if optim_wrapper.should_update():
            self.reduce_gradients()
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return log_vars

    def reduce_gradients(self) -> None:
        """Average the gradients that there are."""
        grads = [p.grad for p in self.module.parameters() if p.grad is not None]
        all_reduce_params(grads, op='mean')

    def val_step(self, data: dict | tuple | list) -> list:
        return self.module.val_step(data)

    def test_step(self, data: dict | tuple | list) -> list:
        return self.module.test_step(data)
