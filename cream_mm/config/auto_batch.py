"""``batch_size='auto'``: measured once, before the first step, in a process of its own."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..command_words import own_command
from ..files import rank_and_number, read_json, say_early, write_json
from .carry import read_config
from .run_apart import run_apart

AUTO = 'auto'
FILE = 'batch_size.json'
FORMAT = 'cream_mm.batch_size/1'


def size_batch(
    path: str,
    options: Mapping[str, Any],
    *,
    resume: bool = False,
    amp: bool = False,
    keep: bool = True,
) -> dict[str, Any]:
    """The options of a run, with a number in the place of ``batch_size='auto'``.

    Steps of the network, of a supernet its costliest path, are taken in a process of its own, so
    that the run draws what it would have drawn without. A run that goes on, and one of the copy of
    its config that a run leaves, keep what was chosen.

    Args:
        path (str): The config file.
        options (dict): What was given beside it, dotted keys.
        resume (bool): Whether the run goes on. Defaults to False.
        amp (bool): Whether it has mixed precision. Defaults to False.
        keep (bool): Note what was chosen in the work_dir. Defaults to True.

    Raises:
        ValueError: If the run is a fold or has several processes, goes on from one without
            ``'auto'``, or cannot be measured.
    """
    options = dict(options)
    content = read_config(path)[0]
    if options.get('batch_size', content.get('batch_size')) != AUTO:
        return options
    if options.get('folds', content.get('folds')):
        raise ValueError("batch_size='auto' could differ between folds: give a number")
    if rank_and_number()[1] > 1:
        raise ValueError("batch_size='auto' is for one process: give the number for each of them")
    work_dir = options.get('work_dir') or content.get('work_dir')
    work_dir = work_dir or os.path.join('work_dirs', Path(path).stem)
    file = Path(work_dir, FILE)
    if resume:
        size = _chosen_before(file, work_dir)
        if size is not None:
            say_early(f"batch_size='auto': {size}, as chosen before ({file})")
            return dict(options, batch_size=size)
    say_early("batch_size='auto': measuring steps of different sizes")
    given = {key: value for key, value in options.items() if key != 'work_dir'}
    found = _measure(dict(config=str(path), options=given, amp=amp))
    if keep:
        kept = {key: found[key] for key in ('batch_size', 'why', 'tried')}
        write_json(file, dict(format=FORMAT, **kept))
    say_early(chosen_line(found))
    return dict(options, batch_size=found['batch_size'])


def chosen_line(found: Mapping) -> str:
    """What was chosen, and why."""
    speeds = ', '.join(
        f'{one["batch_size"]}: {one["images_per_second"]:.0f}' for one in found['tried']
    )
    rate = 'the learning rate is scaled to it'
    if not found['lr_follows']:
        rate = 'the learning rate stays as it is: auto_scale_lr is off'
    return (
        f"batch_size='auto': {found['batch_size']}; images a second {speeds}; {found['why']}; "
        f'{rate}'
    )


def _chosen_before(file: Path, work_dir: str) -> int | None:
    """What the run that goes on has chosen; None where nothing was begun."""
    if file.is_file():
        content = read_json(file)
        size = content.get('batch_size') if isinstance(content, dict) else None
        if type(size) is not int or size < 1:
            raise ValueError(f'{file} does not tell which batch_size was chosen: give one')
        return size
    from ..checkpoints.whole_file import latest_checkpoint  # which imports torch

    if latest_checkpoint(work_dir) is not None:
        raise ValueError(
            "a run cannot get batch_size='auto' when it goes on: give the batch_size that it had"
        )
    return None


def _measure(order: dict) -> dict:
    """What the process that measures has found."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'order.json')
        write_json(path, order)
        call = [*own_command('cream_mm.apis.probe_batch'), path]
        run_apart(call, "batch_size='auto' could not be measured")
        return read_json(path)
