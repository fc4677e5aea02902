"""How good a file is on the validation set: the config's own metric of what a runtime gives."""

import contextlib
import copy
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement, InstanceData

from .calibration import as_input, spread
from .runtimes import Runtime

METRICS = {
    'accuracy/top1': ('top-1', 1), 'multi-label/mAP': ('mAP', 1), 'coco/bbox_mAP': ('box mAP', 100),
    'pascal_voc/mAP': ('mAP', 100),
}  # fmt: skip
"""Metrics that are rated by: their names, and what makes percent of them."""


class Rating(NamedTuple):
    """Attributes:
    name (str): 'top-1', 'box mAP', 'mAP'.
    pct (float): In percent.
    images (int): Of how many.
    """

    name: str
    pct: float
    images: int


def rate(
    runtime: Runtime, cfg: Config, about: Mapping[str, Any], number: int | None = None
) -> Rating:
    """Rate a file on images of the validation set, one after the other.

    Args:
        runtime (callable): Of the file.
        cfg (Config): Of the training, with ``val_dataloader`` and ``val_evaluator``.
        about (dict): What the file says of itself.
        number (int, optional): At most so many images, of all classes. Defaults to all.

    Raises:
        ValueError: If the config has no validation set, or its metric is none of :data:`METRICS`.
    """
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise ValueError('the config has no val_dataloader and val_evaluator to rate a file by')
    dataset = DATASETS.build(cfg.val_dataloader['dataset'])
    total = len(dataset)
    chosen = range(total)
    if number is not None and number < total:
        chosen = sorted(spread([tuple(dataset.get_cat_ids(i)) for i in chosen], number))
    evaluator = Evaluator(without_files(cfg.val_evaluator))
    evaluator.dataset_meta = dataset.metainfo
    if len(chosen) < total:
        for metric in evaluator.metrics:
            if hasattr(metric, 'img_ids'):  # COCO's counts the others as not found
                metric.img_ids = [dataset.get_data_info(i)['img_id'] for i in chosen]
    fixed = about['input'].get('batch') or 1
    for i in chosen:
        data = pseudo_collate([dataset[i]])
        (sample,) = data['data_samples']
        image, scale = as_input(data['inputs'][0], sample, about)
        image = image[None].repeat(fixed, axis=0)
        outputs = {name: torch.from_numpy(x[0]) for name, x in runtime(image).items()}
        sample.set_metainfo(dict(scale_factor=tuple(scale)))
        evaluator.process([_with(sample, outputs, about['task'])], data)
    with contextlib.redirect_stdout(io.StringIO()):  # COCO's own table
        found = evaluator.evaluate(len(chosen))
    for key, (name, factor) in METRICS.items():
        if key in found:
            return Rating(name, round(factor * float(found[key]), 4), len(chosen))
    raise ValueError(
        f'a file is rated by one of {", ".join(METRICS)}; the val_evaluator of the config gives '
        f'{", ".join(found)}'
    )


def without_files(settings: Any) -> Any:
    """A copy of an evaluator's settings that leaves no file of results: none is asked for."""
    settings = copy.deepcopy(settings)
    for metric in settings if isinstance(settings, list) else [settings]:
        metric.pop('outfile_prefix', None)
    return settings


def _with(sample: BaseDataElement, outputs: dict, task: str) -> BaseDataElement:
    """An image's sample with the prediction."""
    if task != 'detection':
        scores = outputs['probabilities']
        return sample.set_pred_score(scores).set_pred_label(scores.argmax(-1, keepdim=True))
    rows = outputs['labels'] >= 0
    width, height = sample.scale_factor
    boxes = outputs['boxes'][rows] / torch.tensor([width, height, width, height])
    sample.pred_instances = InstanceData(
        bboxes=boxes, scores=outputs['scores'][rows], labels=outputs['labels'][rows]
    )
    return sample
