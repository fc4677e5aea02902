"""Rates paths of a supernet on images it was not trained on."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ..files.rating_log import RatingLog, digest
from ..models.layers.bn_policy import batch_stats, of_this_rank, recalibrated
from ..structures import Arch
from ..structures.randomness import named_rng
from .shared_prefix import SharedPrefix


class Rating(NamedTuple):
    """Quality of one path on ``num_images`` images."""

    top1_pct: float  # higher is better
    num_images: int
    loss: float  # mean cross entropy in nats, lower is better; paths are compared by it
    losses: tuple[float, ...] = ()  # of each image, to 1e-4 nats; the same images for all paths


class ArchEvaluator:
    """Top-1 of a path on a fixed set of held-out images, with BN fitted to that path.

    The images are read once and kept (8 bit), so that the second path costs no decoding.

    Args:
        model (Cream): Classifier around a supernet.
        dataset (Dataset): Held-out images with labels.
        bn_dataset (Dataset): Training images for BN recalibration, under the test pipeline.
        num_images (int, optional): Rate on this many random images. None takes all.
        num_bn_images (int): Images for recalibration. Defaults to 2048.
        bn_policy (str): 'recalibrate' measures running statistics for each path;
            'batch_stats' uses those of each rated batch. Defaults to 'recalibrate'.
        batch_size (int): Images per forward. Defaults to 256.
        num_workers (int): Processes that read the images. Defaults to 0.
        seed (int): Of the random subsets.
        max_gb (float): Memory for feature maps that paths have in common, see
            :class:`SharedPrefix`. Where those of all images do not fit, as of many photographs,
            and with 0, each path is run alone. Defaults to 4.
        log_file (str | Path, optional): Ratings are recorded there as they are made, and taken
            from there by :meth:`rate_all` where weights, images and settings are the same.

    Raises:
        ValueError: If ``bn_policy`` is unknown or there is nothing to rate on.
    """

    def __init__(
        self,
        model,
        dataset: Dataset,
        bn_dataset: Dataset,
        *,
        num_images: int | None = None,
        num_bn_images: int = 2048,
        bn_policy: str = 'recalibrate',
        batch_size: int = 256,
        num_workers: int = 0,
        seed: int = 0,
        max_gb: float = 4.0,
        log_file=None,
    ):
        if bn_policy not in ('recalibrate', 'batch_stats'):
            raise ValueError(f"bn_policy is 'recalibrate' or 'batch_stats'; got {bn_policy!r}")
        self.model = model
        self.bn_policy = bn_policy
        self.max_bytes = int(max_gb * 2**30)
        args = dict(batch_size=batch_size, num_workers=num_workers)
        rng = named_rng('rating', seed, 0)
        self._batches = _read(dataset, num_images, rng, **args)
        self._bn_batches = []
        if bn_policy == 'recalibrate':
            self._bn_batches = _read(bn_dataset, num_bn_images, rng, **args)
        self.log = RatingLog(log_file, self.fingerprint()) if log_file is not None else None

    def fingerprint(self) -> str:
        """Of everything that a rating depends on besides the path."""

        def parts():
            preprocessor = self.model.data_preprocessor
            yield from ('rating/3', self.bn_policy, getattr(preprocessor, 'to_rgb', None))
            for name, value in self.model.state_dict().items():
                if not name.startswith(('board.', 'matching.')):
                    yield from (name, value)
            for name, value in preprocessor.named_buffers():
                yield from (name, value)  # mean and std are in no state_dict
            for batch in (*self._batches, 'recalibrated on', *self._bn_batches):
                if isinstance(batch, str):
                    yield batch
                    continue
                yield len(batch['inputs'])
                yield from batch['inputs']
                yield from (sample.gt_label for sample in batch['data_samples'])

        return digest(parts())

    @property
    def description(self) -> str:
        """The BN policy in words, for the record."""
        if self.bn_policy == 'batch_stats':
            return 'batch_stats'
        return f'recalibrate({sum(len(b["inputs"]) for b in self._bn_batches)} images)'

    @property
    def largest_class_pct(self) -> float:
        """Share of the rated images in the most frequent class: what a constant answer reaches."""
        counts = torch.bincount(torch.cat([_labels(batch) for batch in self._batches]))
        return 100.0 * int(counts.max()) / int(counts.sum())

    @torch.no_grad()
    def rate(self, arch: Arch) -> Rating:
        """Rate one path. The model is left as it was."""
        model, backbone = self.model, self.model.backbone
        was_training = model.training
        model.eval()
        try:
            # The other ranks rate other paths.
            with backbone.using(arch), of_this_rank(backbone.path_modules()):
                if self.bn_policy == 'batch_stats':
                    with batch_stats(backbone.path_modules()):
                        return self._count()
                with recalibrated(backbone.path_modules(), self._calibrate):
                    return self._count()
        finally:
            model.train(was_training)

    def _calibrate(self) -> None:
        for batch in self._bn_batches:
            self.model.backbone(self.model.data_preprocessor(batch)['inputs'])

    def _count(self) -> Rating:
        data = (self.model.data_preprocessor(batch) for batch in self._batches)
        return _rating((self.model(d['inputs']), _labels(d)) for d in data)

    def rate_all(self, archs: list[Arch], progress: Callable[[int, Rating], None]) -> list[Rating]:
        """Rate many paths, as many at a time as there are ranks, one on each.

        Args:
            archs (list[Arch]): The paths, the same on every rank.
            progress (callable): ``progress(index, rating)`` is called for each, on every rank, in
                the order in which they are rated: that of the choices.

        Returns:
            list[Rating]: In the order of ``archs``, on every rank.
        """
        ratings: list[Rating | None] = [None] * len(archs)
        if self.log is not None:
            ratings = [_known(self.log.get(arch)) for arch in archs]
        for i, rating in enumerate(ratings):
            if rating is not None:
                progress(i, rating)
        unknown = [i for i, rating in enumerate(ratings) if rating is None]
        # Neighbours share as much as possible; each rank takes a run of neighbours.
        unknown.sort(key=lambda i: archs[i].stages)
        rank, world_size = get_dist_info()
        length = -(-len(unknown) // world_size)
        shares = [unknown[r * length : (r + 1) * length] for r in range(world_size)]
        mine = self._rate_in_order([archs[i] for i in shares[rank]])
        for turn in range(length):
            indices = [share[turn] for share in shares if turn < len(share)]
            for i, rating in zip(indices, all_gather_object(next(mine, None))):
                ratings[i] = rating
                if self.log is not None:
                    self.log.add(archs[i], rating._asdict())
                progress(i, rating)
        next(mine, None)  # what the sharing saved is known, and said, only after the last
        return ratings

    @torch.no_grad()
    def _rate_in_order(self, archs: list[Arch]) -> Iterator[Rating]:
        """Rate each path; see :class:`SharedPrefix`."""
        model, was_training = self.model, self.model.training
        if not self._shares():
            yield from map(self.rate, archs)
            return
        data = [model.data_preprocessor(batch) for batch in self._batches]
        bn_images = None
        if self.bn_policy == 'recalibrate':
            bn_images = [model.data_preprocessor(b)['inputs'] for b in self._bn_batches]
        images = [d['inputs'] for d in data]
        shared = SharedPrefix(model.backbone, archs, images, bn_images, self.max_bytes)
        for i in range(len(archs)):
            model.eval()
            try:
                with of_this_rank(model.backbone.modules()):
                    maps = shared[i]
                rating = _rating((model.head((x,)), _labels(d)) for x, d in zip(maps, data))
            finally:
                model.train(was_training)
            yield rating
        if len(archs) > 1 and shared.layers_asked:
            print_log(
                f'Paths with the same first layers shared them: {shared.layers_run} layers were '
                f'run in place of {shared.layers_asked} '
                f'({1 - shared.layers_run / shared.layers_asked:.0%} saved)',
                'current',
            )

    def _shares(self) -> bool:
        """Whether the feature maps of all images fit into memory at once."""
        backbone = self.model.backbone
        first = self.model.data_preprocessor(self._batches[0])['inputs'][:1]
        with batch_stats((backbone.conv_stem, backbone.bn1)):
            bytes_per_image = backbone.stem(first).nbytes
        number = sum(len(b['inputs']) for b in (*self._batches, *self._bn_batches))
        last = len(backbone.blocks) - 1
        plain = not self.model.with_neck and backbone.out_indices == (last,)
        # A layer's input and output, and the largest that is kept.
        return plain and 3 * bytes_per_image * number <= self.max_bytes


def _known(record: dict | None) -> Rating | None:
    if record is None:
        return None
    return Rating(**{**record, 'losses': tuple(record.get('losses', ()))})


def _labels(data: dict) -> Tensor:
    return torch.cat([sample.gt_label for sample in data['data_samples']])


def _rating(outputs: Iterable[tuple[Tensor, Tensor]]) -> Rating:
    """From (logits (N, num_classes), labels (N,)) of each batch."""
    correct, losses = 0, []
    for logits, labels in outputs:
        correct += int((logits.argmax(dim=1) == labels).sum())
        losses.append(F.cross_entropy(logits.double(), labels, reduction='none'))
    losses = torch.cat(losses)
    # Rounded here and not on the disk, so that a rating that was read again is the same.
    rounded = tuple(round(loss, 4) for loss in losses.tolist())
    return Rating(100.0 * correct / len(losses), len(losses), float(losses.mean()), rounded)


def _read(dataset, num, rng, *, batch_size, num_workers) -> list[dict]:
    """A fixed random subset as collated batches. Shuffled: BN must not see one class at a time."""
    if len(dataset) == 0:
        raise ValueError('there are no images to rate on')
    order = rng.permutation(len(dataset))[:num].tolist()
    loader = DataLoader(
        Subset(dataset, order), batch_size, num_workers=num_workers, collate_fn=pseudo_collate
    )
    return list(loader)
