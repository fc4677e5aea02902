"""``min_steps``: more epochs where a set is so small that the usual ones are few steps."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config

from ..files import rank_and_number
from .carry import override


def fit_min_steps(cfg: Config, options: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Raise ``max_epochs``, and all that goes by it, to ``min_steps`` steps of training, in place.

    What is given stays: a ``max_epochs`` beside the config, and ``max_minutes``.

    Args:
        cfg (Config): Its data looked at. One without ``min_steps`` is left as it is.
        options (dict): What was given beside the config, dotted keys.
        say (Callable): Called with a line if the run gets longer.
    """
    least, epochs = cfg.get('min_steps'), cfg.get('max_epochs')
    if 'min_steps' in cfg:
        cfg.min_steps = None  # settled: the copy that a run leaves is of this many epochs
    if not least or not epochs or 'max_epochs' in options or cfg.get('max_minutes') is not None:
        return
    size = cfg.train_dataloader.get('batch_size')
    if type(size) is not int:
        return
    from mmengine.registry import DATASETS  # with torch

    dataset = dict(cfg.train_dataloader.dataset)
    if 'dataset' in dataset:  # a part of it
        dataset['dataset'] = dict(dataset['dataset'], pipeline=[])
    else:
        dataset['pipeline'] = []
    images = len(DATASETS.build(dataset))
    steps = math.ceil(images / (size * rank_and_number()[1]))
    if steps * epochs >= least:
        return
    override(cfg, dict(max_epochs=math.ceil(least / steps)))
    say(
        f'max_epochs={cfg.max_epochs}, not {epochs}: an epoch of {images} images is {steps} '
        f'step{"s" * (steps > 1)}, and a training is to have {least}'
    )
