"""What the training itself says about the paths: the losses it met on the way."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..checkpoints import load_checkpoint_file
from ..files import PATH_LOG, Dropped, read_path_log
from ..spaces import Space
from ..structures import Arch
from .main_effects import MainEffects


def training_effects(
    path: str | Path,
    space: Space,
    *,
    end: int | None = None,
    share: float = 2 / 3,
    window: int = 101,
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
        space (Space): The search space.
        end (int, optional): Use steps before this one. Defaults to all.
        share (float): Which last share of them to use, steps at the beginning that all trained one
            path left out. Defaults to 2/3.
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
    archs, losses, teacher_losses = _behind_the_first_path(
        *read_path_log(path, space, end, dropped)
    )
    if len(losses) * share < 10:
        why = f'; {dropped}' if dropped else ''
        raise ValueError(
            f'the log of the training, {Path(path).name}, has {len(losses)} steps of different '
            f'paths, too few to tell which choices are better ({math.ceil(10 / share)} at least): '
            f'train more epochs{why}'
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


def _behind_the_first_path(archs: list[Arch], *columns: np.ndarray) -> tuple:
    """Without the steps at the beginning that trained one path alone, as a full network's do."""
    start = next((i for i, arch in enumerate(archs) if arch != archs[0]), len(archs))
    start = start if start > 1 else 0
    return archs[start:], *(column[start:] for column in columns)


def training_effects_until(
    checkpoint: str | Path, space: Space, path_log: str | Path | None = None
) -> MainEffects:
    """:func:`training_effects` of the training up to a checkpoint.

    Args:
        checkpoint (str | Path): File of a checkpoint, which says how many steps there were.
        space (Space): The search space.
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


def combined(*scorings: Sequence[float]) -> np.ndarray:
    """Sum of scores in units of their own standard deviation, (n,)."""
    columns = [np.asarray(values, dtype=float) for values in scorings]
    return sum(values / (values.std() or 1.0) for values in columns)
