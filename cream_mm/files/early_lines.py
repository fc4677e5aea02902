"""What is said before a run has its log file, kept for that file."""

import functools
import logging
import os

from mmengine.logging import print_log

from ..command_words import as_typed

_RANKS = (
    ('RANK', 'WORLD_SIZE'),
    ('SLURM_PROCID', 'SLURM_NTASKS'),
    ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
)
_kept: list[tuple[int, str]] = []


def say_early(message: str, level: int = logging.INFO) -> None:
    """Say a line now, and once more in the log file of the run that follows.

    On the first rank.
    """
    if rank_and_number()[0] == 0:
        message = as_typed(message)
        print_log(message, 'current', level=level)
        _kept.append((level, message))


@functools.cache
def say_once(message: str, level: int = logging.INFO) -> None:
    """:func:`say_early`, once in a process."""
    say_early(message, level)


def rank_and_number() -> tuple[int, int]:
    """Rank of this process and number of processes, of which the launcher tells.

    Before they are a group, they do not know each other.
    """
    for rank, number in _RANKS:
        if os.environ.get(rank, '').isdigit():
            count = os.environ.get(number, '')
            return int(os.environ[rank]), max(1, int(count)) if count.isdigit() else 1
    return 0, 1


def take_early_lines() -> list[tuple[int, str]]:
    """Levels and lines that were said since this was called last."""
    lines = list(_kept)
    _kept.clear()
    return lines
