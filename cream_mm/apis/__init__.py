"""What other code calls: a model by name, a trained search, an export, a count."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .create_model import create_model, list_models
    from .open_search import open_search

__all__ = ['create_model', 'list_models', 'open_search']

# Imported when they are asked for: a look at data needs no models.
_WHERE = dict(create_model='create_model', list_models='create_model', open_search='open_search')


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f'.{_WHERE[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
