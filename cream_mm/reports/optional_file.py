"""Files that a training may have left for a report."""

import os
from pathlib import Path
from typing import Any

from ..files import read_json, shorten


def read_optional(path: Path, expected_format: str) -> Any | None:
    """The content of a JSON file; None without one, as of earlier versions.

    Raises:
        OSError, ValueError: If it cannot be read, or is of another format.
    """
    if not os.path.lexists(path):
        return None
    content = read_json(path)
    found = content.get('format') if isinstance(content, dict) else None
    if found != expected_format:
        raise ValueError(
            f'{path} has format {shorten(repr(found))}, this report reads {expected_format!r}'
        )
    return content
