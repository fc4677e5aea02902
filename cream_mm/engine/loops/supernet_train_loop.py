"""Trains a supernet one path per step."""

from collections.abc import Sequence
from functools import partial

import torch
from mmengine.runner import EpochBasedTrainLoop

from ...costs import Budget
from ...registry import LOOPS, TASK_UTILS
from ...search import PathSampler
from ..distributed import unwrap


@LOOPS.register_module()
class SupernetTrainLoop(EpochBasedTrainLoop):
    """Epoch-based training that draws a path before each step, and rates paths at the end.

    Args:
        sampler (dict, optional): Path sampler. Defaults to uniform draws.
        **kwargs: Arguments of mmengine's ``EpochBasedTrainLoop``.
    """

    def __init__(self, runner, dataloader, *, sampler: dict | None = None, **kwargs):
        super().__init__(runner, dataloader, **kwargs)
        self.model = unwrap(runner.model)
        self.sampler = build_sampler(runner, sampler, self.model.path_budget)

    def run(self):
        """Train, then rate the paths and write ``best_arch.json``."""
        if self.model.compat.unsampled == 'decayed':
            wrapper = self.runner.optim_wrapper
            # Gradients of zero instead of none, as PyTorch had it when Cream was written: paths
            # that were trained once go on moving by momentum and weight decay.
            wrapper.zero_grad = partial(wrapper.zero_grad, set_to_none=False)
            # A checkpoint holds no gradients: after a resume, those of paths trained before.
            for group in wrapper.param_groups:
                for param in group['params']:
                    if wrapper.optimizer.state.get(param):
                        param.grad = torch.zeros_like(param)
        if self._iter > 0:  # resumed: where the last step left it, for the validation that follows
            self.model.backbone.set_arch(self.sampler.sample(step=self._iter - 1))
        model = super().run()
        self.runner.test_loop.run()
        return model

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """One step: the path is a function of (seed, step), so it is the same on every rank."""
        self.model.backbone.set_arch(self.sampler.sample(step=self._iter))
        super().run_iter(idx, data_batch)


def build_sampler(runner, cfg: dict | None, budget: Budget) -> PathSampler:
    """The sampler of a search, within ``budget``."""
    model = unwrap(runner.model)
    cfg = {'type': 'cream_mm.PathSampler', 'seed': runner.seed, **(cfg or {})}
    if model.compat.sampling == 'uniform':
        cfg.pop('op_prob', None)
    return TASK_UTILS.build(dict(cfg, space=model.backbone.space, budget=budget))
