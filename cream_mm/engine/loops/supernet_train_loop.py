"""Trains a supernet one path per step."""

from collections.abc import Sequence

from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop

from ...registry import LOOPS, TASK_UTILS


@LOOPS.register_module()
class SupernetTrainLoop(EpochBasedTrainLoop):
    """Epoch-based training that draws a path before each step, and rates paths at the end.

    Args:
        sampler (dict, optional): Path sampler. Defaults to uniform draws within the model's
            budget.
        **kwargs: Arguments of mmengine's ``EpochBasedTrainLoop``.
    """

    def __init__(self, runner, dataloader, *, sampler: dict | None = None, **kwargs):
        super().__init__(runner, dataloader, **kwargs)
        self.model = unwrap(runner.model)
        sampler = dict(sampler or dict(type='cream_mm.PathSampler'))
        sampler.setdefault('seed', runner.seed)
        self.sampler = TASK_UTILS.build(
            dict(sampler, space=self.model.backbone.space, budget=self.model.budget)
        )

    def run(self):
        """Train, then rate the paths and write ``best_arch.json``."""
        model = super().run()
        self.runner.test_loop.run()
        return model

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """One step: the path is a function of (seed, step), so it is the same on every rank."""
        self.model.backbone.set_arch(self.sampler.sample(step=self._iter))
        super().run_iter(idx, data_batch)


def unwrap(model):
    """The model inside a distributed wrapper."""
    return model.module if is_model_wrapper(model) else model
