"""The record of one network of a comparison: what it is, what it cost, and what it said."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..evaluation.paired import Interval, paired_interval
from ..files import read_json, shorten

FORMAT = 'cream_mm.comparison/1'


def answers(model: BaseModel, cfg: Config, side: str = 'val') -> dict[str, Any]:
    """What a classifier says of each image of a set.

    Args:
        model (BaseModel): A classifier of single labels, in evaluation mode.
        cfg (Config): With the set's data loader.
        side (str): ``'val'`` or ``'test'``.

    Returns:
        dict: ``images``, a digest of the last two parts of the files' paths, in order;
        ``num_images``; ``hits``, a text of a 1 for each image that is right and a 0 for each
        other one; ``losses``, cross entropies in nats to four digits; ``top1`` in percent and
        ``ce``, their means.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    loader = Runner.build_dataloader(
        dict(cfg[f'{side}_dataloader'], sampler=dict(type='DefaultSampler', shuffle=False))
    )
    hits, losses, names = [], [], []
    device = next(model.parameters()).device
    with torch.inference_mode():
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            logits = model(data['inputs'], mode='tensor')
            logits = (logits[-1] if isinstance(logits, tuple) else logits).double()
            samples = data['data_samples']
            labels = torch.stack([sample.gt_label.flatten()[0] for sample in samples]).to(device)
            hits += (logits.argmax(1) == labels).int().tolist()
            losses += F.cross_entropy(logits, labels, reduction='none').tolist()
            places = [Path(sample.img_path).parts[-2:] for sample in samples]
            names += ['/'.join(place) for place in places]
    return dict(
        images=hashlib.sha256('\n'.join(names).encode()).hexdigest()[:16],
        num_images=len(hits),
        top1=100 * sum(hits) / len(hits),
        ce=sum(losses) / len(losses),
        hits=''.join(map(str, hits)),
        losses=[round(loss, 4) for loss in losses],
    )


def settings_hash(*parts: str) -> str:
    """Twelve digits that another training setting would change."""
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:12]


def read_record(path: Path) -> dict:
    """A record, as :func:`check_record` wants it."""
    return check_record(read_json(path), str(path))


def check_record(content: Any, where: str) -> dict:
    """See that a file's content is a record.

    Raises:
        ValueError: If it is none, or its parts do not belong together.
    """
    ok = isinstance(content, dict) and content.get('format') == FORMAT
    ok = ok and isinstance(content.get('name'), str) and isinstance(content.get('hits'), str)
    ok = ok and isinstance(content.get('losses'), list)
    if not ok or not len(content['hits']) == len(content['losses']) == content.get('num_images'):
        raise ValueError(
            f'{where} is no record of a comparison: {shorten(str(content))}. Remove it, and its '
            'network is trained again'
        )
    return content


Answers = Mapping | Sequence[Mapping]


def difference(ones: Sequence[Answers], others: Sequence[Answers], key: str = 'top1') -> Interval:
    """One network less another, pooled over the images of all folds.

    Args:
        ones, others (Sequence): Records of each, fold by fold. Where there are several of the same
            images, as of several seeds, a sequence of them: an image counts once, with their mean.
        key (str): ``'top1'``, in points of percent, or ``'ce'``, in nats.

    Raises:
        ValueError: If they were not tested on the same images.
    """
    values: tuple[list, list] = [], []
    for pair in zip(ones, others, strict=True):
        each = [[one] if isinstance(one, Mapping) else list(one) for one in pair]
        first = each[0][0]
        for record in (*each[0], *each[1]):
            if record['images'] != first['images']:
                raise ValueError(
                    f'{first["name"]} and {record["name"]} were tested on different images'
                )
        for found, records in zip(values, each):
            found += np.mean([_values(record, key) for record in records], axis=0).tolist()
    return paired_interval(*values)


def _values(record: Mapping, key: str) -> list[float]:
    return [100.0 * int(hit) for hit in record['hits']] if key == 'top1' else record['losses']
