"""Makes what a step draws a function of the seed and the step."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import IterableDataset

from ...datasets.seeded import EndlessBatches, SeededSamples, remembering_transforms
from ...registry import HOOKS
from ...structures.randomness import seed_generators


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds each training sample by (seed, epoch, index), and each step by (seed, step, rank).

    So a resumed run draws what the uninterrupted one would have drawn, without any state of a
    generator in the checkpoint: augmentation in the workers, dropout and batch augmentation in
    the main process. ``cream_mm.Runner`` has this hook by default.

    Under mmengine's ``IterBasedTrainLoop`` a sample is a function of (seed, step, index).

    Not covered: transforms that keep earlier images (mmdet's ``CachedMosaic``). The hook warns
    of them.
    """

    priority = 'VERY_HIGH'  # before any hook that draws

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        dataset = loader.dataset
        self.samples = dataset.__getitems__ = SeededSamples(dataset, runner.seed)
        self.samples.set_epoch(runner.epoch)
        is_endless = hasattr(runner.train_loop, 'dataloader_iterator')
        has_index = loader.batch_sampler is not None and not isinstance(dataset, IterableDataset)
        if is_endless and has_index:
            runner.train_loop.dataloader_iterator = EndlessBatches(loader)
        if names := remembering_transforms(dataset):
            print_log(
                f'{", ".join(names)} keep earlier images for later samples, and a checkpoint does '
                'not hold them: a resumed run will be a good one, but not bit by bit the '
                'uninterrupted one',
                'current',
                level=30,
            )

    def before_train_epoch(self, runner: Runner) -> None:
        self.samples.set_epoch(runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        # The batch is there: what it drew in this process, without workers, does not matter.
        seed_generators('step', runner.seed, runner.iter, get_rank())

    def after_train(self, runner: Runner) -> None:
        batches = getattr(runner.train_loop, 'dataloader_iterator', None)
        if isinstance(batches, EndlessBatches):
            batches.close()
