"""Follows a supernet's progress during training."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mmengine.runner import ValLoop

from ...models.layers.bn_policy import batch_stats, modules_of_path
from ...registry import LOOPS
from ...search import PathSampler
from ..distributed import unwrap
from ..lone_image import spread_lone_image
from .supernet_train_loop import supernet_of

# Beyond any training run's: a path drawn with this step was not trained on last.
FAR_STEP = 2**40


@LOOPS.register_module()
class SupernetValLoop(ValLoop):
    """Validates one path: ``path_to_validate()`` of the model or of the train loop says which.

    Where neither has it, it is one within the budget that is always the same.

    BN uses the statistics of each validation batch: enough to follow progress, and cheap. The
    validation data must be shuffled for it, or a batch would hold a single class. The rating at
    the end of a search recalibrates BN instead. No batch is of a single image, unless the set is:
    then the running statistics serve.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        spread_lone_image(self.dataloader)

    def run(self) -> dict:
        self.model = unwrap(self.runner.model)
        supernet = supernet_of(self.model)
        tellers = (self.model, self.runner._train_loop)  # the property would build the latter
        teller = next((one for one in tellers if hasattr(one, 'path_to_validate')), None)
        if teller is not None:
            arch = teller.path_to_validate()
        else:  # the same in every epoch and run, so that its numbers can be compared
            sampler = PathSampler(supernet.space, supernet.budget, seed=self.runner.seed)
            arch = sampler.sample(FAR_STEP)
        with supernet.using(arch):
            return super().run()

    def statistics(self, data_batch: Mapping) -> AbstractContextManager:
        """For a moment, BN as a batch is validated with it; :class:`EMAHook` does so by itself."""
        is_lone = len(data_batch['data_samples']) == 1
        return nullcontext() if is_lone else batch_stats(modules_of_path(self.model))

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        with self.statistics(data_batch):
            super().run_iter(idx, data_batch)
