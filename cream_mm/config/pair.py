"""Validation and testing on one set: what changes the one changes the other.

In an export their loaders may differ in names: testing is what inferencers read, and they look for
``LoadImageFromFile`` and for types with a scope.
"""

import copy
from typing import Any

from ..registry import kind_of

LOADING_STEPS = ('LoadImage', 'LoadImageFromFile')  # the same pixels


def is_pair(val: Any, test: Any) -> bool:
    """Whether two loaders or evaluators are the same but for the names of their types."""
    return _neutral(val) == _neutral(test)


def paired(test: Any, val: Any) -> Any:
    """The values of ``val``, under the names of types that ``test`` has for the same steps."""
    if isinstance(test, dict) and isinstance(val, dict):
        if kind_of(test) in LOADING_STEPS and kind_of(val) in LOADING_STEPS:
            return copy.deepcopy(test)
        if kind_of(test) == kind_of(val):
            named = {key: paired(test.get(key), value) for key, value in val.items()}
            return type(val)({**named, 'type': test['type']} if 'type' in test else named)
    is_list = isinstance(test, (list, tuple)) and isinstance(val, (list, tuple))
    if is_list and len(test) == len(val):
        return type(val)(paired(*both) for both in zip(test, val))
    return copy.deepcopy(val)


def _neutral(node: Any) -> Any:
    if isinstance(node, dict):
        if kind_of(node) in LOADING_STEPS:
            return LOADING_STEPS
        return {k: kind_of(node) if k == 'type' else _neutral(v) for k, v in node.items()}
    return [_neutral(item) for item in node] if isinstance(node, (list, tuple)) else node
