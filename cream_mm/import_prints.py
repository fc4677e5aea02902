"""Keeps one line off the screen that the OneDL forks print whenever they are imported.

``mmpretrain.datasets`` and ``mmdet.datasets`` look for a package named ``onedl`` that nobody needs,
and print "Could not import OneDL" where it is missing; what else they print stays.
"""

import contextlib
import importlib.abc
import importlib.machinery
import io
import sys
import types
from collections.abc import Sequence
from typing import Any

_MODULES = ('mmpretrain.datasets', 'mmdet.datasets', 'mmdet.datasets.transforms')
_LINE = 'Could not import OneDL'


def silence_onedl() -> None:
    """Put the finder in place; calling it again does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _without_line(spec.loader.exec_module)
        return spec


def _without_line(run: Any) -> Any:
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
