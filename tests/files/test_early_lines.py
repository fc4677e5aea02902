"""Lines that come before a run's log file, and which rank says them."""

import pytest

from cream_mm.files import rank_and_number, say_early, take_early_lines

NAMES = ('RANK', 'WORLD_SIZE', 'SLURM_PROCID', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_RANK',
         'OMPI_COMM_WORLD_SIZE')  # fmt: skip


@pytest.mark.parametrize(
    'environ, expected',
    [
        ({}, (0, 1)),
        (dict(RANK='3', WORLD_SIZE='4'), (3, 4)),
        (dict(RANK='1', WORLD_SIZE='2', SLURM_PROCID='0', SLURM_NTASKS='1'), (1, 2)),
        (dict(SLURM_PROCID='5', SLURM_NTASKS='8'), (5, 8)),
        (dict(OMPI_COMM_WORLD_RANK='0', OMPI_COMM_WORLD_SIZE='2'), (0, 2)),
        (dict(RANK='', WORLD_SIZE='4'), (0, 1)),
        (dict(RANK='2', WORLD_SIZE='many'), (2, 1)),
    ],
)
def test_rank_and_number(monkeypatch, environ, expected):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert rank_and_number() == expected
    take_early_lines()
    say_early('a line', 30)
    assert take_early_lines() == ([(30, 'a line')] if expected[0] == 0 else [])
    assert take_early_lines() == []
