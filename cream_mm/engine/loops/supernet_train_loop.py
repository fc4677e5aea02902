"""Trains a supernet one path per step."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ...costs import Budget
from ...registry import LOOPS, TASK_UTILS, argument_names
from ...search import PathSampler
from ...structures import Arch
from ..distributed import unwrap
from ..stage import Stage

ZERO_GRADS = ('none', 'zero')


@LOOPS.register_module()
class SupernetTrainLoop(EpochBasedTrainLoop):
    """Epoch-based training that draws a path before each step, and rates paths at the end.

    The model is any whose ``backbone`` is a supernet: a classifier of mmpretrain or a detector of
    mmdet as they are, or a method that brings its own loss. A method that changes what is drawn
    has ``prepare_search(loop)``.

    Args:
        sampler (dict, optional): Path sampler. Defaults to uniform draws within the supernet's
            budget.
        zero_grad (str): Gradients of parameters that a step did not use: ``'none'`` (default)
            leaves these parameters as they are; with ``'zero'`` momentum and weight decay go on
            moving those that were trained once, as in PyTorch before 2.0.
        rate_at_end (bool): Run the test loop when the training is done; in a search it rates
            paths and writes the answer. Defaults to True.
        **kwargs: Arguments of mmengine's ``EpochBasedTrainLoop``.

    Raises:
        ValueError: If the model has no supernet, or an argument is none of these.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        *,
        sampler: dict | None = None,
        zero_grad: str = 'none',
        rate_at_end: bool = True,
        **kwargs: Any,
    ):
        super().__init__(runner, dataloader, **kwargs)
        if zero_grad not in ZERO_GRADS:
            raise ValueError(f'zero_grad is one of {ZERO_GRADS}; got {zero_grad!r}')
        self.model = unwrap(runner.model)
        self.supernet = supernet_of(self.model)
        self.sampler = build_sampler(sampler, self.supernet.budget, runner.seed)
        self.zero_grad = zero_grad
        self.rate_at_end = rate_at_end
        if hasattr(self.model, 'prepare_search'):
            self.model.prepare_search(self)

    def run(self) -> nn.Module:
        """Train, then let the test loop rate the paths."""
        if self.rate_at_end:
            _ = self.runner.test_loop  # builds it: a mistake in it should not wait for the end
        if self.zero_grad == 'zero':
            self._keep_gradients()
        if self._iter > 0:  # resumed: where the last step left it, for the validation that follows
            self.supernet.set_arch(self.path(self._iter - 1))
        model = super().run()
        self.before_rating()
        if self.rate_at_end and self.runner.test_loop is not None:
            self.runner.test_loop.run()
        return model

    def before_rating(self) -> None:
        """For loops with something to do when the training is over."""

    def path(self, step: int) -> Arch:
        """The path that a step trains."""
        return self.sampler.sample(step=step)

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """One step: the path is a function of (seed, step), so it is the same on every rank."""
        self.supernet.set_arch(self.path(self._iter))
        super().run_iter(idx, data_batch)

    def stages(self, runner: Runner) -> list[Stage]:
        """For a dry run: what the test loop does when the training is done."""
        loop = runner.test_loop if self.rate_at_end else None
        return loop.stages(runner) if hasattr(loop, 'stages') else []

    def state_dict(self) -> dict:
        """What a resumed run has to know beyond seed and step, for its checkpoint."""
        state = self.sampler.state_dict()
        return dict(sampler=state) if state else {}

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from :meth:`state_dict`."""
        if state.get('sampler'):
            self.sampler.load_state_dict(state['sampler'])

    def _keep_gradients(self) -> None:
        wrapper = self.runner.optim_wrapper
        wrapper.zero_grad = partial(wrapper.zero_grad, set_to_none=False)
        # A checkpoint holds no gradients: after a resume, those of paths trained before.
        for group in wrapper.param_groups:
            for param in group['params']:
                if wrapper.optimizer.state.get(param):
                    param.grad = torch.zeros_like(param)

    @classmethod
    def nested_arguments(cls) -> dict[str, set[str]]:
        """Arguments of the plain dictionaries among the arguments, for the check of a config."""
        return dict(sampler=argument_names(PathSampler) - {'space', 'budget'})


def supernet_of(model: nn.Module) -> BaseModule:
    """The supernet that a model is built around.

    Raises:
        ValueError: If its backbone is none.
    """
    backbone = getattr(model, 'backbone', None)
    if not getattr(backbone, 'shares_weights', False):
        raise ValueError(
            f'{type(model).__name__} is not built around a supernet: its backbone is a '
            f'{type(backbone).__name__}. Give it backbone=dict(type="cream_mm.CreamSupernet", ...)'
        )
    return backbone


def build_sampler(cfg: dict | None, budget: Budget, seed: int) -> PathSampler:
    """The sampler of a search, uniform within ``budget`` where ``cfg`` says nothing else."""
    cfg = {'type': 'cream_mm.PathSampler', 'seed': seed, **(cfg or {})}
    return TASK_UTILS.build(dict(cfg, space=budget.cost_model.space, budget=budget))
