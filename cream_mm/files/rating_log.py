"""Ratings on the disk, so that no path is rated twice."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from torch import Tensor, empty, uint8

from ..structures import Arch
from .lines import mend_lines
from .read import Dropped, read_json_lines, shorten
from .whole import append_lines

MAX_DRAWS = 100_000


class RatingLog:
    """A file with one rating a line, each appended when it is made.

    Lines that are damaged, or hold what no rating is, are left out with a warning: their paths
    are rated again.

    Args:
        path (str | Path): The file; made with the first rating.
        key (str): What a rating depends on besides the path, see :func:`digest`. Ratings under
            another key stay in the file and are not used.
    """

    def __init__(self, path: str | Path, key: str):
        self.path = Path(path)
        self.key = key
        known = [self._read() if is_main_process() else {}]
        broadcast_object_list(known)  # every rank rates the same paths
        self._known = known[0]

    def __len__(self) -> int:
        return len(self._known)

    def get(self, arch: Arch) -> dict | None:
        """What was recorded for a path."""
        return self._known.get(str(arch.to_list()))

    def add(self, arch: Arch, rating: dict) -> None:
        """Record numbers about a path; they are on the disk when this returns."""
        self.add_all([(arch, rating)])

    def add_all(self, ratings: Iterable[tuple[Arch, dict]]) -> None:
        """Record numbers about several paths, all at once."""
        ratings = list(ratings)
        self._known.update((str(arch.to_list()), rating) for arch, rating in ratings)
        if is_main_process() and ratings:
            records = [dict(key=self.key, arch=arch.to_list(), **r) for arch, r in ratings]
            append_lines(self.path, map(json.dumps, records))

    def _read(self) -> dict[str, dict]:
        known, dropped = {}, Dropped()
        if not os.path.lexists(self.path):
            return known
        mend_lines(self.path)
        for where, record in read_json_lines(self.path, dropped):
            if record.pop('key', None) == self.key:
                try:
                    arch = record.pop('arch', None)
                    check_rating(record)
                    known[str(arch)] = record
                except ValueError as error:
                    dropped.add(f'{where}: {error}')
        if dropped:
            print_log(f'{dropped}. These paths are rated again', 'current', level=30)
        return known


def check_rating(record: dict) -> None:
    """Check the numbers of a rating that was read from a file.

    Raises:
        ValueError: With the first that no rating can have.
    """
    of_a_metric = 'metric' in record
    expected = [('num_images', (int,), 1, 2**63)]
    if of_a_metric:
        expected.append(('value', (int, float), -1e9, 1e9))
    else:
        expected += [('top1_pct', (int, float), 0, 100), ('loss', (int, float), 0, 1e9)]
    for key, kinds, low, high in expected:
        value = record.get(key)
        if type(value) not in kinds or not low <= value <= high:
            raise ValueError(f'"{key}" is {shorten(repr(value))}')
    losses, draws = record.get('losses', []), record.get('draws', [])
    ok = isinstance(losses, list) and len(losses) in (0, record['num_images'])
    if not ok or not all(type(x) in (int, float) and 0 <= x <= 1e9 for x in losses):
        raise ValueError(f'"losses" is {shorten(repr(losses))}')
    ok = isinstance(draws, list) and len(draws) <= MAX_DRAWS
    if not ok or not all(type(x) in (int, float) and -1e9 <= x <= 1e9 for x in draws):
        raise ValueError(f'"draws" is {shorten(repr(draws))}')
    if of_a_metric and not (isinstance(record['metric'], str) and len(record['metric']) < 200):
        raise ValueError(f'"metric" is {shorten(repr(record["metric"]))}')


def digest(parts: Iterable) -> str:
    """SHA-256 of strings and tensors, in this order."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            sha.update(f'{tuple(part.shape)} {part.dtype} '.encode())
            # Copied: a tensor of one number may have any stride, and `contiguous` leaves it.
            flat = empty(part.numel(), dtype=part.dtype).copy_(part.detach().flatten())
            sha.update(flat.view(uint8).numpy())
        else:
            sha.update(f'{part}\n'.encode())
    return sha.hexdigest()
