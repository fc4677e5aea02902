"""Rates paths of a supernet on images it was not trained on."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, get_dist_info
from torch.utils.data import DataLoader, Dataset, Subset

from ..search.path_sampler import named_rng
from ..structures import Arch
from .bn_policy import batch_stats, of_this_rank, recalibrated
from .rating_log import RatingLog, digest


class Rating(NamedTuple):
    """Score of one path; higher is better."""

    top1_pct: float
    num_images: int


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
        log_file=None,
    ):
        if bn_policy not in ('recalibrate', 'batch_stats'):
            raise ValueError(f"bn_policy is 'recalibrate' or 'batch_stats'; got {bn_policy!r}")
        self.model = model
        self.bn_policy = bn_policy
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
            yield from ('rating/1', self.bn_policy, getattr(preprocessor, 'to_rgb', None))
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
        correct = total = 0
        for batch in self._batches:
            data = self.model.data_preprocessor(batch)
            predicted = self.model(data['inputs']).argmax(dim=1)
            labels = torch.cat([sample.gt_label for sample in data['data_samples']])
            correct += int((predicted == labels).sum())
            total += len(labels)
        return Rating(100.0 * correct / total, total)

    def rate_all(self, archs: list[Arch], progress: Callable[[int, Rating], None]) -> list[Rating]:
        """Rate many paths, as many at a time as there are ranks, one on each.

        Args:
            archs (list[Arch]): The paths, the same on every rank.
            progress (callable): ``progress(index, rating)`` is called for each, on every rank.

        Returns:
            list[Rating]: In the order of ``archs``, on every rank.
        """
        ratings: list[Rating | None] = [None] * len(archs)
        if self.log is not None:
            ratings = [Rating(**known) if (known := self.log.get(a)) else None for a in archs]
        for i, rating in enumerate(ratings):
            if rating is not None:
                progress(i, rating)
        unknown = [i for i, rating in enumerate(ratings) if rating is None]
        rank, world_size = get_dist_info()
        for start in range(0, len(unknown), world_size):
            turn = unknown[start : start + world_size]
            mine = self.rate(archs[turn[rank]]) if rank < len(turn) else None
            for i, rating in zip(turn, all_gather_object(mine)):
                ratings[i] = rating
                if self.log is not None:
                    self.log.add(archs[i], rating._asdict())
                progress(i, rating)
        return ratings


def _read(dataset, num, rng, *, batch_size, num_workers) -> list[dict]:
    """A fixed random subset as collated batches. Shuffled: BN must not see one class at a time."""
    if len(dataset) == 0:
        raise ValueError('there are no images to rate on')
    order = rng.permutation(len(dataset))[:num].tolist()
    loader = DataLoader(
        Subset(dataset, order), batch_size, num_workers=num_workers, collate_fn=pseudo_collate
    )
    return list(loader)
