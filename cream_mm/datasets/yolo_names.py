"""Class names of a YOLO set, one on a line of a file."""

import os
from collections.abc import Sequence

from ..files import read_bytes, read_json, read_text, some_of
from ..files.read import shorten

# Of text that is not UTF-8, the encodings that are guessed at, the stricter first.
_ENCODINGS = (('gbk', 'GBK'), ('cp1252', 'Windows-1252'))


def read_names(path: str | os.PathLike, notes: list[str] | None = None) -> list[str]:
    """Class names from a file: one on a line, or the ``notes.json`` of Label Studio.

    Args:
        path (str): The file.
        notes (list[str], optional): Takes a line where names had blanks around them.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is in another encoding than it says, has none, or one twice.
    """
    path = os.fspath(path)
    if path.lower().endswith('.json'):
        categories = read_json(path)
        categories = categories.get('categories') if isinstance(categories, dict) else None
        if not isinstance(categories, list) or not all(
            isinstance(c, dict) and isinstance(c.get('name'), str) for c in categories
        ):
            raise ValueError(f'{path} has no "categories" with names')
        if [c.get('id') for c in categories] != list(range(len(categories))):
            raise ValueError(f'{path}: the ids of its categories are not 0, 1, 2, ... in order')
        names = [c['name'] for c in categories]
    else:
        names = read_names_text(path).splitlines()
        while names and not names[-1].strip():
            names.pop()
    return clean_names(names, path, notes)


def read_names_text(path: str) -> str:
    """The text of a file of names, which people write in their own encoding.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not what its mark says, else UTF-8; says what it may be.
    """
    try:
        return read_text(path)
    except ValueError as error:
        if 'text (' not in str(error):
            raise
        guess = _guess(read_bytes(path))
        raise ValueError(f'{error}{guess}') from None


def _guess(content: bytes) -> str:
    for encoding, name in _ENCODINGS:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        line = next(line for line in text.splitlines() if not line.isascii())
        return f'. It may be {name}, as which it reads {shorten(line.strip(), 40)!r}'
    return ''


def clean_names(
    names: Sequence[str], where: str, notes: list[str] | None = None, empty: str = 'name'
) -> list[str]:
    """Names without blanks around them.

    Raises:
        ValueError: If there are none, one is empty, or one stands twice.
    """
    stripped = [name.strip() for name in names]
    if not stripped:
        raise ValueError(f'{where} has no class name')
    odd = [name for name, plain in zip(names, stripped) if name != plain]
    if odd and notes is not None:
        notes.append(
            f'{where}: class names with blanks around them: {len(odd)}, taken without '
            f'({some_of([repr(name)[:40] for name in odd], 3)})'
        )
    for number, name in enumerate(stripped):
        if not name:
            raise ValueError(
                f'{where}: {empty} {number} (counted from 0) is empty, though others follow: the '
                'labels count it. Name the class, or remove the line'
            )
        if (first := stripped.index(name)) != number:
            raise ValueError(
                f'{where}: the class {name!r} stands twice, as {first} and {number} (counted '
                'from 0). Give each its own name'
            )
    return stripped
