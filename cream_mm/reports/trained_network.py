"""Of which network and data a training was, where these are not those of its search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.arch_file import DETECTION
from ..files.config_values import read_value
from .formats import format_cost, format_size


def other_network(work_dir: str | Path, answer: Mapping, steps: list[Mapping]) -> str | None:
    """In words, the network that a work directory trained, if it is another one than the answer.

    The config that the run left there tells it; nothing of it is run.

    Args:
        work_dir (str | Path): Of the training.
        answer (dict): Of the search: ``arch``, ``space`` and, of slices, ``input_size``.
        steps (list[dict]): The rows of ``front.json``, written alike; empty where there is none.

    Returns:
        str | None: None if it is the answer, and where no config tells the network.
    """
    found = sorted(Path(work_dir).glob('*.py'))
    if len(found) != 1:
        return None
    try:
        backbone = read_value(found[0], 'model')['backbone']
        own = _identity(backbone['arch'], backbone.get('space'))
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return None
    if not isinstance(backbone['arch'], list):  # a name or a file
        return None
    rows = [row for row in (answer, *steps) if _identity(row['arch'], row.get('space')) == own]
    if not rows:
        return 'a network that this search did not answer with'
    if len({_side(row.get('input_size')) for row in rows}) > 1:  # the same layers, other images
        rows = [row for row in rows if _side(row.get('input_size')) == _trained_side(found[0])]
    if not rows or rows[0] is answer:
        return None
    row, words = rows[0], 'another network of the front'
    if (macs_m := (row.get('costs') or {}).get('macs_m')) is not None:
        words += f', {format_cost(macs_m)} M multiply-adds'
    return words + (f' at {format_size(row["input_size"])} pixels' if row.get('input_size') else '')


def other_set(work_dir: str | Path, answer: Mapping) -> str | None:
    """In words, the data and image size of a detector, if its backbone was searched on others.

    Args:
        work_dir (str | Path): Of the detector's training.
        answer (dict): Of the search; tells nothing where that was of a classifier.
    """
    found = sorted(Path(work_dir).glob('*.py'))
    if answer.get('task') != DETECTION or len(found) != 1:
        return None
    told, searched = [], []
    for name, words in (('data_root', str), ('scale', format_size)):
        own = _plain(_value(found[0], name))
        wanted = _plain(answer.get(name))
        if own is not None and wanted is not None and own != wanted:
            told.append(words(own))
            searched.append(words(wanted))
    return f'{" at ".join(told)}, and searched on {" at ".join(searched)}' if told else None


def _plain(value: Any) -> Any:
    return value.rstrip('/') if isinstance(value, str) else list(value) if value else None


def _value(config: Path, name: str) -> Any:
    try:
        return read_value(config, name)
    except (OSError, ValueError):
        return None


def _identity(arch: Any, space: Any) -> tuple:
    """Choices, and the widths of stages, by which networks of the same choices may differ."""
    space = space if isinstance(space, Mapping) else {}
    return arch, list(space.get('widths') or ())


def _side(size: Any) -> Any:
    return size[0] if isinstance(size, (list, tuple)) and size else size


def _trained_side(config: Path) -> Any:
    return _side(_value(config, 'input_size'))
