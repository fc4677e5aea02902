"""What a file may say of a space: values of a type and a size that one can have."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from ..spaces import Space, known_spaces
from .read import shorten

# Far beyond any network, and small enough for a few bytes of JSON not to fill a machine's memory.
MAX_LAYERS, MAX_CHANNELS, MAX_SIDE, MAX_NAME = 1000, 100_000, 100_000, 200


def check_space(entries: Mapping) -> type[Space]:
    """The class of a space, from a file, if the entries are of types and sizes that it can have.

    Only classes that are known already: what a file names is not imported.

    Raises:
        ValueError: With the first one that is not; what it means together the space itself checks.
    """
    kind = entries.get('type', 'MBConvSpace')
    known = {name: cls for name, cls in known_spaces().items() if cls.file_words is not None}
    cls = known.get(kind.removeprefix('cream_mm.')) if isinstance(kind, str) else None
    need(cls is not None, 'space.type', kind)
    for key, value in entries.items():
        if key == 'type':
            continue
        flat = value if isinstance(value, list) else [value]
        flat = [x for item in flat for x in (item if isinstance(item, list) else [item])]
        words = cls.file_words.get(key)
        numbers = all(x in (words or ()) or is_number(x, MAX_CHANNELS) for x in flat)
        numbers = numbers or words == () or key == 'name'  # the space itself checks these
        need(len(flat) <= MAX_LAYERS and numbers, f'space.{shorten(key)}', value)
    name = entries.get('name', '')
    need(isinstance(name, str) and len(name) <= MAX_NAME, 'space.name', name)
    return cls


def is_number(value: Any, high: float) -> bool:
    """Whether it is a number from ``-high`` to ``high``."""
    return isinstance(value, Real) and -high <= value <= high


def need(ok: bool, key: str, value: Any) -> None:
    """Refuse an entry.

    Raises:
        ValueError: If it is not ``ok``; with its key and what it is.
    """
    if not ok:
        raise ValueError(f'"{key}" is {shorten(str(value))}')
