"""What is said before a run has its log file, kept for that file."""

import logging
import os

from mmengine.logging import print_log

_kept: list[tuple[int, str]] = []


def say_early(message: str, level: int = logging.INFO) -> None:
    """Say a line now, and once more in the log file of the run that follows.

    On the first rank; the ranks do not know each other yet.
    """
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    if next((rank for rank in ranks if rank), '0') == '0':
        print_log(message, 'current', level=level)
        _kept.append((level, message))


def take_early_lines() -> list[tuple[int, str]]:
    """Levels and lines that were said since this was called last."""
    lines = list(_kept)
    _kept.clear()
    return lines
