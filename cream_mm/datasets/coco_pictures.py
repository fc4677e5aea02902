"""The pictures of an annotation file: where they lie, how large they are, which are the same."""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

from ..files.regular import open_regular
from .folder_listing import list_images
from .pillow_image import MAX_IMAGE_BYTES, UNREADABLE, upright_size

MAX_COMPARED = 4000  # pictures read to tell whether they are in another set too


def picture_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """(width, height) of a picture, turned upright as EXIF says; None if it cannot be read.

    Reads no more than its header.
    """
    try:
        with open_regular(path, MAX_IMAGE_BYTES) as file, Image.open(file) as image:
            return upright_size(image)
    except UNREADABLE:
        return None
    except Exception:  # Pillow's plugins raise all sorts where a file is damaged
        return None


# ---- where they lie ------------------------------------------------------------------------------


class Folder:
    """The pictures below a folder, by the names that an annotation file has for them.

    Args:
        path (str): The folder that file names are relative to.
    """

    def __init__(self, path: str):
        self.path = path
        self._listed: dict[str, set[str]] = {}
        self._by_name: dict[str, list[tuple[str, ...]]] | None = None

    def has(self, name: str) -> bool:
        """Whether a file of that name is there, as it is written.

        There is none for a name that leads out of the folder: what it would open is not the set's.
        """
        below, base = os.path.split(name)
        if below not in self._listed:
            inside = self._is_inside(below)
            self._listed[below] = _names_in(os.path.join(self.path, below)) if inside else set()
        return base in self._listed[below]

    def _is_inside(self, below: str) -> bool:
        if '..' in below.split(os.sep):  # with links, it may be anywhere
            return False
        root = os.path.abspath(self.path)
        return os.path.commonpath([root, os.path.join(root, below)]) == root

    def find(self, name: str) -> str | None:
        """A file below the folder whose path ends as that name does; None if there is none.

        Names of other systems and of web addresses are read as such: backslashes, drives, queries,
        percent signs. Case counts where it has to decide.

        Raises:
            ValueError: If several fit equally well; the message lists them.
        """
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in _files_below(self.path):
                parts = tuple(path.split(os.sep))
                self._by_name[neutral(parts[-1])].append(parts)
        for parts in readings(name):
            candidates = self._by_name.get(neutral(parts[-1]), [])
            scores = [(ending(parts, c, neutral), ending(parts, c, str)) for c in candidates]
            best = max(scores, default=None)
            found = [os.path.join(*c) for c, score in zip(candidates, scores) if score == best]
            if len(found) > 1:
                raise ValueError(', '.join(sorted(found)[:3]))
            if found:
                return found[0]
        return None

    def some(self, number: int = 3) -> list[str]:
        """Names of a few pictures that are there."""
        return _files_below(self.path)[:number]


def folder_holding(names: Sequence[str], root: str, passed_over: Iterable[str] = ()) -> str | None:
    """The one folder below ``root`` that holds all of these files.

    Args:
        names (Sequence[str]): File names, as an annotation file has them.
        root (str): Of the set.
        passed_over (Iterable[str]): Folders of other sets, whose pictures may have the same names.

    Returns:
        str: The folder. None if there is none, or several.
    """
    if not names:
        return None
    others = [os.path.realpath(folder) for folder in passed_over if os.path.isdir(folder)]
    folders = dict.fromkeys(
        os.path.dirname(os.path.join(root, path))
        for path in _files_below(root)
        if neutral(os.path.basename(path)) == neutral(_parts(names[0])[-1])
    )
    held = []
    for path in folders:
        if os.path.realpath(path) in others:
            continue
        folder = Folder(path)
        bases = (name if folder.has(name) else _parts(name)[-1] for name in names)
        if all(map(folder.has, bases)):
            held.append(path)
    return held[0] if len(held) == 1 else None


def _files_below(folder: str) -> list[str]:
    return list_images(folder, ('',))


def _names_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder or '.') as found:
            return {entry.name for entry in found}
    except (OSError, ValueError):  # a name that no file can have
        return set()


def neutral(name: str) -> str:
    """Of names that differ in case, or in how an accent is written, the same."""
    return unicodedata.normalize('NFC', name).casefold()


def ending(a: Sequence[str], b: Sequence[str], form: Callable[[str], str]) -> int:
    """How many last parts of two paths agree."""
    count = 0
    for one, other in zip(reversed(a), reversed(b)):
        if form(one) != form(other):
            break
        count += 1
    return count


def readings(name: str) -> Iterable[tuple[str, ...]]:
    """The parts of a path, as each system might have meant it; the most literal first."""
    texts = [name]
    if '?' in name or '://' in name:
        address = urlsplit(name)
        texts = [*parse_qs(address.query).get('d', []), address.path, name]  # d: Label Studio
    found = dict.fromkeys(
        parts for text in [*texts, *map(unquote, texts)] if (parts := _parts(text))
    )
    yield from found
    for *above, base in found:  # Label Studio puts a number before the name that a file had
        if match := re.fullmatch(r'[0-9a-f]{8}-(.+)', base):
            yield (*above, match[1])


def _parts(path: str) -> tuple[str, ...]:
    parts = [part for part in re.split(r'[/\\]', path.strip()) if part not in ('', '.', '..')]
    return tuple(parts[1:] if parts and re.fullmatch(r'[A-Za-z]:', parts[0]) else parts)


def same_name(a: str, b: str) -> bool:
    """Whether two names are one, written in two ways.

    >>> same_name('a/1.jpg', './a\\\\1.jpg'), same_name('a/1.jpg', 'b/1.jpg')
    (True, False)
    """
    return [*map(neutral, _parts(a))] == [*map(neutral, _parts(b))]


# ---- which are the same --------------------------------------------------------------------------


def same_pictures(paths: Sequence[str], others: Sequence[str]) -> tuple[list[tuple[str, str]], int]:
    """Pictures that two sets have in common, by their bytes.

    Files of one size are compared by their last bytes, then by all of them. Of large sets an even
    sample is looked at.

    Returns:
        tuple[list[tuple[str, str]], int]: (path, that of the same picture in ``others``) of each,
        and how many of ``paths`` were looked at.
    """
    by_size = defaultdict(list)
    for path in others:
        if (size := file_size(path)) > 0:
            by_size[size].append(path)
    step = -(-len(paths) // MAX_COMPARED) or 1
    looked_at, reads, found = 0, 0, []
    known: dict[tuple, bytes] = {}

    def digest(path: str, whole: bool) -> bytes:
        nonlocal reads
        if (path, whole) not in known:
            reads += 1
            known[path, whole] = file_digest(path, whole)
        return known[path, whole]

    for path in paths[::step]:
        if reads > 4 * MAX_COMPARED:
            break
        looked_at += 1
        like = by_size.get(file_size(path), ())
        if path in like:
            found.append((path, path))
            continue
        like = [other for other in like if digest(other, False) == digest(path, False)]
        twin = next((other for other in like if digest(other, True) == digest(path, True)), None)
        if twin is not None:
            found.append((path, twin))
    return found, looked_at


def file_size(path: str) -> int:
    """Bytes of a file; -1 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def file_digest(path: str, whole: bool) -> bytes:
    """Of a picture's bytes or of its last ones; of what cannot be read, its path's."""
    try:
        with open_regular(path, MAX_IMAGE_BYTES) as file:
            if not whole:
                file.seek(max(os.fstat(file.fileno()).st_size - 4096, 0))
            return hashlib.sha1(file.read(), usedforsecurity=False).digest()
    except (OSError, ValueError):
        return str(path).encode(errors='replace')
