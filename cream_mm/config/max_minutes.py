"""``max_minutes``: as many epochs as fit into a time, chosen once, before the first step."""

import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from mmengine.config import Config

from ..checkpoints.whole_file import latest_checkpoint
from ..engine.stage import Stage, longest_fit
from ..files import rank_and_number, read_json, say_early, write_json
from .carry import override
from .run_apart import run_apart

FILE = 'time_budget.json'
FORMAT = 'cream_mm.time_budget/1'
RESERVE = 0.1
"""Share of the time that is not planned: what was measured is not known better."""
FEW = 4
"""One in so many of the config's epochs, or fewer, are little."""


def size_epochs(cfg: Config, options: Mapping[str, Any], command: Sequence[str]) -> None:
    """Set ``max_epochs`` of a config that has ``max_minutes``, and note it in the work_dir.

    A dry run in a process of its own tells how long all takes, so that this process draws what it
    would have drawn without. A config that was sized before, as the copy that a run leaves, and a
    run that goes on keep what was chosen.

    Args:
        cfg (Config): As :func:`load_config` has read it, with a ``work_dir``; changed in place.
        options (dict): What was given beside the config, dotted keys.
        command (Sequence[str]): Of the run, without the interpreter; ``--dry-run`` is added.

    Raises:
        ValueError: If ``max_epochs`` is given, too, there is none in the config, the run is a
            fold or has several processes, goes on from one without ``max_minutes``, or cannot be
            measured.
    """
    minutes = cfg.get('max_minutes')
    if minutes is None or cfg.get('sized_epochs') and 'max_minutes' not in options:
        return
    if 'max_epochs' in options:
        raise ValueError('max_minutes chooses max_epochs: give one of them')
    if cfg.get('max_epochs') is None:
        raise ValueError(
            'max_minutes chooses the max_epochs at the top level of a config, and this one has '
            'none there: write max_epochs=N, and use it in train_cfg'
        )
    if cfg.get('folds'):
        raise ValueError(
            'max_minutes would give each fold epochs of its own, and folds are compared: the '
            'command without --folds and with --dry-run tells how many fit; give max_epochs'
        )
    if rank_and_number()[1] > 1:
        raise ValueError(
            'max_minutes is for one process. On several the same command with --dry-run tells how '
            'many epochs fit; give them as max_epochs in its place'
        )
    file = Path(cfg.work_dir, FILE)
    epochs = _chosen_before(cfg, file) if cfg.get('resume') else None
    if epochs is None:
        say_early(f'max_minutes={minutes:g}: measuring how long an epoch takes')
        start = perf_counter()
        measured = _measure(command)
        chosen, line = fitting(measured, minutes, perf_counter() - start)
        epochs = chosen['max_epochs']
        is_little = chosen['reserve_minutes'] < 0 or _are_few(epochs, measured['max_epochs'])
        level = logging.WARNING if is_little else logging.INFO
        write_json(file, dict(format=FORMAT, **chosen, measured=measured))
        say_early(line, level)
    else:
        say_early(f'max_minutes={minutes:g}: {epochs} epochs, as chosen before ({file})')
    # What was set beside it stays as it was set.
    given = {key: value for key, value in options.items() if key.endswith('switch_epoch')}
    override(cfg, dict(given, max_epochs=epochs, sized_epochs=True))


def fitting(measured: dict, minutes: float, spent: float = 0.0) -> tuple[dict, str]:
    """How many epochs fit.

    Args:
        measured (dict): The record of a dry run.
        minutes (float): All that there is.
        spent (float): Seconds of it that are over.

    Returns:
        tuple[dict, str]: ``max_minutes``, ``max_epochs``, and how the minutes are spent; and a
        line that says so.

    Raises:
        ValueError: If the run counts steps, not epochs.
    """
    before = measured['max_epochs']
    if before is None:
        raise ValueError(
            'max_minutes chooses a number of epochs, and this run counts steps: set '
            'train_cfg.max_iters'
        )
    stages = [Stage(**stage) for stage in measured['stages']]
    planned = 60 * minutes * (1 - RESERVE) - spent
    least = measured['least_epochs']
    epochs, fits = longest_fit(stages, planned, before, measured['multiple'], least)
    epoch = sum(stage.seconds for stage in stages if stage.grows) / before / 60
    rest = (sum(stage.seconds for stage in stages if not stage.grows) + spent) / 60
    reserve = minutes - epochs * epoch - rest
    chosen = dict(
        max_minutes=minutes, max_epochs=epochs, training_minutes=round(epochs * epoch, 3),
        other_minutes=round(rest, 3), reserve_minutes=round(reserve, 3),
    )  # fmt: skip
    if fits or reserve >= 0:
        return chosen, (
            f'max_minutes={minutes:g}: {epochs} epoch{"s" * (epochs > 1)}; '
            f'{epochs * epoch:.1f} min of training and validation, {rest:.1f} of all else, '
            f'{reserve:.1f} left as reserve'
            + (f'. Of {before} epochs that the config plans: it learns little'
               if _are_few(epochs, before) else '')
        )  # fmt: skip
    fixed = {stage.name: stage.seconds / 60 for stage in stages if not stage.grows}
    fixed['measuring this'] = spent / 60
    longest = sorted(fixed.items(), key=lambda item: -item[1])[:3]
    parts = ', '.join(f'{name} {part:.1f}' for name, part in longest if part >= 0.05)
    each = f'{epochs} epochs, the least, take' if epochs > 1 else 'one epoch takes'
    return chosen, (
        f'max_minutes={minutes:g} is too short: {each} {epochs * epoch:.1f} min, and all else '
        f'{rest:.1f} ({parts}). The run takes about {epochs * epoch + rest:.1f} min so, and learns '
        f'little; the {before} epochs of the config would take {before * epoch + rest:.0f}'
    )


def _are_few(epochs: int, planned: int) -> bool:
    return epochs * FEW <= planned


def _chosen_before(cfg: Config, file: Path) -> int | None:
    """What the run that goes on has chosen; None where nothing was begun."""
    if file.is_file():
        content = read_json(file)
        epochs = content.get('max_epochs') if isinstance(content, dict) else None
        if type(epochs) is not int or epochs < 1:
            raise ValueError(f'{file} does not tell how many epochs were chosen: give max_epochs')
        return epochs
    if cfg.get('load_from') or latest_checkpoint(cfg.work_dir) is not None:
        raise ValueError(
            'a run cannot get max_minutes when it goes on: leave it out, and give max_epochs to '
            'change its length'
        )
    return None


def _measure(command: Sequence[str]) -> dict:
    """The record of a dry run of a command."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'dry_run.json')
        call = [sys.executable, *command, '--dry-run', '--dry-run-out', out]
        run_apart(call, 'the dry run that max_minutes needs has failed')
        return read_json(out)
