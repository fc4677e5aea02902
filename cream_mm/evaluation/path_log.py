"""What the training itself says about the paths: the losses it met on the way."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..search import MainEffects
from ..spaces import MBConvSpace
from ..structures import Arch


def training_effects(
    path, space: MBConvSpace, *, end: int | None = None, share: float = 0.5, window: int = 101
) -> MainEffects:
    """Main effects of minus the training loss, over the last part of a training.

    Each step's loss is that of fresh images, taken before the step, so it rates the step's path
    at no cost. One loss says little; the effect of a choice is averaged over all steps that used
    it, and so over many states of the weights, where ratings show only the last state. The fall
    of the loss over time is taken out as a running mean.

    Most of what is left is how hard the step's images happen to be. Where a teacher answered the
    same images (Cream's distillation), its loss tells that, as a control variate: what is fitted
    then is how far the path stood behind its teacher, as effects of the one less those of the
    other.

    Args:
        path (str | Path): ``path_log.jsonl`` of :class:`PathLogHook`.
        space (MBConvSpace): The search space.
        end (int, optional): Use steps before this one. Defaults to all.
        share (float): Which last share of them to use. Defaults to 0.5.
        window (int): Steps of the running mean, odd. Defaults to 101.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds fewer than ten steps to use.

    Reference:
        Own choice; after training speed as an estimate of rank, Ru et al. (NeurIPS 2021), and
        control variates of Monte Carlo methods.
    """
    archs, losses, teachers, teacher_losses = read_path_log(path, space, end)
    if len(losses) * share < 10:
        raise ValueError(f'{path} holds {len(losses)} steps before step {end}: too few')
    window = min(window, (len(losses) - 1) // 2 * 2 + 1)
    first = round(len(losses) * (1 - share))
    own, other = (
        (values - _running_mean(values, window))[first:] for values in (losses, teacher_losses)
    )
    taught = np.isfinite(other)
    if taught.sum() < 10:
        return MainEffects(archs[first:], -own)
    weight = np.zeros(len(own))
    weight[taught] = np.polyfit(other[taught], own[taught], 1)[0]
    scores = weight * np.where(taught, other, 0.0) - own
    return MainEffects(archs[first:], scores, rivals=teachers[first:], rival_weight=weight)


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """(n,) -> (n,) of the finite values around each; NaN where there are none."""
    known = np.isfinite(values)
    sums, counts = (
        np.convolve(np.pad(part, window // 2, mode='reflect'), np.ones(window), mode='valid')
        for part in (np.where(known, values, 0.0), known.astype(float))
    )
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0.5)


def read_path_log(
    path, space: MBConvSpace, end: int | None = None
) -> tuple[list[Arch], np.ndarray, list[Arch], np.ndarray]:
    """Paths, losses (n,), teachers and their losses (n,) of the steps before ``end``, in order.

    A step without a teacher has itself for one, with a loss of NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no {path}: it is written by dict(type="cream_mm.PathLogHook")')
    known: dict[str, Arch] = {}

    def arch_of(record) -> Arch:
        text = str(record)
        if text not in known:
            known[text] = space.validate(Arch.from_list(record, space.name))
        return known[text]

    rows = []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        try:
            record = json.loads(line)
            step, arch = int(record['step']), arch_of(record['arch'])
            teacher = arch_of(record.get('teacher', record['arch']))
            loss, teacher_loss = (float(record.get(k, 'nan')) for k in ('loss', 'teacher_loss'))
            if np.isnan(loss):
                raise KeyError('loss')
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path}, line {number}: {error}') from None
        if end is None or step < end:
            rows.append((arch, loss, teacher, teacher_loss))
    archs, losses, teachers, teacher_losses = zip(*rows) if rows else ((),) * 4
    return list(archs), np.array(losses), list(teachers), np.array(teacher_losses)


def combined(*scorings: Sequence[float]) -> np.ndarray:
    """Sum of scores in units of their own standard deviation, (n,)."""
    columns = [np.asarray(values, dtype=float) for values in scorings]
    return sum(values / (values.std() or 1.0) for values in columns)
