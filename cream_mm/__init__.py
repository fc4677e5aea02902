"""One-shot architecture search for OpenMMLab: search a backbone, put it into any detector.

Importing this package is cheap: what is asked for by name, here or in a config under the scope
``cream_mm``, is imported then. It reads no data and touches no network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .environment import asks_doctor, check_family
from .import_errors import explain_import
from .import_prints import silence_onedl
from .mim_scope import add_mim_scope
from .mmcv_watch import watch_mmcv_ops
from .version import __version__

if TYPE_CHECKING:
    from . import datasets, engine, methods, models, search
    from .apis.create_model import create_model, list_models

if not asks_doctor():
    check_family()
silence_onedl()
add_mim_scope()
watch_mmcv_ops()

__all__ = [
    '__version__',
    'create_model',
    'datasets',
    'engine',
    'list_models',
    'methods',
    'models',
    'search',
]
_ROOMS = (
    'ops', 'structures', 'spaces', 'costs', 'files', 'checkpoints', 'datasets', 'search', 'models',
    'converters', 'evaluation', 'engine', 'methods', 'config', 'apis', 'reports', 'registry',
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ('create_model', 'list_models'):
        return getattr(__getattr__('apis'), name)
    if name in _ROOMS:
        try:
            return import_module(f'.{name}', __name__)
        except Exception as error:
            if message := explain_import(error):
                raise ImportError(message) from error
            raise
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
