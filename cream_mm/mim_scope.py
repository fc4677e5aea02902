"""Lets a config inherit by ``_base_ = 'cream_mm::photos/search.py'``, as from mmdet's.

mmengine keeps a table of the packages that it takes configs from, and looks into their folder
``.mim``. Both changes are made when its modules are imported, not before: importing cream_mm stays
cheap.
"""

import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .import_wrapper import ImportWrapper, Run

SCOPE = 'cream_mm'
_PACKAGE = Path(__file__).resolve().parent
# Where a name in the table is that of a distribution, mmengine asks pip's files for the folder: of
# an editable installation they do not tell it, and beside a clone on PYTHONPATH they tell another
# one. This name is no distribution's, so the module is found, and its folder is the package's.
_OURS = 'cream_mm.version'


def add_mim_scope() -> None:
    """Make ``cream_mm::`` known to mmengine, now or when it is imported; again does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
        for name, change in _CHANGES.items():
            if name in sys.modules:
                change(sys.modules[name])


def configs_root() -> Path:
    """The folder that holds ``configs/``: in the package, or, of a bare checkout, beside it."""
    inside = _PACKAGE / '.mim'
    return inside if (inside / 'configs').is_dir() else _PACKAGE.parent


def config_place(name: str) -> str:
    """Where the config lies that ``cream_mm::photos/search.py`` names; other texts as they are."""
    scope, _, inside = name.partition('::')
    if scope != SCOPE or not inside:
        return name
    place = configs_root() / 'configs' / inside
    return str(place) if place.is_file() else name


def _add_to_table(module: types.ModuleType) -> None:
    module.MODULE2PACKAGE.setdefault(SCOPE, _OURS)


def _find_configs(module: types.ModuleType) -> None:
    """Configs that ``cream_mm::`` names are found, and mean what the files themselves mean.

    mmengine takes no name without a folder, and would look for every class in the package that the
    file comes from. Ours name classes of mmpretrain and mmdet, and say ``cream_mm.`` before those
    of cream_mm.
    """
    find = module.Config._get_cfg_path

    def find_ours(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not cfg_path.startswith(f'{SCOPE}::'):
            return find(cfg_path, filename)
        place = config_place(cfg_path)
        if place == cfg_path:
            raise FileNotFoundError(
                f'no config {cfg_path}, which {filename} inherits from; "cream-mm configs" lists '
                'them'
            )
        return place, None

    module.Config._get_cfg_path = staticmethod(find_ours)


_CHANGES: dict[str, Run] = {
    'mmengine.config.utils': _add_to_table,
    'mmengine.config.config': _find_configs,
}


class _Finder(ImportWrapper):
    def wrapper(self, name: str) -> Callable[[Run], Run] | None:
        return partial(_then, _CHANGES[name]) if name in _CHANGES else None


def _then(change: Run, run: Run) -> Run:
    def exec_module(module: types.ModuleType) -> None:
        run(module)
        change(module)

    return exec_module
