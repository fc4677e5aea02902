"""Rates paths of a supernet on images it was not trained on."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.evaluator import BaseMetric
from mmengine.evaluator.metric import _to_cpu
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.models.heads import MultiLabelClsHead, MultiTaskHead
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from ..checkpoints.load_weights import SEARCH_ONLY
from ..files.rating_log import RatingLog, digest
from ..models.layers.bn_policy import (
    batch_stats,
    modules_of_path,
    modules_outside,
    of_this_rank,
    recalibrated,
)
from ..models.supernets import PathLayer
from ..structures import Arch
from ..structures.randomness import named_rng
from .bootstrap import NUM_DRAWS, metric_draws, quiet
from .kept_batches import KeptBatches
from .shared_prefix import SharedPrefix

_NAME_ONE = (
    '{} is no classifier of single labels, so paths are compared by a metric of its evaluator: '
    "name it, for example test_cfg.metric='coco/bbox_mAP'"
)
_LOWER_IS_BETTER = ('loss', 'error', 'mae', 'mse', 'rmse')


class Rating(NamedTuple):
    """Quality of one path on ``num_images`` images: cross entropy and top-1, or a metric."""

    top1_pct: float | None  # of classifiers without a metric; higher is better
    num_images: int
    loss: float | None  # mean cross entropy in nats, lower is better; paths are compared by it
    losses: tuple[float, ...] = ()  # of each image, to 1e-4 nats; the same images for all paths
    metric: str | None = None  # what paths are compared by in place of it
    value: float | None = None  # of the metric, higher is better
    draws: tuple[float, ...] = ()  # of the metric on resampled images, the same for all paths

    @property
    def score(self) -> float:
        """What paths are compared by; higher is better."""
        return -self.loss if self.metric is None else self.value

    def record(self) -> dict:
        """As plain JSON values; what the rating does not have is left out."""
        return {k: v for k, v in self._asdict().items() if v is not None and v != ()}

    def __str__(self) -> str:
        if self.metric is not None:
            return f'{self.metric} {self.value:.4f}'
        return f'cross entropy {self.loss:.4f} nats, top-1 {self.top1_pct:.2f} %'


class ArchEvaluator:
    """How good a path is on a fixed set of held-out images, with BN fitted to that path.

    A plain classifier is rated by cross entropy and top-1. With ``metric``, or any other model,
    the model runs as it does in a validation, and its metrics judge what it says. BN is fitted for
    the path and for all norms outside the supernet, those of necks and heads.

    The images are read once and kept (8 bit), so that the second path costs no decoding.

    Args:
        model (BaseModel): Built around a supernet, its ``backbone``.
        dataset (Dataset): Held-out images with labels.
        bn_dataset (Dataset): Training images for BN recalibration, under the test pipeline.
        metrics (Sequence[BaseMetric]): Of mmengine, with their ``dataset_meta``. They are asked
            for ``metric``.
        metric (str, optional): Its full name, e.g. ``'accuracy/top1'``, ``'single-label/f1-score'``
            or ``'coco/bbox_mAP_50'``; higher has to be better. None: cross entropy.
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
        keep_gb (float): Memory for images; those beyond are read again for each path. Defaults
            to 4.
        log_file (str | Path, optional): Ratings are recorded there as they are made, and taken
            from there by :meth:`rate_all` where weights, images and settings are the same.

    Raises:
        ValueError: If ``bn_policy`` is unknown, there is nothing to rate on, or the model is no
            plain classifier and no metric is named.
    """

    def __init__(
        self,
        model: BaseModel,
        dataset: Dataset,
        bn_dataset: Dataset,
        *,
        metrics: Sequence[BaseMetric] = (),
        metric: str | None = None,
        num_images: int | None = None,
        num_bn_images: int = 2048,
        bn_policy: str = 'recalibrate',
        batch_size: int = 256,
        num_workers: int = 0,
        seed: int = 0,
        max_gb: float = 4.0,
        keep_gb: float = 4.0,
        log_file: str | Path | None = None,
    ):
        if bn_policy not in ('recalibrate', 'batch_stats'):
            raise ValueError(f"bn_policy is 'recalibrate' or 'batch_stats'; got {bn_policy!r}")
        self.model = model
        self.bn_policy = bn_policy
        self.max_bytes = int(max_gb * 2**30)
        self.metrics, self.metric, self.seed = list(metrics), metric, seed
        self._settings = list(_settings(model, self.metrics))
        args = dict(batch_size=batch_size, num_workers=num_workers, max_bytes=keep_gb * 2**30)
        rng = named_rng('rating', seed, 0)
        # Of a single image some maps have one number per channel: no statistics.
        bn_args = dict(args, batch_size=max(2, batch_size))
        if bn_policy == 'batch_stats':
            args = dict(bn_args, join_one=True)
        self._batches = KeptBatches(dataset, num_images, rng, **args)
        self._bn_batches = None
        if bn_policy == 'recalibrate':
            self._bn_batches = KeptBatches(
                bn_dataset, num_bn_images, rng, **bn_args, spare_one=True
            )
        if (measured := self._bn_batches or self._batches).num_images < 2:
            images = 'held-out' if measured is self._batches else 'training'
            raise ValueError(
                f'batch norm is to be measured on a single one of the {images} images: it needs '
                'two, better hundreds'
            )
        self._norms_outside = [m for m in modules_outside(model) if isinstance(m, _BatchNorm)]
        self._check_metric(dataset)
        self.log: RatingLog | None = None
        if log_file is not None:
            self.open_log(log_file, self.fingerprint())

    def open_log(self, file: str | Path, key: str) -> None:
        """Record ratings there from now on, under a :meth:`fingerprint` of the weights."""
        self.log = RatingLog(file, key)

    def _check_metric(self, dataset: Dataset) -> None:
        check_metric(self.metric, self.metrics, self.model)
        if self.metric is None:
            if not _is_single_label(self._batches):
                raise ValueError(_NAME_ONE.format(type(self.model).__name__))
            return
        for metric in self.metrics:
            if hasattr(metric, 'img_ids'):  # a subset of the images is one for the metric, too
                indices = self._batches.indices
                metric.img_ids = [dataset.get_data_info(i)['img_id'] for i in indices]
                check_annotations(metric, dataset, indices)

    def fingerprint(self) -> str:
        """Of everything that a rating depends on besides the path."""

        def parts():
            preprocessor = self.model.data_preprocessor
            yield from ('rating/3', self.bn_policy, getattr(preprocessor, 'to_rgb', None))
            if self.metric is not None:
                yield from (self.metric, str(self.seed), *self._settings)
            for name, value in self.model.state_dict().items():
                if not name.startswith(SEARCH_ONLY):
                    yield from (name, value)
            for name, value in preprocessor.named_buffers():
                yield from (name, value)  # mean and std are in no state_dict
            for batches in (self._batches, ['recalibrated on'], self._bn_batches or []):
                for batch in batches:
                    if isinstance(batch, str):
                        yield batch
                        continue
                    yield len(batch['inputs'])
                    yield from batch['inputs']
                    for sample in batch['data_samples']:
                        yield from _labels_as_parts(sample)

        return digest(parts())

    @property
    def description(self) -> str:
        """The BN policy in words, for the record."""
        if self.bn_policy == 'batch_stats':
            return 'batch_stats'
        return f'recalibrate({self._bn_batches.num_images} images)'

    @property
    def largest_class_pct(self) -> float | None:
        """Share of the rated images in the most frequent class: what a constant answer reaches.

        None where paths are compared by a metric, of which nothing of that kind is known.
        """
        return None if self.metric is not None else 100.0 * float(self._class_shares().max())

    @property
    def constant_loss(self) -> float | None:
        """Cross entropy of always answering the shares of the classes, nats; None by a metric."""
        if self.metric is not None:
            return None
        return float(torch.special.entr(self._class_shares()).sum())

    def _class_shares(self) -> Tensor:
        """(classes,) of the rated images, float64."""
        counts = torch.bincount(torch.cat([_labels(batch) for batch in self._batches])).double()
        return counts / counts.sum()

    @torch.no_grad()
    def rate(self, arch: Arch) -> Rating:
        """Rate one path. The model is left as it was."""
        with self.fitted(arch):
            return self._count() if self.metric is None else self._measure()

    @contextmanager
    def fitted(self, arch: Arch) -> Iterator[None]:
        """The model as a path is rated: in eval mode, with BN fitted; afterwards as it was."""
        model, was_training = self.model, self.model.training
        model.eval()
        try:
            # The other ranks rate other paths.
            with (
                model.backbone.using(arch),
                of_this_rank(modules_of_path(model)),
                self._fitted(),
            ):
                yield
        finally:
            model.train(was_training)

    def _fitted(self) -> AbstractContextManager:
        modules = list(modules_of_path(self.model))
        if self.bn_policy == 'batch_stats':
            return batch_stats(modules)
        return recalibrated(modules, self._calibrate, self.model.backbone)

    def _calibrate(self) -> None:
        for batch in self._bn_batches:
            data = self.model.data_preprocessor(batch, False)
            if self._norms_outside:  # which see what the model itself gives them
                self.model(**data, mode='tensor')
            else:
                self.model.backbone(data['inputs'])

    def _count(self) -> Rating:
        data = (self.model.data_preprocessor(batch) for batch in self._batches)
        return _rating((self.model(d['inputs']), _labels(d)) for d in data)

    def _measure(self) -> Rating:
        for batch in self._batches:
            samples = [sample.to_dict() for sample in self.model.val_step(batch)]
            for metric in self.metrics:
                metric.process(batch, samples)
        found: dict[str, float] = {}
        draws: tuple[float, ...] = ()
        for metric in self.metrics:
            # Not metric.evaluate, which gathers over the ranks: those rate other paths.
            results = _to_cpu(list(metric.results))
            metric.results.clear()
            with quiet():
                values = metric.compute_metrics(results)
            prefix = f'{metric.prefix}/' if metric.prefix else ''
            found.update({f'{prefix}{name}': value for name, value in values.items()})
            name = self.metric.removeprefix(prefix)
            if name in values and f'{prefix}{name}' == self.metric:
                drawn = metric_draws(metric, results, name, self.seed, self.num_images)
                draws = tuple(round(float(draw), 6) for draw in drawn)
        if self.metric not in found and not self._says_nothing(found):
            raise ValueError(
                f'the evaluator has no metric {self.metric!r}; it has {", ".join(sorted(found))}'
            )
        value = float(found.get(self.metric, 0.0))
        if self.metric not in found:  # as no box was found
            draws = (0.0,) * NUM_DRAWS
        return Rating(None, self.num_images, None, metric=self.metric, value=value, draws=draws)

    def _says_nothing(self, found: dict[str, float]) -> bool:
        """Whether it is asked of a CocoMetric that found no box: it then has no metrics at all."""
        prefixes = [f'{m.prefix}/' for m in self.metrics if hasattr(m, '_coco_api')]
        return any(
            self.metric.startswith(prefix) and not any(name.startswith(prefix) for name in found)
            for prefix in prefixes
        )

    @property
    def num_images(self) -> int:
        """Images that a path is rated on."""
        return self._batches.num_images

    @property
    def kept_bytes(self) -> int:
        """Of the images that were read so far, of the larger of both sets."""
        return max(batches.bytes for batches in (self._batches, self._bn_batches) if batches)

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
                    self.log.add(archs[i], rating.record())
                progress(i, rating)
        next(mine, None)  # what the sharing saved is known, and said, only after the last
        return ratings

    @torch.no_grad()
    def _rate_in_order(self, archs: list[Arch]) -> Iterator[Rating]:
        """Rate each path; see :class:`SharedPrefix`."""
        model, was_training = self.model, self.model.training
        layers = self._shared_layers(archs)
        if layers is None:
            yield from map(self.rate, archs)
            return
        data = [model.data_preprocessor(batch) for batch in self._batches]
        bn_images = None
        if self.bn_policy == 'recalibrate':
            bn_images = [model.data_preprocessor(b)['inputs'] for b in self._bn_batches]
        images = [d['inputs'] for d in data]
        shared = SharedPrefix(layers, images, bn_images, self.max_bytes)
        for i in range(len(archs)):
            model.eval()
            try:
                with of_this_rank(model.backbone.modules()):
                    maps = shared[i]
                rating = _rating((self._logits(x), _labels(d)) for x, d in zip(maps, data))
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

    def _logits(self, last_map: Tensor) -> Tensor:
        feats = (last_map,)
        return self.model.head(self.model.neck(feats) if self.model.with_neck else feats)

    def _shared_layers(self, archs: list[Arch]) -> list[list[PathLayer]] | None:
        """The paths layer by layer; None where they are run one by one.

        That is, where norms outside the supernet are fitted, too, or the feature maps of all
        images do not fit into memory at once.
        """
        model, backbone = self.model, self.model.backbone
        kept = [b for b in (self._batches, self._bn_batches) if b is not None]
        plain = self.metric is None and not self._norms_outside
        if not archs or not plain or not all(batches.fit() for batches in kept):
            return None
        layers = [backbone.path_layers(arch) for arch in archs]
        if any(path is None for path in layers):
            return None
        first = model.data_preprocessor(next(iter(self._batches)))['inputs'][:1]
        bytes_per_image = 0
        # Of each input size. A rank without paths is not here.
        for stem in {path[0].key: path[0] for path in layers}.values():
            with of_this_rank(stem.norms), batch_stats(stem.norms):
                bytes_per_image = max(bytes_per_image, stem.run(first).nbytes)
        number = sum(batches.num_images for batches in kept)
        # A layer's input and output, and the largest that is kept.
        return layers if 3 * bytes_per_image * number <= self.max_bytes else None


def check_metric(
    name: str | None, metrics: Sequence[BaseMetric], model: nn.Module | None = None
) -> None:
    """Check that paths can be compared by a metric; its name is known only once it was measured.

    Raises:
        ValueError: If there is none and the model is no classifier, lower values of it are better,
            or there is nothing to measure it.
    """
    if name is None:
        several = isinstance(getattr(model, 'head', None), (MultiLabelClsHead, MultiTaskHead))
        if not isinstance(model, BaseClassifier) or several:
            raise ValueError(_NAME_ONE.format(type(model).__name__))
        return
    if any(word in _LOWER_IS_BETTER for word in re.split(r'[^a-z]+', name.lower())):
        raise ValueError(f'a metric has to be better when higher; got metric={name!r}')
    if not metrics:
        raise ValueError(
            f'metric={name!r} is asked of the evaluator, which has no metric: give test_evaluator '
            'one, as val_evaluator has'
        )


def check_annotations(metric: BaseMetric, dataset: Dataset, indices: Iterable[int]) -> None:
    """Check that a metric with a COCO file of its own has the images of a dataset in it.

    Ids alone do not tell: many files number their images from 1.

    Raises:
        ValueError: If one is not there, or is another image.
    """
    coco = getattr(metric, '_coco_api', None)
    for info in (dataset.get_data_info(i) for i in indices) if coco is not None else ():
        known = coco.imgs.get(info['img_id'], {}).get('file_name')
        if known is None or not str(info['img_path']).endswith(Path(known).name):
            raise ValueError(
                f'the annotation file of {type(metric).__name__} does not hold {info["img_path"]}: '
                'it is that of other images. Leave ann_file out of test_evaluator, and it is the '
                "data's own"
            )


def _settings(model: nn.Module, metrics: Sequence[BaseMetric]) -> Iterator[str]:
    """What a metric's value depends on besides weights and images, before anything was rated."""
    preprocessor = model.data_preprocessor
    for key in ('_channel_conversion', 'pad_size_divisor'):
        yield f'{key} {getattr(preprocessor, key, None)}'
    for name, module in model.named_modules():
        if isinstance(getattr(module, 'test_cfg', None), dict):
            yield f'{name} {module.test_cfg}'
    plain = (str, int, float, bool, list, tuple, type(None))
    for metric in metrics:
        values = {k: v for k, v in vars(metric).items() if k not in ('results', 'img_ids')}
        values = {k: v for k, v in values.items() if isinstance(v, plain) or k == 'iou_thrs'}
        yield f'{type(metric).__name__} {sorted((k, repr(v)) for k, v in values.items())}'


def _known(record: dict | None) -> Rating | None:
    if record is None:
        return None
    tuples = {key: tuple(record.get(key, ())) for key in ('losses', 'draws')}
    return Rating(**{'top1_pct': None, 'loss': None, **record, **tuples})


def _labels(data: dict) -> Tensor:
    return torch.cat([sample.gt_label for sample in data['data_samples']])


def _is_single_label(batches: KeptBatches) -> bool:
    samples = next(iter(batches))['data_samples']
    return all('gt_label' in s and s.gt_label.numel() == 1 for s in samples)


def _labels_as_parts(sample) -> Iterator[Tensor | str]:
    """What a sample is to be answered with, for a digest."""
    if 'gt_label' in sample:
        yield sample.gt_label
    for key, value in sorted(sample.get('gt_instances', {}).items()):
        value = getattr(value, 'tensor', value)  # boxes in a class of mmdet's
        yield value if isinstance(value, Tensor) else f'{key} {value}'


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
