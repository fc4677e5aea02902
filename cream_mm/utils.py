"""Small things that several pieces need."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_json(path, content) -> None:
    """Write JSON so that a kill leaves the old file or the new one, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(json.dumps(content, indent=1) + '\n')
    os.replace(temporary, path)


@contextmanager
def clear_errors() -> Iterator[None]:
    """End a command with one line where cream_mm or the command itself says what the user can mend.

    Errors from anywhere else keep their traceback.
    """
    try:
        yield
    except (FileNotFoundError, FloatingPointError, ImportError, KeyError, ValueError) as error:
        source = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
        ours = Path(__file__).resolve().parent in source.parents
        if not ours and source != Path(sys.argv[0]).resolve():
            raise
        sys.exit(f'error: {error.args[0] if error.args else error}')
