"""Reads values out of a config file without running it."""

import ast
from pathlib import Path
from typing import Any

from .read import read_text

MAX_BYTES = 2_000_000  # parsed, it takes a hundred times as much


def read_value(path: str | Path, name: str) -> Any:
    """The value that a config gives to a variable, from its text alone.

    mmengine leaves the complete config of a run in its work directory: assignments of literals and
    of ``dict(key=value)``. Those are read; a Python file from elsewhere may hold anything, and
    nothing of it is executed.

    Raises:
        OSError: If it cannot be read.
        ValueError: If the file assigns no such value, or something other than literals.
    """
    path, text = Path(path), read_text(path, MAX_BYTES)
    try:
        body = ast.parse(text).body
        for statement in reversed(body):  # the last one counts
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return _value(statement.value)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        reason = str(error).split('\n')[0] or 'it nests too deeply'
        raise ValueError(f'{path}: {name} cannot be read without running it: {reason}') from None
    raise ValueError(f'{path} has no {name}')


def read_values(text: str) -> dict[str, Any]:
    """All variables that the text of a config assigns literals to, as :func:`read_value` reads one.

    Raises:
        ValueError: If the text is too large, or no Python.
    """
    if len(text) > MAX_BYTES:
        raise ValueError('the text is too large for a config')
    try:
        body = ast.parse(text).body
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        reason = str(error).split('\n')[0] or 'it nests too deeply'
        raise ValueError(f'the text is no config: {reason}') from None
    values = {}
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        try:
            values.update(dict.fromkeys(names, _value(statement.value)) if names else {})
        except (MemoryError, RecursionError, TypeError, ValueError):
            for name in names:
                values.pop(name, None)  # it was something else before
    return values


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict' and len(node.args) < 2
        if not is_dict or not all(isinstance(arg, ast.Dict) for arg in node.args):
            raise ValueError(f'line {node.lineno} calls something')
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f'line {node.lineno} unpacks something')
        first = _value(node.args[0]) if node.args else {}  # keys that are no names
        return {**first, **{keyword.arg: _value(keyword.value) for keyword in node.keywords}}
    if isinstance(node, ast.Dict):  # {**other} has a key None, which is no literal
        return {ast.literal_eval(k): _value(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(item) for item in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    return ast.literal_eval(node)
