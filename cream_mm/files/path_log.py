"""``path_log.jsonl``: what every step trained, and its loss."""

import json
import math
import os
from pathlib import Path

import numpy as np

from ..spaces import Space
from ..structures import Arch
from .lines import set_aside
from .read import Dropped, read_json_lines, shorten
from .whole import write_whole

PATH_LOG = 'path_log.jsonl'  # in the work directory, beside the checkpoints


def read_path_log(
    path: str | Path, space: Space, end: int | None = None, dropped: Dropped | None = None
) -> tuple[list[Arch], np.ndarray, np.ndarray]:
    """Paths, losses (n,) and teachers' losses (n,) of the steps before ``end``, in order of steps.

    A step without a teacher has NaN for the latter. Of a step that stands twice the later line
    counts; a step whose loss is not finite is not there.

    Args:
        path (str | Path): ``path_log.jsonl``.
        space (Space): The search space.
        end (int, optional): Defaults to all steps.
        dropped (Dropped, optional): Takes note of damaged lines, and of such that are of another
            space. None has the first one raise.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read; a damaged line, see ``dropped``.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'no {path}: it is written by dict(type="cream_mm.PathLogHook")')
    rows, known = {}, {}
    for where, record in read_json_lines(path, dropped, finite=False):
        try:
            step, loss, teacher_loss = _numbers(record)
            text = str(record['arch'])
            if text not in known:
                known[text] = space.validate(space.parse(record['arch']))
        except ValueError as error:
            if dropped is None:
                raise ValueError(f'{where}: {error}') from None
            dropped.add(f'{where}: {error}')
            continue
        if (end is None or step < end) and math.isfinite(loss):
            rows[step] = (known[text], loss, teacher_loss)
    rows = [rows[step] for step in sorted(rows)]
    archs, losses, teacher_losses = zip(*rows) if rows else ((), (), ())
    return list(archs), np.array(losses, dtype=float), np.array(teacher_losses, dtype=float)


def cut_path_log(path: str | Path, end: int) -> str | None:
    """Leave the steps before ``end``, each once: a run that resumes there writes the others again.

    Damaged lines are taken off, too; the file as it was is then kept beside the new one.

    Args:
        path (str | Path): ``path_log.jsonl``; need not be there.
        end (int): First step to take off.

    Returns:
        str | None: What was wrong with it, if anything was.

    Raises:
        OSError, ValueError: If it cannot be read or written as a whole.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return None
    kept, dropped = {}, Dropped()
    for where, record in read_json_lines(path, dropped, finite=False):
        try:
            step, *_ = _numbers(record)
        except ValueError as error:
            dropped.add(f'{where}: {error}')
            continue
        if step < end:
            kept[step] = json.dumps(record)
    message = f'{dropped}. The file as it was is {set_aside(path)}' if dropped else None
    write_whole(path, ''.join(f'{kept[step]}\n' for step in sorted(kept)).encode())
    return message


def _numbers(record: dict) -> tuple[int, float, float]:
    """Step, loss and teacher's loss of a line; the latter is NaN where there is none."""
    step, arch, losses = record.get('step'), record.get('arch'), [record.get('loss')]
    if 'teacher_loss' in record:
        losses.append(record['teacher_loss'])
    if type(step) is not int or not 0 <= step < 2**63:
        raise ValueError(f'"step" is {shorten(repr(step))}')
    if not isinstance(arch, list):
        raise ValueError(f'"arch" is {shorten(repr(arch))}')
    for loss in losses:
        # One beyond all cross entropies would be all that a fit sees.
        if type(loss) not in (int, float) or 1e9 < abs(loss) < math.inf:
            raise ValueError(f'a loss is {shorten(repr(loss))}')
    return step, float(losses[0]), float(losses[1]) if losses[1:] else math.nan
