"""Writes a config as text that gives the same values again, whatever names stand in it.

mmengine replaces ``{{ fileDirname }}``, ``{{$VARIABLE:default}}`` and ``{{_base_.key}}`` in a
config's text before it runs it, also inside strings: a category or a folder of that name would
become code. Its own writer also puts keys between quotes without escaping them.
"""

import keyword
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mmengine.config import Config

WIDTH = 100


class Code(str):
    """An expression that :func:`config_text` writes as it is; never made of what a file says."""


class TextConfig(Config):
    """A config whose text, wherever mmengine writes it, is that of :func:`config_text`.

    The text goes into the work directory, to the visualizer's backends and into checkpoints, from
    which inferencers run it again.
    """

    @classmethod
    def of(cls, cfg: Config | dict) -> 'TextConfig':
        """The same config, not copied."""
        cfg = cfg if isinstance(cfg, Config) else Config(cfg)
        other = cls.__new__(cls)
        other.__dict__.update(cfg.__dict__)
        return other

    @property
    def pretty_text(self) -> str:
        return config_text(self.to_dict())


def config_text(
    values: Mapping[str, Any], refer: Callable[[Mapping, Any], str | None] | None = None
) -> str:
    """One assignment per entry, in the order given.

    Literals are written as such, a type as its dotted name in quotes, anything else as its text in
    quotes: nothing in a value can be more than a value.

    Args:
        values (dict): The top level of a config.
        refer (Callable, optional): Gets a dictionary and a key of it; what it returns, the name of
            a variable above, is written in place of the value.

    Raises:
        ValueError: If a key of the top level is not a name that Python can assign.
    """
    wrong = [key for key in values if not _is_name(key)]
    if wrong:
        raise ValueError(f'{wrong[0]!r} cannot be a key at the top level of a config; rename it')
    write = _Writer(refer or (lambda node, key: None)).write
    return ''.join(f'{key} = {write(value, len(key) + 3, 0)}\n' for key, value in values.items())


class _Writer:
    def __init__(self, refer: Callable[[Mapping, Any], str | None]):
        self.refer = refer

    def write(self, value: Any, column: int, indent: int) -> str:
        """The value as an expression that begins at ``column`` of a line indented by ``indent``."""
        if isinstance(value, Mapping):
            return self._write_dict(value, column, indent)
        if isinstance(value, (list, tuple)):
            return self._write_list(value, column, indent)
        return _literal(value)

    def _write_dict(self, value: Mapping, column: int, indent: int) -> str:
        by_name = all(map(_is_name, value))
        heads = [f'{key}=' if by_name else f'{self.write(key, 0, 0)}: ' for key in value]
        named = [self.refer(value, key) for key in value]
        items = [
            head + (name or self.write(value[key], indent + 4 + len(head), indent + 4))
            for head, name, key in zip(heads, named, value)
        ]
        left, right = ('dict(', ')') if by_name else ('{', '}')
        return _join(items, left, right, column, indent)

    def _write_list(self, value: list | tuple, column: int, indent: int) -> str:
        items = [self.write(item, indent + 4, indent + 4) for item in value]
        left, right = ('[', ']') if isinstance(value, list) else ('(', ')')
        if len(items) == 1 and isinstance(value, tuple):
            right = ',)'
        return _join(items, left, right, column, indent)


def _join(items: list[str], left: str, right: str, column: int, indent: int) -> str:
    line = left + ', '.join(items) + right
    if column + len(line) < WIDTH and '\n' not in line:
        return line
    pad = ' ' * (indent + 4)
    body = ''.join(f'{pad}{item},\n' for item in items)
    return f'{left}\n{body}{" " * indent}{right.lstrip(",")}'


def _literal(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    if isinstance(value, float):
        if value != value:
            return "float('nan')"
        return repr(value).replace('inf', '1e999')  # the literal that is infinite
    if isinstance(value, bytes):
        return _no_template(repr(value))
    if isinstance(value, type):
        value = f'{value.__module__}.{value.__name__}'
    return _no_template(repr(str(value)))


def _no_template(literal: str) -> str:
    r"""The same string to Python; ``{{`` is what mmengine looks for, ``{\x7b`` it passes over."""
    return literal.replace('{{', r'{\x7b')


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)
