"""The folder of a dry run, by which its parts know it."""

from pathlib import Path

FOLDER = 'cream_mm-dry-run-'
"""What its name begins with."""


def is_dry(work_dir: str | Path) -> bool:
    """Whether a run writes into the folder of a dry run, which goes with it."""
    return Path(work_dir).name.startswith(FOLDER)
