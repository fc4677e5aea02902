"""Keeps one line off the screen that the OneDL forks print whenever they are imported.

``mmpretrain.datasets`` and ``mmdet.datasets`` look for a package named ``onedl`` that nobody needs,
and print "Could not import OneDL" where it is missing; what else they print stays.
"""

import contextlib
import io
import sys
import types
from collections.abc import Callable
from typing import Any

from .import_wrapper import ImportWrapper, Run

_MODULES = ('mmpretrain.datasets', 'mmdet.datasets', 'mmdet.datasets.transforms')
_LINE = 'Could not import OneDL'


def silence_onedl() -> None:
    """Put the finder in place; calling it again does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(ImportWrapper):
    def wrapper(self, name: str) -> Callable[[Run], Run] | None:
        return _without_line if name in _MODULES else None


def _without_line(run: Run) -> Run:
    def exec_module(module: types.ModuleType) -> None:
        with contextlib.redirect_stdout(_Rest(sys.stdout)):
            run(module)

    return exec_module


class _Rest(io.TextIOBase):
    """Standard output without the line; of a line, ``print`` writes text and end one by one."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._at_start = True  # of a line
        self._left_out = False

    def write(self, text: str) -> int:
        if self._at_start and text.startswith(_LINE):
            self._left_out = not text.endswith('\n')
        elif self._left_out and text == '\n':
            self._left_out = False
        else:
            self._stream.write(text)
            self._at_start = text.endswith('\n')
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
