"""Where annotation tools put the files of a set, when not where COCO has them."""

import json
import os
import re
from collections.abc import Iterable

from ..files.regular import open_regular
from .coco_file import MAX_COCO_BYTES
from .coco_pictures import folder_holding
from .folder_listing import TRAIN_NAMES, VAL_NAMES, outer_files
from .system_entries import is_system

_COCO_NAME = re.compile(r'(?:annotations/)?instances_(train|val)2017\.json')
_ALL = (*TRAIN_NAMES, *VAL_NAMES)
_DEPTH = 3  # folders of root / split / annotations
# What a run writes of a set into its folder, which may lie in the set's; see config/box_data.py.
RUN_MARK = 'written_for', 'a run of cream_mm'
# Of a file to validate on: of how many images those were held out, where the set has no split.
HELD_OUT_MARK = 'held_out_of'
_HELD_OUT = re.compile(rb'"%s": ?(\d+)' % HELD_OUT_MARK.encode())
_OF_RUN = re.compile(r'(?:^|/)annotations(?:_\d+)?/(?:train|val|test)\.json$')
_RUN, _HEAD_BYTES = json.dumps(RUN_MARK[1]).encode(), 1024


def split_of(ann_file: str) -> tuple[str, ...]:
    """What tools call the split whose annotation file has COCO's own name; () for another name.

    A file that somebody has named is the one that is meant; nothing is put in its place.

    >>> split_of('annotations/instances_train2017.json')
    ('train', 'training')
    """
    found = _COCO_NAME.fullmatch(ann_file)
    return () if found is None else TRAIN_NAMES if found[1] == 'train' else VAL_NAMES


def find_annotations(root: str, split: Iterable[str]) -> str | None:
    """The one annotation file of a split below ``root``, by what its path says.

    ``train/_annotations.coco.json``, ``annotations/instances_train.json``, ``train/labels.json`` or
    ``train.json`` are of ``train``. The file's own name counts before its folders' names.

    Args:
        root (str): Of the set.
        split (Iterable[str]): Names of the split; those of the first that is there are taken.

    Returns:
        str: The path below ``root``. None if there is none, or several.
    """
    by_split: dict[str, list[str]] = {}
    for path in json_files(root):
        for part in reversed(path.split('/')):
            named = [word for word in re.findall('[a-z]+', part.lower()) if word in _ALL]
            if named:
                if len(set(named)) == 1:
                    by_split.setdefault(named[0], []).append(path)
                break
    found = next((by_split[name] for name in split if name in by_split), [])
    if len(found) > 1:  # COCO has captions and key points beside them
        found = [path for path in found if os.path.basename(path).startswith('instances')]
    return found[0] if len(found) == 1 else None


def json_files(root: str) -> list[str]:
    """Sorted paths of JSON files up to two folders below ``root``, its own files first."""
    found = outer_files(root, _DEPTH - 1, ('.json',))
    paths = [path.replace(os.sep, '/') for path in found]
    return [path for path in paths if not is_of_run(root, path)]


def is_of_run(root: str, path: str) -> bool:
    """Whether a file below a set's root was written by a run, and is no file of the set."""
    return bool(_OF_RUN.search(path)) and _RUN in _head(os.path.join(root, path))


def held_out_of(path: str) -> int | None:
    """Of how many images a run held out those of a file that it wrote; None of any other file."""
    head = _head(path) if _OF_RUN.search(path) else b''
    found = _HELD_OUT.search(head) if _RUN in head else None
    return int(found[1]) if found else None


def _head(path: str) -> bytes:
    try:
        with open_regular(path, MAX_COCO_BYTES) as file:
            return file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return b''


def find_pictures(
    names: list[str], root: str, ann_file: str, split: Iterable[str], passed_over: Iterable[str]
) -> str | None:
    """The one folder that holds the pictures of an annotation file.

    Looked for beside the file, then in folders named as its split, then below ``root``: splits
    often number their pictures alike.

    Args:
        names (list[str]): File names, as the annotation file has them.
        root (str): Of the set.
        ann_file (str): The annotation file, below ``root``.
        split (Iterable[str]): Names of its split; () if it is not known.
        passed_over (Iterable[str]): Folders of other sets.
    """
    words = {name for name in split if name in re.findall('[a-z]+', ann_file.lower())}
    beside = os.path.dirname(os.path.join(root, ann_file))
    places = [] if os.path.realpath(beside) == os.path.realpath(root) else [beside]
    for folder, folders, _ in os.walk(root) if words else ():
        folders[:] = sorted(f for f in folders if not is_system(f))
        places += [
            os.path.join(folder, f) for f in folders
            if words & set(re.findall('[a-z]+', f.lower()))
        ]  # fmt: skip
        if os.path.relpath(folder, root).count(os.sep) >= _DEPTH - 2:
            folders[:] = []
    passed_over = list(passed_over)
    for place in dict.fromkeys((*places, root)):
        found = folder_holding(names, place, passed_over)
        if found is not None:
            return found
    return None
