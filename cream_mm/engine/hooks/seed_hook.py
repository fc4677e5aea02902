"""Makes what a step draws a function of the seed and the step."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from ...datasets.seeded import SeededSamples, seed_generators
from ...registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds each training sample by (seed, epoch, index), and each step by (seed, step, rank).

    So a resumed run draws what the uninterrupted one would have drawn, without any state of a
    generator in the checkpoint: augmentation in the workers, dropout and batch augmentation in
    the main process. ``cream_mm.Runner`` has this hook by default.

    Not covered: transforms that keep earlier images (mmdet's ``CachedMosaic``), and workers that
    mmengine 0.10.7's ``IterBasedTrainLoop`` starts before any hook is called.
    """

    priority = 'VERY_HIGH'  # before any hook that draws

    def before_train(self, runner) -> None:
        dataset = runner.train_dataloader.dataset
        self.samples = dataset.__getitems__ = SeededSamples(dataset, runner.seed)
        self.samples.set_epoch(runner.epoch)

    def before_train_epoch(self, runner) -> None:
        self.samples.set_epoch(runner.epoch)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        # The batch is there: what it drew in this process, without workers, does not matter.
        seed_generators('step', runner.seed, runner.iter, get_rank())
