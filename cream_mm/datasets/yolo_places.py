"""Where a path in a YOLO file leads, whatever machine or folder it was written in."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..files import some_of
from .folder_listing import TEST_NAMES, TRAIN_NAMES, VAL_NAMES

_SPLIT_NAME = re.compile(rf'(?:{"|".join((*TRAIN_NAMES, *VAL_NAMES))})[-_]?(?:\d{{4}})?', re.I)


def split_called(name: str) -> str | None:
    """'train', 'val' or 'test' for the name of a folder or list of that split, None for others.

    >>> split_called('train2017'), split_called('Valid'), split_called('trainer')
    ('train', 'val', None)
    """
    if not _SPLIT_NAME.fullmatch(name):
        return None
    word = re.sub(r'[-_\d]', '', name).lower()
    return 'train' if word in TRAIN_NAMES else 'test' if word in TEST_NAMES else 'val'


def find_place(value: str, path: str, base: str, root: str) -> tuple[str, bool]:
    """The folder or list that a path in a file means.

    It is the one that it names, relative to the base and to the file. If that is not there, the
    path may be from another machine, from another folder, or from Roboflow, which writes ``../``
    before the folders beside its file: then it is the one place below the set that it ends in.

    Args:
        value (str): The path, as it is written.
        path (str): The file that it stands in.
        base (str): What that says its paths are relative to, '' if nothing.
        root (str): Folder of the set.

    Returns:
        tuple[str, bool]: The place, and whether it is the one that the file names.

    Raises:
        FileNotFoundError: If there is none; with every path that was tried.
        ValueError: If there are several.
    """
    folder, base = os.path.dirname(path), os.path.expanduser(base)
    literal = os.path.normpath(os.path.join(folder, base, value))
    inner = []
    for top in dict.fromkeys((folder, root)):
        ends = [os.path.join(top, end) for end in _ends_of(f'{base}/{value}')]
        inner.append(next(filter(os.path.exists, ends), None))
    inner.append(os.path.join(os.path.dirname(os.path.abspath(folder)), base, value))
    outer = [os.path.join(base, value), value]
    inside, outside = _existing(inner), _existing(outer)
    if os.path.exists(literal):
        # Roboflow's ../train is in the set; beside it may lie the train of another one.
        is_ours = Path(os.path.abspath(literal)).is_relative_to(os.path.abspath(root))
        is_clear = is_ours or not value.startswith('..')
        found = [literal] if is_clear else _existing([literal, *inside])
    else:
        found = inside or outside
    if len(found) > 1:
        raise ValueError(f'{path}: {value} may be {" or ".join(found[:3])}. Write the whole path')
    if not found:
        ends = [os.path.join(folder, end) for end in _ends_of(f'{base}/{value}')]
        tried = dict.fromkeys(os.path.normpath(p) for p in (literal, *ends, *inner[2:], *outer))
        raise FileNotFoundError(
            f'{path}: there is no {value}. Tried: {some_of(list(tried), 12)}. Correct the '
            'path, which is relative to the folder of this file'
        )
    return found[0], found[0] == literal


def _ends_of(path: str) -> list[str]:
    """Ends of a path, the longest first; each names the split, if the path does."""
    parts = [part for part in path.split('/') if part not in ('', '.', '..')]
    if parts and re.fullmatch(r'[A-Za-z]:', parts[0]):
        parts = parts[1:]
    splits = [i for i, part in enumerate(parts) if split_called(os.path.splitext(part)[0])]
    last = splits[-1] if splits else len(parts) - 1
    return ['/'.join(parts[i:]) for i in range(last + 1)]


def _existing(paths: Iterable[str | None]) -> list[str]:
    """Those that are there, each place once."""
    there = [os.path.normpath(path) for path in paths if path and os.path.exists(path)]
    return list({os.path.realpath(path): path for path in reversed(there)}.values())[::-1]
