"""Batch norm of batches too small for statistics: frozen, or fitted before it counts."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm
from torch.utils.data import Dataset

from ...models.eval_mode import eval_mode
from ...models.layers.bn_policy import refit
from ...registry import HOOKS
from ...structures.randomness import named_rng
from ..distributed import unwrap

MIN_BN_BATCH = 8
"""Images that statistics are taken of. From 16 on little changes; with 2 in place of 32 the error
of ResNet-50 on ImageNet grows from 24 to 35 % (Wu and He, Group Normalization, 2018, table 2)."""
REFIT_IMAGES = 512
REFIT_BATCH = 16  # no gradients: takes less memory than training on 4
FROZEN = 'frozen_norms'
"""In the message hub: part of the checkpoints."""


@HOOKS.register_module()
class SmallBatchNormHook(Hook):
    """Keeps batch norm right where batches are small, as a detector's of 2 images.

    If batch norm sees fewer than :data:`MIN_BN_BATCH` images at a time (on all ranks, if it is
    synchronised), layers that came with statistics, as those of a pretrained backbone, are frozen:
    they normalise with these in training, too, and only their weights learn. New layers have none:
    theirs are measured anew at the end of each epoch that is validated or saved, on training images
    under the validation's pipeline. A line says what is done. Larger batches stay as they are.

    Args:
        refit (int, optional): Measure on so many training images, whatever the batch size; 0 for
            never. Defaults to None: :data:`REFIT_IMAGES`, where batches are small and layers new.
            It reads the images and changes nothing that a training step depends on.
        min_batch (int): Smaller batches are small. Defaults to :data:`MIN_BN_BATCH`.

    Averaged weights (``EMAHook``) get statistics of their own. In a search (a supernet) the hook
    does nothing: paths are rated with statistics of their own.

    Raises:
        ValueError: If it is to measure in a run that counts steps.

    Reference:
        Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021.
    """

    priority = 'LOW'  # before CheckpointHook

    def __init__(self, refit: int | None = None, min_batch: int = MIN_BN_BATCH):
        self.refit, self.min_batch = refit, min_batch
        self._frozen: list[nn.Module] = []
        self._fitted: list[str] = []
        self._images: Dataset | None = None

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if getattr(getattr(model, 'backbone', None), 'shares_weights', False):
            return
        model.train()
        norms = {name: m for name, m in _norms(model) if m.training}  # not frozen_stages, norm_eval
        size = _images_at_a_time(runner, norms)
        is_small = size < self.min_batch
        frozen = runner.message_hub.get_info(FROZEN)  # new ones are no longer new by now
        if not isinstance(frozen, list):
            frozen = [name for name, m in norms.items() if is_small and not _is_new(m)]
            runner.message_hub.update_info(FROZEN, frozen)
        self._frozen = [norms[name] for name in frozen if name in norms]
        others = [name for name in norms if name not in frozen]
        number = self.refit
        if number is None:
            number = REFIT_IMAGES if is_small else 0
        self._fitted = others if number else []
        if self._fitted and runner.val_loop is not None:
            if not isinstance(runner.train_loop, EpochBasedTrainLoop):
                raise ValueError(
                    'SmallBatchNormHook measures at the end of epochs, and this run counts steps: '
                    'give it refit=0'
                )
            whole = as_tested(runner.train_dataloader.dataset, runner.val_dataloader.dataset)
            number = min(number, len(whole))
            chosen = named_rng('norm-refit', 0, 0).permutation(len(whole))[:number]
            self._images = torch.utils.data.Subset(whole, sorted(chosen.tolist()))
        if line := self._line(size, is_small, len(norms)):
            runner.logger.info(line)

    def _line(self, size: int, is_small: bool, count: int) -> str:
        if not count or not (is_small or self._images):
            return ''
        text = f'Batch norm sees {size} image{"s" * (size > 1)} at a time'
        if self._frozen:
            text += f': {len(self._frozen)} of {count} layers came with statistics and are frozen'
        if self._images:
            text += (
                f'; {len(self._fitted)} layers are fitted to {len(self._images)} training images'
            )
            text += ' before each validation'
        elif self._fitted or len(self._frozen) < count:
            text += f'; {count - len(self._frozen)} layers have statistics of small batches'
        return text

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        for norm in self._frozen:  # a loop calls model.train()
            norm.training = False

    def after_train_epoch(self, runner: Runner) -> None:
        if self._images is None or not _is_due(runner):
            return
        for model in _models(runner):
            norms = dict(_norms(model))
            with eval_mode(model):
                refit([norms[name] for name in self._fitted], lambda m=model: self._run(m))

    def _run(self, model) -> None:
        for images in self._batches():
            model(**model.data_preprocessor(pseudo_collate(images), False), mode='tensor')

    def _batches(self) -> Iterator[list]:
        """Upright images and others apart: together, a detector pads a third of each."""
        groups: dict[bool, list] = {}
        is_first = True
        for i in range(len(self._images)):
            image = self._images[i]
            height, width = image['inputs'].shape[-2:]
            group = groups.setdefault(height > width, [])
            group.append(image)
            if len(group) == REFIT_BATCH:
                yield groups.pop(height > width)
                is_first = False
        for group in groups.values():
            if len(group) > 1 or is_first:  # of one image torch takes none where a map is 1x1
                yield group
                is_first = False


def _norms(model: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """Names and layers, of those with running statistics."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield name, module


def _is_new(norm: _BatchNorm) -> bool:
    return bool((norm.running_mean == 0).all() and (norm.running_var == 1).all())


def _images_at_a_time(runner, norms: dict) -> int:
    loader = runner.train_dataloader
    size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', None) or 1
    size = min(size, len(loader.dataset))
    is_synced = any(isinstance(norm, SyncBatchNorm) for norm in norms.values())
    return size * runner.world_size if is_synced else size


def as_tested(images: Any, tested: Any) -> Dataset:
    """The images of a dataset under another one's pipeline; what wraps them is left out."""
    if inner := getattr(images, 'datasets', None):
        return torch.utils.data.ConcatDataset([as_tested(one, tested) for one in inner])
    while (inner := getattr(images, 'dataset', None)) is not None:
        return as_tested(inner, tested)
    while (inner := getattr(tested, 'dataset', None)) is not None:
        tested = inner
    if not hasattr(images, 'pipeline') or not hasattr(tested, 'pipeline'):
        return images
    plain = copy.copy(images)
    plain.pipeline = tested.pipeline
    return plain


def _models(runner) -> list[nn.Module]:
    """That which is trained, and its averages."""
    averages = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
    return [unwrap(runner.model), *averages]


def _is_due(runner) -> bool:
    """Whether this epoch, which is counted next, is validated or saved."""
    loop, epoch = runner.train_loop, runner.epoch + 1
    loop._decide_current_val_interval()
    if epoch == loop.max_epochs or epoch >= loop.val_begin and epoch % loop.val_interval == 0:
        return True
    return any(
        hook.by_epoch and hook.interval > 0 and epoch % hook.interval == 0
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook)
    )
