"""Says when there are too few images to tell networks apart by."""

import math
from typing import Any

from torch.utils.data import Dataset

MAX_ERROR = 3.0  # points of top-1; a larger standard error gets a line
LIKELY_TOP1 = 85.0  # percent; of a share nearer to 50 the error is larger
MIN_IMAGES, MIN_BOXES = 50, 150  # of a set that a detector is measured on
MAX_LOOKED_AT = 1000  # images whose boxes are counted; more are enough


def small_set_line(measured: Dataset, trained: Dataset | None, purpose: str) -> str | None:
    """A line on how fine a set can tell, if that is coarse.

    Args:
        measured (Dataset): Of mmengine's; what networks are rated or validated on.
        trained (Dataset, optional): What they are trained on.
        purpose (str): Why images are in it, e.g. ``'validated on'``.
    """
    number = len(measured) if hasattr(measured, '__len__') else 0
    if not 0 < number < MAX_LOOKED_AT or not hasattr(measured, 'get_data_info'):
        return None
    infos = [measured.get_data_info(i) for i in range(number)]
    whole = number
    if getattr(measured, 'part', 'all') == 'holdout' and hasattr(trained, '__len__'):
        whole += len(trained)
    elif trained is not None and hasattr(trained, '__len__'):
        whole = len(trained)  # folds are of the training set
    if any('instances' in info for info in infos):
        boxes = sum(len(info.get('instances', ())) for info in infos)
        if number >= MIN_IMAGES and boxes >= MIN_BOXES:
            return None
        few = f'{number} images with {boxes} boxes are {purpose}: too few to tell detectors apart'
        return f'{few}; {_remedy(whole)}'
    if not any('gt_label' in info for info in infos):
        return None
    error = top1_error(number)
    if error <= MAX_ERROR:
        return None
    few = f'{number} images are {purpose}: differences below {2 * error:.0f} points of top-1'
    return f'{few} cannot be told; {_remedy(whole)}'


def top1_error(number: int) -> float:
    """Standard error of a top-1 of 85 % on as many images, in points.

    >>> round(top1_error(34), 1)
    6.1
    """
    return math.sqrt(LIKELY_TOP1 * (100 - LIKELY_TOP1) / number)


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


def _remedy(whole: int) -> str:
    return f'"tools/train.py CONFIG --folds 5" measures on all {whole} (docs/data.md)'
