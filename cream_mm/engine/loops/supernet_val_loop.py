"""Follows a supernet's progress during training."""

from collections.abc import Sequence

from mmengine.runner import ValLoop

from ...models.layers.bn_policy import batch_stats, modules_of_path
from ...registry import LOOPS
from ...search import PathSampler
from ..distributed import unwrap
from .supernet_train_loop import supernet_of

# Beyond any training run's: a path drawn with this step was not trained on last.
FAR_STEP = 2**40


@LOOPS.register_module()
class SupernetValLoop(ValLoop):
    """Validates one path: the model's ``path_to_validate()``, else a fixed one within the budget.

    BN uses the statistics of each validation batch: enough to follow progress, and cheap. The
    validation data must be shuffled for it, or a batch would hold a single class. The rating at
    the end of a search recalibrates BN instead.
    """

    def run(self) -> dict:
        self.model = unwrap(self.runner.model)
        supernet = supernet_of(self.model)
        if hasattr(self.model, 'path_to_validate'):
            arch = self.model.path_to_validate()
        else:  # the same in every epoch and run, so that its numbers can be compared
            sampler = PathSampler(supernet.space, supernet.budget, seed=self.runner.seed)
            arch = sampler.sample(FAR_STEP)
        with supernet.using(arch):
            return super().run()

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        with batch_stats(modules_of_path(self.model)):
            super().run_iter(idx, data_batch)
