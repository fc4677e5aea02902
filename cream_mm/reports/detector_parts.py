"""What the parts of a detector cost, as rows of a table."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from ..files import shorten
from ..files.part_costs_file import PARTS_FILE, PARTS_FORMAT
from .optional_file import read_optional

NAMES = ('backbone', 'neck', 'heads', 'whole')


class Parts(NamedTuple):
    """Rows, small to large as the image passes them, and where the numbers are from."""

    rows: list[dict]  # name, macs_m, share in percent of the whole, params_m, ms (or None)
    about: str  # a sentence


def read_parts(detector_dir: Path) -> Parts | None:
    """``part_costs.json`` of a training; None without one, as of earlier versions.

    Raises:
        OSError, ValueError: If it cannot be read, or holds what no training writes.
    """
    path = detector_dir / PARTS_FILE
    content = read_optional(path, PARTS_FORMAT)
    if content is None:
        return None
    try:
        height, width = (_number(side, 1, 1e5) for side in content['input_size'])
        rows = [_row(name, content['parts'][name]) for name in NAMES]
        machine = content['machine']
        where = f'{shorten(str(machine["processor"]))}, PyTorch'
        if machine['device'] == 'cpu':
            threads = _number(machine['threads'], 1, 1e5)
            where += f', {threads:.0f} thread{"s" * (threads != 1)}'
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} holds what no training writes ({type(error).__name__}: {error}). Remove it: '
            'the next start of the training writes it again'
        ) from None
    whole = rows[-1]['macs_m']
    for row in rows:
        row['share'] = 100 * row['macs_m'] / whole if whole else 0.0
    about = f'One image of {height:.0f} x {width:.0f}, with {shorten(str(content["detector"]))}'
    if content.get('arch') is not None:
        about += ' around the path in the middle of the budget'
    if any(row['ms'] is not None for row in rows):
        about += f'; times are medians on this machine: {where}'
    return Parts(rows, about + '.')


def _row(name: str, part: dict) -> dict:
    ms = part.get('ms')
    return dict(
        name=name,
        macs_m=_number(part['macs_m'], 0, 1e12),
        params_m=_number(part['params_m'], 0, 1e12),
        ms=None if ms is None else _number(ms, 0, 1e9),
    )


def _number(value: Any, low: float, high: float) -> float:
    is_number = type(value) in (int, float) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise ValueError(shorten(repr(value)))
    return value
