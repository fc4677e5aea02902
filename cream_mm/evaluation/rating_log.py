"""Ratings on the disk, so that no path is rated twice."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from torch import Tensor, uint8

from ..structures import Arch
from ..utils import append_lines, whole_lines


class RatingLog:
    """A file with one rating a line, each appended when it is made.

    Args:
        path (str | Path): The file; made with the first rating.
        key (str): What a rating depends on besides the path, see :func:`digest`. Ratings under
            another key stay in the file and are not used.
    """

    def __init__(self, path, key: str):
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
        self._known[str(arch.to_list())] = rating
        if is_main_process():
            record = dict(key=self.key, arch=arch.to_list(), **rating)
            append_lines(self.path, [json.dumps(record)])

    def _read(self) -> dict[str, dict]:
        known = {}
        for line in whole_lines(self.path):
            try:
                record = json.loads(line)
                if record.pop('key') == self.key:
                    known[str(record.pop('arch'))] = record
            except (AttributeError, KeyError, TypeError, ValueError):
                continue  # not a line of ours: that path is rated again
        return known


def digest(parts: Iterable) -> str:
    """SHA-256 of strings and tensors, in this order."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            sha.update(f'{tuple(part.shape)} {part.dtype} '.encode())
            part = part.detach().cpu().contiguous().flatten().view(uint8).numpy()
            sha.update(part)
        else:
            sha.update(f'{part}\n'.encode())
    return sha.hexdigest()
