"""Which images an augmenting tool made of one picture, as their names say."""

import os
import re
from collections.abc import Sequence

# Roboflow names each copy that it augments NAME_jpg.rf.HASH.jpg.
_AUGMENTED = re.compile(r'(.+?)(?:_(?:jpe?g|png|bmp|webp|tiff?))?\.rf\.[0-9a-z]{8,}', re.I)


def augmented_stem(path: str) -> str | None:
    """The name of the picture that a file is an augmented copy of; None for any other file.

    >>> augmented_stem('train/cat_7_jpg.rf.0123456789abcdef0123456789abcdef.jpg')
    'cat_7'
    """
    if '.rf.' not in path:
        return None  # as nearly all: a million names are asked
    found = _AUGMENTED.match(os.path.basename(path))
    return found[1] if found else None


def same_pictures(paths: Sequence[str]) -> list[list[int]]:
    """Positions of the images of each picture, in the order of the first one of each.

    >>> same_pictures(['a_jpg.rf.01234567.jpg', 'b.jpg', 'a_jpg.rf.89abcdef.jpg'])
    [[0, 2], [1]]
    """
    found: dict[object, list[int]] = {}
    for i, path in enumerate(paths):
        found.setdefault(augmented_stem(path) or i, []).append(i)
    return list(found.values())
