"""Puts the stand-in of :mod:`cream_mm.mmcv_ext` in place when ``mmcv.ops`` is imported, not before.

Until then there is no ``mmcv._ext``, and whoever asks for it is told so.
"""

import importlib.abc
import sys
from collections.abc import Sequence
from types import ModuleType


def watch_mmcv_ops() -> None:
    """From now on ``mmcv.ops`` can be imported. Calling it again does nothing."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())  # before the finder that finds it


class _Watch(importlib.abc.MetaPathFinder):
    """Finds nothing; it is asked before those that do."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == 'mmcv.ops':
            from .mmcv_ext import install_stand_in

            install_stand_in()
