"""Search methods: each a folder with its loss, hooks and loops, over the rooms below.

A folder here is a method; importing this package registers what is in all of them.
"""

from importlib import import_module
from pkgutil import iter_modules

__all__ = sorted(module.name for module in iter_modules(__path__))

for _name in __all__:
    import_module(f'{__name__}.{_name}')
