"""Reads the config of a detector, in any form people write it, and finds the detector in it."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import get_installed_path, get_object_from_string

from ..config.carry import entries, read_config
from ..files.read import shorten


def read_detector(path: str | Path) -> Config:
    """Read a detector's config, in the form of text or in mmengine's lazy one, as one of names.

    Args:
        path (str | Path): The file, or ``mmdet::...`` for one of mmdet's own configs.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ``.py`` file, or cannot be read; says why.
    """
    path, package, inside = str(path), *str(path).partition('::')[::2]
    if inside:
        try:
            path = str(Path(get_installed_path(package), '.mim', 'configs', inside))
        except Exception:
            raise FileNotFoundError(f'{package}:: is no installed package of configs') from None
    if not Path(path).is_file():
        raise FileNotFoundError(f'no detector config {path}')
    if not path.endswith('.py'):
        raise ValueError(f'a detector config is a .py file; got {path}')
    try:
        cfg = Config.fromfile(path)
        if 'cream_mm' in imports_of(cfg):  # made from a config of ours, whose values are carried on
            cfg = read_config(path)[0]
    except ImportError as error:
        raise ValueError(
            f'{path} imports what is not there: {in_one_line(error)}. Set PYTHONPATH to the folder '
            'that its custom_imports begin in'
        ) from None
    except Exception as error:
        raise ValueError(f'{path} cannot be read as a config: {in_one_line(error)}') from None
    return _by_name(cfg)


def imports_of(cfg: Config) -> list[str]:
    """Modules of its ``custom_imports``."""
    names = (cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def in_one_line(error: Exception) -> str:
    """What an error of somebody else's says, for a line of ours."""
    text = shorten(' '.join(str(error).split()), 300)
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def _by_name(cfg: Config) -> Config:
    """A config whose types are names, as the tools of the family look for them."""
    values = cfg.to_dict()
    scope = values['default_scope'] = values.get('default_scope') or 'mmdet'
    for node, key in list(entries(values)):
        if key == 'type':
            node[key] = _type_name(node[key], scope)
        elif key == '_scope_' and node[key] == scope:
            del node[key]
    return Config(values)


def _type_name(value: Any, scope: str) -> Any:
    """The registered name of a class, also of one that is named by its module."""
    cls = value
    if isinstance(value, str) and '.' in value:
        try:
            cls = get_object_from_string(value)
        except Exception:
            return value
    if not inspect.isclass(cls):
        return value
    for where in dict.fromkeys((scope, 'mmdet', 'mmpretrain', 'cream_mm')):
        try:
            registries = vars(importlib.import_module(f'{where}.registry')).values()
        except ImportError:
            continue
        for registry in registries:
            if not isinstance(registry, Registry):
                continue
            registry.import_from_location()
            own, name = registry.module_dict, cls.__name__
            if own.get(name) is cls:
                return name if where == scope else f'{where}.{name}'
            parent = registry.parent
            if parent is not None and parent.module_dict.get(name) is cls and name not in own:
                return name
    return value


def find_detector(cfg: Config, name: str) -> tuple[str, dict]:
    """The part of a config that is a detector with a backbone.

    Returns:
        tuple[str, dict]: Where it stands, ``'model'`` or ``'model.detector'`` (of a tracker, or of
        a semi-supervised model), and the part itself.

    Raises:
        ValueError: If there is none.
    """
    model = cfg.get('model')
    if not isinstance(model, dict):
        raise ValueError(f'{name} has no model: it is no config of a detector')
    for where, node in (('model', model), ('model.detector', model.get('detector'))):
        if isinstance(node, dict) and isinstance(node.get('backbone'), dict):
            return where, node
    others = [where for where, node in _parts(model, 'model') if 'backbone' in node]
    if others:
        raise ValueError(
            f'{name}: its backbone is {others[0]}.backbone; only model.backbone and '
            'model.detector.backbone can be fitted. Write a config of that part alone'
        )
    raise ValueError(
        f'{name}: its model ({model.get("type")}) has no backbone, so there is nothing to put '
        'another one in the place of'
    )


def _parts(node: Any, where: str) -> Iterator[tuple[str, dict]]:
    """Every dictionary of a config, and where it stands."""
    if isinstance(node, dict):
        yield where, node
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items if isinstance(node, (dict, list, tuple)) else ():
        if isinstance(value, (dict, list, tuple)):
            yield from _parts(value, f'{where}.{key}')
