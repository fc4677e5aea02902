"""Does a detector's file find what PyTorch finds? On the final file, box by box and in mAP."""

import copy
import dataclasses
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from ..evaluation.bootstrap import quiet
from .box_match import SCORE, Agreement, Rows, match_boxes
from .calibration import as_input
from .parity import SCRIPT_IMAGES, SCRIPT_LIMIT, Report, batches_of, noise
from .rate import without_files
from .run_onnx import open_photograph, prepare
from .runtimes import Runtime

MAP_LIMIT = 0.1
"""Largest difference of two mAPs, in points."""
SMALL = (64, 64)
SURE = 0.3
QUIET = logging.CRITICAL  # that nothing was found is an error to metrics


def check(
    path: str | Path,
    runtime: Runtime,
    model: BaseModel,
    loader: Iterable[dict] | None,
    *,
    about: dict,
) -> Report:
    """Compare a detector's file with the model that it was made of.

    Boxes of each image of a batch are matched by class and place with what ``model.test_step`` says
    of that image alone: photographs and noise in one batch, in both orders and twice the same,
    batches of other sizes, other image sizes where they are open, an image of 64 x 64, uniform
    images. Then mAP on the validation set, by the config's own pipeline and evaluator.

    Args:
        path (str): The file, for messages.
        runtime (Runtime): What runs it.
        model (BaseModel): In eval mode, with its ``cfg``.
        loader (Iterable, optional): Batches of the validation set, images as BGR. None has no
            photographs, and a line says so.
        about (dict): The file's metadata.
    """
    report, pair = Report(), Pair(runtime, model, about)
    photos = _some_photographs(pair, loader)
    size, dynamic = about['input']['size'], about['input']['dynamic']
    # Three images that have different boxes, of photographs first.
    three = [*photos, *noise(3, size)][:3]
    for key, what, sizes in (
        ('batches', 'different images in a batch', [size]),
        ('sizes', 'other sizes', _other_sizes(size) if 'size' in dynamic else []),
    ):
        _compare(report, key, what, pair, [b for s in sizes for b in pair.batches(three, s)])
    small = [stretched(three[0], SMALL)[None], noise(1, SMALL)]
    _compare(report, 'small', 'an image of 64 x 64', pair, [pair.fit(image) for image in small])
    uniform = [np.full((pair.fixed or 1, *size, 3), value, np.uint8) for value in (0, 114, 255)]
    _compare(report, 'uniform', 'uniform images', pair, uniform, ties=True)
    if loader is None:
        report.say('photographs: not compared, there is no validation set')
    else:
        _validate(report, pair, loader)
    counts = [n['boxes'] for n in report.numbers.values() if isinstance(n, dict) and 'boxes' in n]
    if report.passed and not any(counts):
        report.say('note: neither finds a box in any image: no box is compared. Is it trained?')
    return report


class Pair:
    """A file and the model that it was made of, asked the same.

    Attributes:
        fixed (int, optional): How many images a batch has; None where that is open.
    """

    def __init__(self, runtime: Runtime, model: BaseModel, about: dict):
        self.runtime, self.model, self.about = runtime, model, about
        dynamic = about['input']['dynamic']
        self.fixed = None if 'batch' in dynamic else about['input'].get('batch', 1)
        self.size = None if 'size' in dynamic else tuple(about['input']['size'])
        cfg = model.bbox_head.test_cfg
        self.limits = dict(
            iou_threshold=cfg.nms.get('iou_threshold', cfg.nms.get('iou_thr')),
            score_threshold=cfg.get('score_thr', 0), most=cfg.max_per_img,
            least_side=max(0.0, cfg.get('min_bbox_size', 0)),
            class_agnostic=cfg.nms.get('class_agnostic', False),
        )  # fmt: skip

    def file(self, images: np.ndarray) -> list[Rows]:
        """What the file says of images (N, H, W, 3), RGB.

        Raises:
            ValueError: If rows without a box are not as they are said to be, or scores rise.
        """
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        out = self.runtime(pixels)
        rows = []
        for boxes, scores, labels in zip(out['boxes'], out['scores'], out['labels'], strict=True):
            count = int(np.count_nonzero(labels >= 0))
            empty = labels[count:] == -1, scores[count:] == 0, boxes[count:] == 0
            if not all(part.all() for part in empty) or (np.diff(scores) > 0).any():
                raise ValueError('rows without a box are not empty, or scores rise')
            rows.append(Rows(boxes[:count], scores[:count], labels[:count]))
        return rows

    def row(self, image: np.ndarray) -> Rows:
        """What the file says of one image (H, W, 3)."""
        return self.file(np.stack([image] * (self.fixed or 1)))[0]

    def torch(self, image: np.ndarray) -> Rows:
        """What the model says of one image (H, W, 3), RGB, through its own preprocessor."""
        from mmdet.structures import DetDataSample

        bgr = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[::-1]))
        shape = image.shape[:2]
        meta = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
        batch = dict(inputs=[bgr], data_samples=[DetDataSample(metainfo=meta)])
        return rows_of(self.model.test_step(batch)[0].pred_instances)

    def batches(self, images: Sequence[np.ndarray], size: Sequence[int]) -> list[np.ndarray]:
        """Batches of three images in which rows could be mixed up."""
        images = np.stack([stretched(image, size) for image in images])
        return batches_of(images, self.fixed is None, self.fixed or 1)

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Images (N, h, w, 3), padded to the size of the file, repeated to its batch."""
        images = np.concatenate([images] * (self.fixed or 1))
        if self.size is None or images.shape[1:3] == self.size:
            return images
        height, width = images.shape[1:3]
        full = np.empty((len(images), *self.size, 3), np.float32)
        pad = (self.about['resize'] or {}).get('pad') or {}
        full[:] = pad.get('value', 0)
        full[:, :height, :width] = images
        return full


def rows_of(found: InstanceData) -> Rows:
    """Boxes of a model as arrays."""
    return Rows(*(found[name].cpu().numpy() for name in ('bboxes', 'scores', 'labels')))


def stretched(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(H, W, 3) -> (h, w, 3), by the nearest pixels."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, image.shape))
    return image[rows][:, columns]


def _other_sizes(size: Sequence[int]) -> list[tuple[int, int]]:
    """Odd ones, larger and smaller, and not square."""
    height, width = size
    return [(height + 1, width + 9), (height * 3 // 4 | 1, width)]


def _some_photographs(pair: Pair, loader: Iterable[dict] | None) -> list[np.ndarray]:
    """Of the first ones those with boxes, at the size of the file, RGB; at most three."""
    found = []
    batch = next(iter(loader), None) if loader is not None else None
    for inputs in batch['inputs'] if batch else ():
        image = stretched(inputs.numpy().transpose(1, 2, 0)[..., ::-1], pair.about['input']['size'])
        if len(found) < 3 and len(pair.torch(image).scores):
            found.append(image)
    return found


def _compare(report, key, what, pair, batches, *, ties=False) -> None:
    """Add how well the boxes of each image of several batches (N, H, W, 3) match."""
    total, images = Agreement(), 0
    for batch in batches:
        try:
            ours = pair.file(batch)
        except Exception as error:  # of a runtime, whatever it raises
            shape = ' x '.join(map(str, batch.shape[:3]))
            report.fail(f'{what}: {shape} cannot be run: {" ".join(str(error).split())[:300]}')
            return
        for image, rows in zip(batch, ours, strict=True):
            total.add(match_boxes(rows, pair.torch(image), ties=ties, **pair.limits))
            images += 1
    if images:
        sizes = ', '.join(dict.fromkeys(f'{b.shape[1]} x {b.shape[2]}' for b in batches))
        _say(report, key, f'{what} ({sizes})', images, total, ties)


def _say(report, key, what, images, total, ties=False) -> None:
    report.numbers[key] = dict(
        images=images, boxes=total.pairs, score=total.score, corner=total.corner,
        at_a_threshold=total.excused, unexplained=len(total.unexplained),
    )  # fmt: skip
    text = f'{what}: {images} images, {total.pairs} boxes in both'
    if total.pairs:
        text += (
            f'; scores differ by at most {total.score:.1e}, corners by {total.corner:.4f} pixels'
        )
    if total.excused:
        text += f'; {total.excused} in one of them, at a threshold'
    if total.unexplained:
        text = f'{text}; {len(total.unexplained)} in one of them without a reason'
        report.fail(f'{text}, {"; ".join(total.unexplained[:3])}')
    elif not (total.agrees or ties):
        report.fail(f'{text}: too many for rounding')
    else:
        report.say(text)


# ---- the validation set --------------------------------------------------------------------------


def _validate(report: Report, pair: Pair, loader: Iterable[dict]) -> None:
    """Add how well boxes of the validation set match, and the mAP of the model and of the file."""
    meters = [Meter.of(pair.model.cfg, loader) for _ in range(3)]
    total, images, script, beside = Agreement(), 0, [], Beside()
    for batch in loader:
        samples = batch['data_samples']
        if meters[0]:
            for part in _as_validated(batch, _batch_size(pair.model.cfg)):
                meters[0].add(pair.model.val_step(part))
        alone = _as_validated(batch, 1) if pair.size else [None] * len(samples)
        for inputs, sample, single in zip(batch['inputs'], samples, alone, strict=True):
            image, scale = _for_file(pair, inputs, sample)
            ours, theirs = pair.row(image), pair.torch(image)
            total.add(match_boxes(ours, theirs, **pair.limits))
            images += 1
            if single is not None:
                (theirs_alone,) = pair.model.val_step(single)
                beside.add(scaled_back(sample, ours, scale), theirs_alone)
            for meter, rows in zip(meters[1:], (theirs, ours)):
                if meter:
                    meter.add([scaled_back(sample, rows, scale)])
            if pair.about['resize'] and len(script) < SCRIPT_IMAGES and inputs.numel():
                script += _script(pair, image, sample)
    if not images:
        report.say('photographs: not compared, the validation set is empty')
        return
    _say(report, 'photographs', 'photographs as the config prepares them', images, total)
    if pair.size:
        report.numbers['beside_predict'] = dataclasses.asdict(beside)
        if beside.differs:
            report.say(f'note: {beside}')
    if script:
        report.numbers['script_pixels'] = max(script)
        text = (
            f'run_onnx.py prepares {len(script)} photographs: pixels differ by {max(script):.2f} '
            'of 255 on average'
        )
        (report.say if max(script) <= SCRIPT_LIMIT else report.fail)(text)
    if meters[0]:
        _compare_map(report, pair, images, *(meter.value() for meter in meters))
    else:
        report.say('mAP: not compared, these images have no boxes to measure against')


def _compare_map(report, pair, images, config, same, file) -> None:
    report.numbers['mAP'] = dict(config=config, same_pixels=same, file=file)
    text = f'mAP on {images} images: PyTorch {same:.1f}, this file {file:.1f}'
    if abs(file - same) > MAP_LIMIT + 1e-6:
        report.fail(f'{text}, more than {MAP_LIMIT} points apart')
    else:
        report.say(text)
    if abs(config - same) > MAP_LIMIT + 1e-6:
        why = (
            'this file pads each image to its fixed size, and --dynamic-size would not'
            if pair.size
            else 'the config pads the images of a batch to the largest one'
        )
        report.say(f"note: PyTorch's mAP by the config's own batches is {config:.1f}: {why}")


@dataclasses.dataclass
class Beside:
    """Boxes of a file of a fixed size beside those that PyTorch has of each photograph alone.

    The file pads to its size, which close to the border moves scores.
    """

    file: int = 0
    """Boxes with a score of :data:`SURE` or more."""
    torch: int = 0
    both: int = 0
    """Of one class, with an IoU above one half."""
    score: float = 0.0
    """The largest difference of scores of those."""

    def add(self, ours: Any, theirs: Any) -> None:
        """Count the boxes of an image, in its own pixels."""
        from mmdet.structures.bbox import bbox_overlaps

        ours, theirs = ours.pred_instances, theirs.pred_instances.cpu()
        left = theirs[theirs.scores >= SURE]
        self.torch += len(left)
        ious = bbox_overlaps(ours.bboxes, left.bboxes) * (ours.labels[:, None] == left.labels)
        for i in (ours.scores >= SURE).nonzero().flatten().tolist():
            self.file += 1
            if len(left) and ious[i].max() > 0.5:
                j = int(ious[i].argmax())
                self.both += 1
                self.score = max(self.score, abs(float(ours.scores[i] - left.scores[j])))
                ious[:, j] = 0  # each counts once

    @property
    def differs(self) -> bool:
        """Whether more than rounding does."""
        return self.score > SCORE or self.both < max(self.file, self.torch)

    def __str__(self) -> str:
        return (
            f'PyTorch has {self.torch} boxes with a score of {SURE} or more where each photograph '
            f'is taken alone, as for a prediction, this file {self.file}, and {self.both} '
            f'are in both, with scores up to {self.score:.3f} apart: this file pads to its fixed '
            'size, and --dynamic-size would not'
        )


def _batch_size(cfg: Config) -> int:
    return (cfg.get('val_dataloader') or {}).get('batch_size') or 1


def _as_validated(batch: dict, number: int) -> list[dict]:
    """A batch in batches of a size, at most: images are padded to the largest of each."""
    places = range(0, len(batch['inputs']), number)
    return [
        copy.deepcopy({key: value[i : i + number] for key, value in batch.items()}) for i in places
    ]


def _for_file(pair: Pair, inputs: torch.Tensor, sample: Any) -> tuple[np.ndarray, Any]:
    """An image of the config's pipeline as the file takes it (H, W, 3), RGB, and its scale."""
    image, scale = as_input(inputs, sample, pair.about)
    return image.transpose(1, 2, 0), scale


def _script(pair: Pair, image: np.ndarray, sample: Any) -> list[float]:
    """By how much the script's pixels of a photograph differ, on average; inf of another size."""
    path = sample.metainfo.get('img_path')
    if not path or not Path(path).is_file():
        return []
    pixels = prepare(open_photograph(path), pair.about)[0][0].transpose(1, 2, 0)
    height, width = image.shape[:2]
    if pair.size is None:  # the graph pads by itself, the script to the same multiple
        image, pixels = (x[:height, :width] for x in (image, pixels))
    if pixels.shape != image.shape:
        return [float('inf')]
    return [float(np.abs(pixels - image.astype(np.float32)).mean())]


def scaled_back(sample: Any, rows: Rows, scale: Sequence[float]) -> Any:
    """A sample with boxes in pixels of its original image, cut at its sides."""
    height, width = sample.metainfo['ori_shape'][:2]
    boxes = rows.boxes / np.array([*scale, *scale], np.float32)
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # others lie in the padding
    sample = copy.copy(sample)
    sample.pred_instances = InstanceData(
        **{
            name: torch.from_numpy(np.ascontiguousarray(value[kept]))
            for name, value in zip(('bboxes', 'scores', 'labels'), (boxes, *rows[1:]))
        }
    )
    return sample


class Meter:
    """mAP of a validation set, as its config's evaluator measures it."""

    def __init__(self, cfg: Config, dataset: Any):
        settings = without_files(cfg.get('val_evaluator') or cfg.get('test_evaluator'))
        with quiet(QUIET):
            self.evaluator = Evaluator(settings)
        self.evaluator.dataset_meta = dataset.metainfo
        self.ids: list[int] = []

    @classmethod
    def of(cls, cfg: Config, loader: Any) -> 'Meter | None':
        """That of a loader, or None where there is nothing to measure against."""
        dataset = getattr(loader, 'dataset', None)
        dataset = getattr(dataset, 'dataset', dataset)  # of a part of a set
        if not hasattr(dataset, 'metainfo') or not (
            cfg.get('val_evaluator') or cfg.get('test_evaluator')
        ):
            return None
        return cls(cfg, dataset)

    def add(self, samples: Sequence[Any]) -> None:
        """Take samples with their predictions."""
        self.ids += [sample.metainfo.get('img_id') for sample in samples]
        self.evaluator.process(data_samples=list(samples))

    def value(self) -> float:
        """mAP in points, 0 to 100; 0 where nothing was found."""
        for metric in self.evaluator.metrics:
            if getattr(metric, 'img_ids', ()) is None:  # of a COCO metric: of these images
                metric.img_ids = self.ids
        with quiet(QUIET):
            values = self.evaluator.evaluate(len(self.ids))
        return next((100 * v for k, v in values.items() if k.endswith('mAP')), 0.0)
