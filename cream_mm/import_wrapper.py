"""Runs something around the import of other people's modules, whenever they are imported."""

import importlib.abc
import importlib.machinery
from collections.abc import Callable, Sequence
from types import ModuleType

Run = Callable[[ModuleType], None]


class ImportWrapper(importlib.abc.MetaPathFinder):
    """For ``sys.meta_path``: finds some modules where Python does, and wraps what runs them."""

    def wrapper(self, name: str) -> Callable[[Run], Run] | None:
        """What takes the function that executes a module, and gives another; None: as it is."""
        raise NotImplementedError

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        wrap = self.wrapper(fullname)
        if wrap is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = wrap(spec.loader.exec_module)
        return spec
