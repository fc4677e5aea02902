"""Rates every candidate of a block by how well it gives the teacher's map."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import torch
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor
from torch.utils.data import Dataset

from ...evaluation.kept_batches import KeptBatches
from ...evaluation.shared_prefix import SharedPrefix
from ...files.rating_log import RatingLog, digest
from ...models.layers.bn_policy import of_this_rank, recalibrated
from ...structures.randomness import named_rng
from .dna import DNA
from .feature_teacher import FeatureTeacher

METRIC = 'relative_l1'
DIVERGED = 1e9  # rating of a path whose maps are not finite: worse than any other
TIMED_CHANGES = 3  # of the last layer but one, by which a dry run tells how long a block takes
CHUNK = 64  # candidates between two messages of the ranks, and between two lines of progress


def relative_l1(given: Sequence[Tensor], targets: Sequence[Tensor]) -> float:
    """How far maps are from the teacher's, in units of how far those are spread; lower is better.

    ``mean |Y - Y'| / (std(Y) + 1e-9)`` of each batch, over all of its numbers, the deviation
    unbiased; then the mean over batches, weighted by their images.

    Args:
        given, targets (Sequence[Tensor]): Batches (N, C, H, W) of the block and of the teacher.

    Reference:
        DNA, equation 6; released code.
    """
    ratios = [(y - t).abs().mean() / (t.std() + 1e-9) for y, t in zip(given, targets)]
    weights = [len(target) for target in targets]
    return sum(n * float(ratio) for n, ratio in zip(weights, ratios)) / sum(weights)


class BlockRating:
    """Rates all paths through each cell of a block on held-out images, without labels.

    Batch norm of a path is measured anew on training images, layer by layer, so that paths that
    begin alike share what they have in common: 1,554 layers are run for the 1,296 paths through
    four layers of six choices, and not 5,184, with the numbers that each alone would have.

    Args:
        model (DNA): With a trained supernet and its teacher.
        dataset (Dataset): Held-out images.
        bn_dataset (Dataset): Training images.
        num_images (int, optional): Rate on this many random images. None takes all.
        num_bn_images (int): Training images for batch norm. Defaults to 64.
        batch_size (int): Images per forward. Defaults to 64.
        num_workers (int): Processes that read the images. Defaults to 0.
        seed (int): Of the random subsets.
        max_gb (float): Memory for feature maps that paths have in common; beyond it more is
            computed again. Defaults to 4.
        log_file (str | Path, optional): Ratings are recorded there as they are made, and taken
            from there where weights, images and settings are the same.
    """

    def __init__(
        self,
        model: DNA,
        dataset: Dataset,
        bn_dataset: Dataset,
        *,
        num_images: int | None = None,
        num_bn_images: int = 64,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        max_gb: float = 4.0,
        log_file: str | Path | None = None,
    ):
        self.model = model
        self.max_bytes = int(max_gb * 2**30)
        args = dict(batch_size=max(2, batch_size), num_workers=num_workers, max_bytes=2**32)
        rng = named_rng('rating', seed, 0)
        self.batches = KeptBatches(dataset, num_images, rng, **args)
        self.bn_batches = KeptBatches(bn_dataset, num_bn_images, rng, **args, spare_one=True)
        if self.bn_batches.num_images < 2:
            raise ValueError('batch norm is to be measured on one training image: it needs two')
        self.layers_run = self.layers_asked = 0
        self.log = RatingLog(log_file, self.fingerprint()) if log_file is not None else None

    @property
    def num_images(self) -> int:
        """Images that a candidate is rated on."""
        return self.batches.num_images

    @property
    def description(self) -> str:
        """What batch norm is measured on, in words, for the record."""
        return f'recalibrate({self.bn_batches.num_images} images)'

    def fingerprint(self) -> str:
        """Of everything that a rating depends on besides the candidate."""

        def parts() -> Iterator[str | Tensor]:
            teacher, preprocessor = self.model.teacher, self.model.data_preprocessor
            yield from ('blocks/1', METRIC, teacher.mode, str(teacher.taps))
            yield str(getattr(preprocessor, '_channel_conversion', None))
            for state in (self.model.backbone.state_dict(), teacher.state_dict()):
                for name, value in state.items():
                    yield from (name, value)
            for name, value in preprocessor.named_buffers():
                yield from (name, value)
            for batches in (self.batches, self.bn_batches):
                for batch in batches:
                    yield from (str(len(batch['inputs'])), *batch['inputs'])

        return digest(parts())

    @torch.no_grad()
    def rate(self, block: int, progress: Callable[[int, int], None]) -> list[list[float]]:
        """Rate all candidates of a block.

        Args:
            block (int): From 0.
            progress (callable): Called on every rank with the number of candidates that were
                rated since the last call, and of those among them that were known.

        Returns:
            list[list[float]]: Of each cell, :func:`relative_l1` of each of its paths in the order
            of :meth:`BlockSpace.candidates`; on every rank. Lower is better.
        """
        model, was_training = self.model, self.model.training
        cells = range(len(model.backbone.space.cells[block]))
        known = [self._known(block, cell) for cell in cells]
        if not any(value is None for values in known for value in values):
            number = sum(map(len, known))
            progress(number, number)
            return known  # without a pass of the teacher
        model.eval()
        try:
            images, bn_images, targets = self._maps(block)
            with of_this_rank(model.backbone.modules()):
                return [
                    self._rate_cell(block, cell, known[cell], images, bn_images, targets, progress)
                    for cell in cells
                ]
        finally:
            model.train(was_training)

    @torch.no_grad()
    def time(self, block: int) -> float:
        """Seconds that :meth:`rate` takes for a block, by a few candidates of each of its cells."""
        model, was_training, space = self.model, self.model.training, self.model.backbone.space
        model.eval()
        try:
            start = perf_counter()
            images, bn_images, targets = self._maps(block)
            seconds = perf_counter() - start
            for cell in range(len(space.cells[block])):
                candidates = list(space.candidates(block, cell))
                choices = round(len(candidates) ** (1 / len(candidates[0])))
                timed = candidates[: TIMED_CHANGES * choices]  # of the last layer, each choice
                layers = [model.backbone.cell_layers(block, cell, c) for c in timed]
                shared = SharedPrefix(layers, images, bn_images, self.max_bytes)
                start = perf_counter()
                with of_this_rank(model.backbone.modules()):
                    for i in range(len(layers)):
                        relative_l1(shared[i], targets)
                each = (perf_counter() - start) / shared.layers_run
                seconds += each * sum(choices**n for n in range(1, len(candidates[0]) + 1))
            return seconds
        finally:
            model.train(was_training)

    def _maps(self, block: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """What a block is given of both sets of images, and what it is to give of the first."""
        model = self.model
        images = list(self._images(self.batches))
        bn_images = list(self._images(self.bn_batches))
        with _fitted(model.teacher, bn_images) as bn_maps:
            maps = [model.teacher(x) for x in images]
        if block:
            images = [m[block - 1] for m in maps]
            bn_images = [m[block - 1] for m in bn_maps]
        return images, bn_images, [m[block] for m in maps]

    def _known(self, block: int, cell: int) -> list[float | None]:
        """Of each candidate of a cell, its rating in the log."""
        space = self.model.backbone.space
        candidates = space.candidates(block, cell)
        if self.log is None:
            return [None for _ in candidates]
        archs = (space.candidate(block, cell, choices) for choices in candidates)
        return [(self.log.get(arch) or {}).get('value') for arch in archs]

    def _images(self, batches: KeptBatches) -> Iterator[Tensor]:
        for batch in batches:
            yield self.model.data_preprocessor(batch, False)['inputs']

    def _rate_cell(
        self,
        block: int,
        cell: int,
        known: list[float | None],
        images: list[Tensor],
        bn_images: list[Tensor],
        targets: list[Tensor],
        progress: Callable[[int, int], None],
    ) -> list[float]:
        """Each rank takes a run of neighbours, which share as much as possible."""
        space = self.model.backbone.space
        candidates = list(space.candidates(block, cell))
        archs = [space.candidate(block, cell, choices) for choices in candidates]
        found = list(known)
        unknown = [i for i, value in enumerate(found) if value is None]
        progress(len(archs) - len(unknown), len(archs) - len(unknown))
        rank, world_size = get_dist_info()
        length = -(-len(unknown) // world_size)
        mine = unknown[rank * length : (rank + 1) * length]
        layers = [self.model.backbone.cell_layers(block, cell, candidates[i]) for i in mine]
        shared = SharedPrefix(layers, images, bn_images, self.max_bytes)
        for start in range(0, length, CHUNK):
            values = {
                mine[i]: _finite(relative_l1(shared[i], targets))
                for i in range(start, min(start + CHUNK, len(mine)))
            }
            new = {i: value for part in all_gather_object(values) for i, value in part.items()}
            for i, value in new.items():
                found[i] = value
            if self.log is not None:
                record = dict(metric=METRIC, num_images=self.num_images)
                self.log.add_all((archs[i], dict(record, value=v)) for i, v in new.items())
            progress(len(new), 0)
        self.layers_run += shared.layers_run
        self.layers_asked += shared.layers_asked
        return found


@contextmanager
def _fitted(teacher: FeatureTeacher, images: list[Tensor]) -> Iterator[list[tuple[Tensor, ...]]]:
    """The teacher's maps of the training images; its norms are measured on them, too.

    With running statistics of its own (``mode='eval'``) it stays as it is. Else it is measured
    anew on the training images, as it teaches by the statistics of the batch.
    """
    if teacher.mode == 'eval':
        yield [teacher(x) for x in images]
        return
    maps: list[tuple[Tensor, ...]] = []
    mode, teacher.mode = teacher.mode, 'eval'
    try:
        run = lambda: maps.extend(teacher(x) for x in images)  # noqa: E731
        with recalibrated(teacher.network.modules(), run):
            yield maps
    finally:
        teacher.mode = mode


def _finite(value: float) -> float:
    """A path that diverged is worse than any other."""
    return min(value, DIVERGED) if math.isfinite(value) else DIVERGED
