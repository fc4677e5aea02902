"""Says when there are too few images to tell networks apart by."""

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..datasets.coco_layout import held_out_of
from ..datasets.held_out_error import is_coarse, told_apart

MAX_LOOKED_AT = 1000  # images whose boxes are counted; more are enough


def small_set_line(
    measured: Dataset, trained: Dataset | None, purpose: str, config: str | None
) -> str | None:
    """A line on how fine a set can tell, if that is coarse.

    Args:
        measured (Dataset): Of mmengine's; what networks are rated or validated on.
        trained (Dataset, optional): What they are trained on.
        purpose (str): Why images are in it, e.g. ``'validated on'``.
        config (str, optional): That of the run, whose folds measure on more; None in a dry run,
            which keeps none.
    """
    number = len(measured) if hasattr(measured, '__len__') else 0
    if not 0 < number < MAX_LOOKED_AT or not hasattr(measured, 'get_data_info'):
        return None
    infos = [measured.get_data_info(i) for i in range(number)]
    labels = [info['gt_label'] for info in infos if 'gt_label' in info]
    few = f'{number} images are {purpose}'
    if any('instances' in info for info in infos):
        boxes = sum(len(info.get('instances', ())) for info in infos)
        if not is_coarse(number, boxes):
            return None
        few = f'{number} images with {boxes} boxes are {purpose}: too few to tell detectors apart'
    elif not labels or not is_coarse(number):
        return None
    elif any(np.ndim(label) for label in labels):  # several for each image
        few += ': an mAP on them is uncertain by several points'
    else:
        few += f': differences below {told_apart(number):.0f} points of top-1 cannot be told'
    whole = _num_of_folds(measured, trained)
    folds = 'folds measure' if config is None else f'"tools/train.py {config} --folds 5" measures'
    return f'{few}; {folds} on all {whole} (docs/data.md)'


def _num_of_folds(measured: Dataset, trained: Dataset | None) -> int:
    """How many images folds are of: those of the training set, and what was held out of it."""
    if whole := held_out_of(getattr(measured, 'ann_file', None) or ''):
        return whole  # of a set without a split, the run's own
    number = len(trained) if hasattr(trained, '__len__') else 0
    if getattr(measured, 'part', 'all') == 'holdout':
        return len(measured) + number
    return number or len(measured)


def measured_sets(runner: Any) -> tuple[Dataset, str] | None:
    """What a training is judged by, and why: a search's held-out images, else the validation set.

    None in a run of one fold of several, which knows.
    """
    if runner.cfg.get('folds'):
        return None
    test = getattr(runner, '_test_loop', None)
    if hasattr(test, 'bn_dataset') and hasattr(test, 'dataloader'):
        return test.dataloader.dataset, 'held out to rate paths on'
    if runner.val_loop is not None:
        return runner.val_dataloader.dataset, 'validated on'
    return None
