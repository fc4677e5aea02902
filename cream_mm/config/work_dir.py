"""A work directory in place of a config and a checkpoint: those that its run left there."""

import os
from pathlib import Path

from ..command_line import no_config
from ..files import say_early


def config_and_checkpoint(config: str, checkpoint: str | None) -> tuple[str, str]:
    """What a tool was given as ``CONFIG CHECKPOINT``, ``WORK_DIR``, or one of each.

    Args:
        config (str): A config file, or the work directory of a run.
        checkpoint (str, optional): A checkpoint, or a work directory. None: that of ``config``.

    Returns:
        tuple[str, str]: Two files; a line says which were taken from a directory.

    Raises:
        FileNotFoundError: If a directory has no config or no checkpoint.
        ValueError: If it has several configs, or all its checkpoints are damaged; or if there is
            a config without a checkpoint.
    """
    if not os.path.isdir(config) and checkpoint is None:
        if not os.path.exists(config):
            raise FileNotFoundError(no_config(config, ', and no work directory of that name'))
        raise ValueError(
            f'{config} without a checkpoint: give CONFIG CHECKPOINT, or the work directory of a run'
        )
    place = config if checkpoint is None else checkpoint
    taken = config_file(config) if os.path.isdir(config) else config
    if os.path.isdir(place):
        checkpoint, why = checkpoint_file(place)
        say_early(f'{place}: {_name(taken, place)} and {_name(checkpoint, place)}, {why}')
    elif taken != config:
        say_early(f'{config}: {_name(taken, config)}')
    return taken, checkpoint


def config_file(work_dir: str | Path) -> str:
    """The config that a run left in its work directory.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are several.
    """
    found = sorted(path.name for path in Path(work_dir).glob('*.py') if path.is_file())
    if not found:
        raise FileNotFoundError(
            f'no config in {work_dir}: a run leaves its own in its work directory, as NAME.py'
        )
    if len(found) > 1:
        raise ValueError(
            f'{work_dir} has {len(found)} configs, {", ".join(found[:5])}: name the one that is '
            'meant, and a checkpoint'
        )
    return os.path.join(work_dir, found[0])


def checkpoint_file(work_dir: str | Path) -> tuple[str, str]:
    """The best checkpoint of a run if there is one, else the newest; one that is whole.

    Of a search it is the newest: its best is that of one path's validation, and its answer and
    its training's log go to the end.

    Returns:
        tuple[str, str]: The file, and in words which it is.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If all are damaged.
    """
    from ..checkpoints.whole_file import check_whole, latest_checkpoint  # with torch

    folder, damaged = Path(work_dir), []
    is_search = any((folder / name).is_file() for name in ('path_log.jsonl', 'best_arch.json'))
    best = [] if is_search else sorted(folder.glob('best_*.pth'), key=os.path.getmtime)
    for path in reversed(best):
        try:
            check_whole(path)
        except (OSError, ValueError) as error:
            damaged.append(str(error))
            continue
        of_several = f', the newest of {len(best)}' if len(best) > 1 else ''
        return str(path), f'the best checkpoint{of_several}'
    for text in damaged:
        say_early(f'{text}: passed over', level=30)
    newest = latest_checkpoint(folder)
    if newest is None:
        raise FileNotFoundError(f'no checkpoint in {work_dir}: name one')
    return str(newest), 'the newest checkpoint'


def _name(path: str, work_dir: str) -> str:
    inside = os.path.dirname(os.path.abspath(path)) == os.path.abspath(work_dir)
    return os.path.basename(path) if inside else path
