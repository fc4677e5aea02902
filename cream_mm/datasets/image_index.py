"""Finds the images of a set by the names that a table has for them."""

import os
from collections import defaultdict
from collections.abc import Sequence

from .coco_pictures import ending, neutral, readings
from .folder_listing import list_images
from .pillow_image import readable_extensions


class ImageIndex:
    """The images below a folder, found by the end of their path, with or without extension.

    Args:
        root (str): The folder. It is listed once.
    """

    def __init__(self, root: str):
        self.root = root
        self.paths = [path.replace(os.sep, '/') for path in list_images(root)]
        self._known = set(self.paths)
        self._by_name: dict[str, list[tuple[str, ...]]] | None = None

    def find(self, name: str, near: Sequence[str] = ()) -> str | None:
        """Path below the root of the image that a table calls ``name``; None if there is none.

        Args:
            name (str): A path, of this machine or of another one; the extension may lack.
            near (Sequence[str]): Folders below the root that go before others: the table's own,
                and those of its split.

        Raises:
            ValueError: If several images fit equally well; the message lists them.
        """
        plain = name.strip().replace('\\', '/').removeprefix('./')
        for folder in (*near, ''):
            path = f'{folder}/{plain}' if folder else plain
            if path in self._known:
                return path
        # There may be millions: the one image of that name, whatever else it could mean.
        if '/' not in plain and len(self._candidates(plain)) == 1:
            return '/'.join(self._candidates(plain)[0])
        for parts in readings(plain):
            best, found = None, []
            # A set that was converted keeps its table: a.jpg may have become a.png.
            candidates = self._candidates(parts[-1])
            if not candidates and is_image_name(parts[-1]):
                parts = (*parts[:-1], _stem(parts[-1]))
                candidates = self._candidates(parts[-1])
            for candidate in candidates:
                stems = candidate[:-1] + (_stem(candidate[-1]),)
                score = max(
                    (ending(parts, form, neutral), ending(parts, form, str))
                    for form in (candidate, stems)
                )
                if best is None or score > best:
                    best, found = score, []
                if score == best:
                    found.append('/'.join(candidate))
            for folder in near if len(found) > 1 else ():
                found = [path for path in found if path.startswith(f'{folder}/')] or found
            if len(found) > 1:
                raise ValueError(', '.join(found[:3]))
            if found:
                return found[0]
        return None

    def _candidates(self, base: str) -> list[tuple[str, ...]]:
        """Images of that name, or whose name without extension it is."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in self.paths:
                parts = tuple(path.split('/'))
                for key in {neutral(parts[-1]), neutral(_stem(parts[-1]))}:
                    self._by_name[key].append(parts)
        return self._by_name.get(neutral(base), [])


def is_image_name(text: str) -> bool:
    """Whether a text ends as the name of an image does."""
    return text.strip().lower().endswith(readable_extensions())


def _stem(base: str) -> str:
    return os.path.splitext(base)[0]
