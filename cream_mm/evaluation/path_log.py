"""What the training itself says about the paths: the losses it met on the way."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..converters import load_checkpoint_file
from ..files import Dropped, read_json_lines, set_aside, shorten
from ..search import MainEffects
from ..spaces import MBConvSpace
from ..structures import Arch
from ..utils import write_whole

PATH_LOG = 'path_log.jsonl'  # in the work directory, beside the checkpoints


def training_effects(
    path, space: MBConvSpace, *, end: int | None = None, share: float = 2 / 3, window: int = 101
) -> MainEffects:
    """Main effects of minus the training loss, over the last part of a training.

    Each step's loss is that of fresh images, taken before the step, so it rates the step's path
    at no cost. One loss says little; the effect of a choice is averaged over all steps that used
    it, and so over many states of the weights, where ratings show only the last state. The fall
    of the loss over time is taken out as a running mean.

    Most of what is left is how hard the step's images happen to be. Where a teacher answered the
    same images (Cream's distillation), its loss tells that, and serves as a control variate. The
    path is drawn without regard to either, so that its effects stay what they are, with less
    noise; the teacher is not drawn but chosen, so that nothing is concluded about teachers.

    Args:
        path (str | Path): ``path_log.jsonl`` of :class:`PathLogHook`.
        space (MBConvSpace): The search space.
        end (int, optional): Use steps before this one. Defaults to all.
        share (float): Which last share of them to use. Defaults to 2/3.
        window (int): Steps of the running mean, odd. Defaults to 101.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds fewer than ten steps to use. Damaged lines are
            left out, with a warning.

    Reference:
        Own choice; after training speed as an estimate of rank, Ru et al. (NeurIPS 2021), and
        control variates of Monte Carlo methods.
    """
    dropped = Dropped()
    archs, losses, teacher_losses = read_path_log(path, space, end, dropped)
    if len(losses) * share < 10:
        why = f'; {dropped}' if dropped else ''
        raise ValueError(
            f'{Path(path).name} holds {len(losses)} steps before step {end}: too few{why}'
        )
    if dropped:
        print_log(f'{path}: {dropped}', 'current', level=30)
    window = min(window, (len(losses) - 1) // 2 * 2 + 1)
    first = round(len(losses) * (1 - share))
    own, teachers = (
        (values - _running_mean(values, window))[first:] for values in (losses, teacher_losses)
    )
    taught = np.isfinite(teachers)
    if taught.sum() >= 10:
        own[taught] -= np.polyfit(teachers[taught], own[taught], 1)[0] * teachers[taught]
    return MainEffects(archs[first:], -own)


def training_effects_until(checkpoint, space: MBConvSpace, path_log=None) -> MainEffects:
    """:func:`training_effects` of the training up to a checkpoint.

    Args:
        checkpoint (str | Path): File of a checkpoint, which says how many steps there were.
        space (MBConvSpace): The search space.
        path_log (str | Path, optional): Defaults to the ``path_log.jsonl`` beside it.

    Raises:
        FileNotFoundError, ValueError: See :func:`training_effects`.
    """
    path_log = path_log or Path(checkpoint).parent / PATH_LOG
    end = load_checkpoint_file(checkpoint).get('meta', {}).get('iter')
    return training_effects(path_log, space, end=end)


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """(n,) -> (n,) of the finite values around each; NaN where there are none."""
    known = np.isfinite(values)
    sums, counts = (
        np.convolve(np.pad(part, window // 2, mode='reflect'), np.ones(window), mode='valid')
        for part in (np.where(known, values, 0.0), known.astype(float))
    )
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0.5)


def read_path_log(
    path, space: MBConvSpace, end: int | None = None, dropped: Dropped | None = None
) -> tuple[list[Arch], np.ndarray, np.ndarray]:
    """Paths, losses (n,) and teachers' losses (n,) of the steps before ``end``, in order of steps.

    A step without a teacher has NaN for the latter. Of a step that stands twice the later line
    counts; a step whose loss is not finite is not there.

    Args:
        path (str | Path): ``path_log.jsonl``.
        space (MBConvSpace): The search space.
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
                known[text] = space.validate(Arch.from_list(record['arch'], space.name))
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


def cut_path_log(path, end: int) -> str | None:
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


def combined(*scorings: Sequence[float]) -> np.ndarray:
    """Sum of scores in units of their own standard deviation, (n,)."""
    columns = [np.asarray(values, dtype=float) for values in scorings]
    return sum(values / (values.std() or 1.0) for values in columns)
