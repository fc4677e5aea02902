"""Looks at the files of an image folder before a run: what cannot be read, what lies there twice.

Cheap: files that are whole by their first and last bytes are not decoded, and only files of equal
size are compared. Bounded in number and time all the same: a slow disk holds millions of files.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from ..files import check_regular, read_bytes
from .pillow_image import MAX_IMAGE_BYTES, UNREADABLE
from .transforms.load_image import decode_image

MAX_IMAGES, MAX_SECONDS = 20_000, 20.0
_TAIL = 4096  # bytes; the end of a photograph is its own, its beginning its camera's


class Picture(NamedTuple):
    """One file of a set."""

    path: Path
    split: str
    name: str  # of its class


class Findings(NamedTuple):
    """What was found among ``num_images`` pictures, of which ``num_seen`` were looked at."""

    num_images: int
    num_seen: int
    unreadable: list[tuple[Picture, str]]  # with the reason
    repeated: list[list[Picture]]  # pictures whose files are the same, byte by byte

    @property
    def in_two_classes(self) -> list[list[Picture]]:
        """Pictures whose labels contradict each other."""
        return [same for same in self.repeated if len({p.name for p in same}) > 1]

    @property
    def in_two_splits(self) -> list[list[Picture]]:
        """Pictures that are trained on and tested on."""
        return [same for same in self.repeated if len({p.split for p in same}) > 1]

    @property
    def in_one_class(self) -> list[list[Picture]]:
        """Pictures that lie twice in one class of one split, and are in neither list above."""
        return [same for same in self.repeated if len({p[1:] for p in same}) == 1]


def look_at(
    pictures: Sequence[Picture], *, max_images: int = MAX_IMAGES, max_seconds: float = MAX_SECONDS
) -> Findings:
    """Find files that cannot be read, and files that are the same.

    Args:
        pictures (Sequence[Picture]): All files.
        max_images (int): Of more than these, none is looked at. Defaults to 20,000.
        max_seconds (float): Stop after that time, with what was found. Defaults to 20.
    """
    if len(pictures) > max_images:
        return Findings(len(pictures), 0, [], [])
    end = perf_counter() + max_seconds
    unreadable, sizes, seen = [], defaultdict(list), 0
    for picture in pictures:
        if perf_counter() > end:
            break
        seen += 1
        if reason := why_unreadable(picture.path):
            unreadable.append((picture, reason))
        if size := _size(picture.path):
            sizes[size].append(picture)
    alike = [group for group in sizes.values() if len(group) > 1]
    repeated = []
    for group in alike:
        for same in _by_content(group, _tail):
            if perf_counter() > end:
                return Findings(len(pictures), min(seen, len(pictures) - 1), unreadable, repeated)
            repeated += _by_content(same, _whole)
    return Findings(len(pictures), seen, unreadable, repeated)


def why_unreadable(path: str | os.PathLike) -> str | None:
    """Why an image cannot be read whole; None where it can, as far as its ends tell."""
    try:
        size = check_regular(path).st_size
        with open(path, 'rb') as file:
            head = file.read(16)
            file.seek(max(0, size - 64))
            tail = file.read(64)
        if not _seems_whole(head, tail, size):
            decode_image(read_bytes(path, MAX_IMAGE_BYTES))
    except UNREADABLE as error:
        return getattr(error, 'strerror', None) or str(error)
    return None


def _seems_whole(head: bytes, tail: bytes, size: int) -> bool:
    if head[:3] == b'\xff\xd8\xff':
        return tail[-2:] == b'\xff\xd9'
    if head[:8] == b'\x89PNG\r\n\x1a\n':
        return tail[-8:-4] == b'IEND'
    if head[:4] == b'GIF8':
        return tail[-1:] == b';'
    if head[:2] == b'BM':
        return size == int.from_bytes(head[2:6], 'little')
    if head[:4] == b'RIFF' and head[8:12] == b'WEBP':
        return size == int.from_bytes(head[4:8], 'little') + 8
    return False


def _size(path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _by_content(pictures: Iterable[Picture], read) -> list[list[Picture]]:
    """Groups of two and more that read alike; what cannot be read is in none."""
    groups = defaultdict(list)
    for picture in pictures:
        try:
            groups[hashlib.sha1(read(picture.path)).digest()].append(picture)
        except UNREADABLE:
            continue
    return [group for group in groups.values() if len(group) > 1]


def _tail(path) -> bytes:
    with open(path, 'rb') as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read(_TAIL)


def _whole(path) -> bytes:
    return read_bytes(path, MAX_IMAGE_BYTES)
