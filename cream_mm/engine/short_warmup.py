"""A warm-up that is counted in steps, on a set so small that it would be all of the training."""

import copy
from typing import Any

from mmengine.logging import print_log

from ..registry import kind_of

MAX_WARMUP_SHARE = 0.1
"""Of a training's steps. The 500 steps of COCO's recipes are 0.6 % of their own training; on 300
images, 12 epochs of batches of 8, they would be more than all of it."""
LONG_SHARE = 1 / 3
"""A warm-up of up to this share is left as it is: it may be meant."""
_WARMUPS = ('LinearLR', 'ConstantLR', 'QuadraticWarmupLR')


def shorten_warmup(schedulers: Any, steps: int) -> Any:
    """Schedules whose warm-up leaves most of a training to its full rate; a line tells.

    Args:
        schedulers (list | dict): Configs of mmengine's parameter schedulers. What is none is left
            alone.
        steps (int): Of the training.

    Returns:
        The same, or a changed copy: a warm-up in steps that takes more than :data:`LONG_SHARE` of
        the training takes :data:`MAX_WARMUP_SHARE` of it, and what began at its end begins there.
    """
    rows = schedulers
    if isinstance(rows, dict) and 'type' in rows:
        rows = [rows]
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
        return schedulers
    rows = copy.deepcopy(list(rows))
    for row in rows:
        if not _is_warmup(row) or row['end'] - row.get('begin', 0) <= LONG_SHARE * steps:
            continue
        begin, end = row.get('begin', 0), row['end']
        row['end'] = short = begin + max(1, round(MAX_WARMUP_SHARE * steps))
        for other in rows:
            if other is not row and other.get('by_epoch') is False and other.get('begin') == end:
                other['begin'] = short
        print_log(
            f'The warm-up takes {end - begin} steps, and the training {steps}: it is shortened to '
            f'{short - begin}',
            'current',
        )
    return rows


def _is_warmup(row: dict) -> bool:
    """Whether a learning rate, or another value, grows over a number of steps that is given."""
    if kind_of(row) not in _WARMUPS or row.get('by_epoch', True) or row.get('end') is None:
        return False
    return row.get('start_factor', row.get('factor', 1 / 3)) < row.get('end_factor', 1.0)
