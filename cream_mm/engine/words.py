"""Numbers and places as a run tells them."""

import os
from pathlib import Path

PERCENT = ('accuracy/', 'single-label/', 'multi-label/')
"""Metrics of mmpretrain that are in percent begin so."""
SHARE = ('coco/',)
"""Those of mmdet, from 0 to 1."""


def with_unit(metric: str, value: float) -> str:
    """A metric's name and value, with the unit that it has in logs."""
    if metric.removeprefix('raw_').startswith(PERCENT):
        return f'{metric} {value:.2f} %'
    unit = ' (0 to 1)' if metric.removeprefix('raw_').startswith(SHARE) else ''
    return f'{metric} {value:.4f}{unit}'


def format_duration(seconds: float) -> str:
    """``47 s``, ``3 min 5 s``, ``2 h 5 min``, ``3 days 2 h``."""
    seconds = round(seconds)
    if seconds < 60:
        return f'{seconds} s'
    if seconds < 3600:
        return f'{seconds // 60} min {seconds % 60} s'
    if seconds < 48 * 3600:
        return f'{seconds // 3600} h {seconds % 3600 // 60} min'
    return f'{seconds // 86400} days {seconds % 86400 // 3600} h'


def short_path(path: str | Path) -> str:
    """A path as one would type it here: relative, if it is below the current folder."""
    short = os.path.relpath(path)
    return str(path) if short.startswith('..') else short
