"""Which kind of data set a folder holds, by names and by the beginnings of a few files.

Looks three folders deep and at some thousand entries, so that a folder of a million images is as
fast as a small one.
"""

import functools
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..files import some_of
from ..files.regular import open_regular
from .coco_file import MAX_COCO_BYTES
from .coco_layout import is_of_run
from .folder_listing import TRAIN_NAMES, VAL_NAMES, may_be_class
from .label_columns import plain
from .label_files import find_tables
from .packed_images import NAMES, PIXELS
from .pillow_image import readable_extensions
from .system_entries import is_system

# Of a folder that holds several, the first is the one that it is read as.
KINDS = (
    'coco', 'voc', 'yolo', 'box_csv', 'packed', 'label_table', 'class_folders', 'images',
)  # fmt: skip
_CALLED = dict(
    coco='COCO', voc='PASCAL VOC', yolo='YOLO', box_csv='a CSV of boxes', packed='packed images',
    label_table='a table of labels', class_folders='folders of classes', images='images',
)  # fmt: skip
MAX_DEPTH = 3  # folders below the root
MAX_ENTRIES = 20_000  # in all, below the root
MAX_IN_FOLDER = 1_000  # of each folder, below the root
MAX_IN_ROOT = 100_000
MAX_HEADS = 40  # files of a kind whose beginning is read
HEAD_BYTES = 2**16
# Looked for by name also where a folder is too large to be listed.
_TELLING = (
    '_annotations.coco.json', '_annotations.csv', '_classes.csv', 'annotations.csv', 'labels.csv',
    'train.csv', 'data.yaml', 'dataset.yaml', 'obj.data', 'classes.txt', 'labels',
)  # fmt: skip
_NUMBER = r'[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?'
LABEL_ROW = re.compile(rf'{_NUMBER}(?:[\s,;]+{_NUMBER}){{4,}}[\s,;]*', re.I)
_NAMES_KEY = re.compile(r"""^["']?names["']?\s*:""", re.M)
_PLACE_KEY = re.compile(r"""^["']?(?:train|val|path|nc)["']?\s*:""", re.M)


class SetKind(NamedTuple):
    """What a folder holds."""

    name: str  # one of KINDS
    evidence: str  # a line for the user: what it is known by
    also: tuple[str, ...] = ()  # other kinds that it could be read as


def find_kind(root: str | os.PathLike) -> SetKind | None:
    """The kind of data set in a folder.

    Args:
        root (str): The folder. It may hold the set in one or two folders of its own.

    Returns:
        SetKind: The first of :data:`KINDS` that is there; the others are in ``also``. None if there
        is no such folder, or nothing of any kind in it.
    """
    root = os.fspath(root)
    if not os.path.isdir(root):
        return None
    look = _Look(root)
    found = {name: signs for name in KINDS if (signs := _SIGNS[name](look))}
    if not found:
        return None
    name, *others = found
    if name != 'images':
        others = [other for other in others if other != 'images']  # every set has some
    return SetKind(name, f'{_CALLED[name]}: {some_of(found[name], 3)}', tuple(others))


class _Look:
    """What a look at a folder has seen.

    Attributes:
        files (dict[str, list[str]]): Names of files by their folder below the root, '' for itself,
            the outer ones first.
    """

    def __init__(self, root: str):
        self.root = root
        self.files: dict[str, list[str]] = {}
        self.folders: dict[str, list[str]] = {}
        left, level = MAX_ENTRIES, ['']
        for _ in range(MAX_DEPTH + 1):
            below = []
            for place in level:
                limit = MAX_IN_FOLDER if place else MAX_IN_ROOT
                files, folders, is_whole = _list(os.path.join(root, place), limit)
                if not is_whole:
                    path = os.path.join(root, place)
                    known = {*files, *folders}
                    more = [n for n in _TELLING if n not in known and _exists(path, n)]
                    files += [n for n in more if n != 'labels']
                    folders += [n for n in more if n == 'labels']
                self.files[place], self.folders[place] = sorted(files), sorted(folders)
                below += [f'{place}/{name}' if place else name for name in sorted(folders)]
                left -= len(files) + len(folders) if place else 0
                if left <= 0:
                    return
            level = below

    def ending(self, *extensions: str) -> Iterator[str]:
        """Paths below the root of files with one of these extensions."""
        for place, names in self.files.items():
            for name in names:
                if name.lower().endswith(extensions):
                    yield f'{place}/{name}' if place else name

    def some(self, *extensions: str) -> list[str]:
        """A few of :meth:`ending`: those of each folder in turn, so that all are asked."""
        by_folder: dict[str, list[str]] = {}
        for path in self.ending(*extensions):
            by_folder.setdefault(os.path.dirname(path), []).append(path)
        rows = list(by_folder.values())
        deepest = max(map(len, rows), default=0)
        turns = (row[i] for i in range(min(deepest, MAX_HEADS)) for row in rows if i < len(row))
        return [path for path, _ in zip(turns, range(MAX_HEADS))]

    @functools.cached_property
    def image_folders(self) -> dict[str, list[str]]:
        """Folders that hold images, with the images' names."""
        extensions = readable_extensions()
        found = {
            place: [name for name in names if name.lower().endswith(extensions)]
            for place, names in self.files.items()
        }
        return {place: names for place, names in found.items() if names}

    @functools.cached_property
    def stems(self) -> frozenset[str]:
        """Names of all images that were seen, without extension."""
        images = self.image_folders.values()
        return frozenset(os.path.splitext(name)[0] for names in images for name in names)

    def head(self, path: str, tail: bool = False) -> str:
        """The beginning of a file, and its end where asked; '' if it cannot be read."""
        try:
            with open_regular(os.path.join(self.root, path), MAX_COCO_BYTES) as file:
                content = file.read(HEAD_BYTES)
                if tail and len(content) == HEAD_BYTES:
                    file.seek(-HEAD_BYTES, os.SEEK_END)
                    content += b'\n' + file.read(HEAD_BYTES)
        except (OSError, ValueError):
            return ''
        # Without zeros, names in UTF-16 are found as well.
        return content.replace(b'\0', b'').decode('utf-8', errors='replace').lstrip('\ufeff\ufffd')


def _list(path: str, limit: int) -> tuple[list[str], list[str], bool]:
    """Files and folders in a folder, as far as the limit, and whether that is all."""
    files, folders = [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if len(files) + len(folders) >= limit:
                    return files, folders, False
                if is_system(entry.name):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError:  # links in a circle
                    continue
                (folders if is_folder else files).append(entry.name)
    except OSError:
        pass
    return files, folders, True


def _exists(folder: str, name: str) -> bool:
    return os.path.exists(os.path.join(folder, name))


# ---- the signs of each kind: what it is known by, none where it is not -------------------------


def _coco_signs(look: _Look) -> list[str]:
    return [
        path for path in look.some('.json')
        if _is_coco(look.head(path, tail=True)) and not is_of_run(look.root, path)
    ]  # fmt: skip


def _is_coco(text: str) -> bool:
    """Whether text from a JSON file is of a COCO file, whichever key comes first."""
    if not text.lstrip().startswith('{'):
        return False
    keys = [f'"{key}"' in text for key in ('images', 'annotations', 'categories')]
    return sum(keys) >= 2 or keys[1] and '"image_id"' in text


def _voc_signs(look: _Look) -> list[str]:
    signs = [path for path in look.some('.xml') if '<annotation' in look.head(path)[:4096]]
    # All of the first ones may be damaged.
    named = [p for p in look.ending('.xml') if os.path.dirname(p).lower().endswith('annotations')]
    return _folders_of(signs or named[:1])


def _yolo_signs(look: _Look) -> list[str]:
    signs = [path for path in look.some('.yaml', '.yml') if is_yolo_yaml(look.head(path))]
    signs += [
        path for path in look.some('.data')
        if re.search(r'^\s*(?:names|train)\s*=', look.head(path), re.M)
    ]  # fmt: skip
    rows = []
    for path in look.some('.txt'):
        stem = os.path.splitext(os.path.basename(path))[0]
        above = os.path.dirname(path).lower().split('/')
        if stem in look.stems or 'labels' in above or above[-1].startswith('obj_'):
            first = look.head(path).lstrip().split('\n', 1)[0]
            if LABEL_ROW.fullmatch(first.strip()):
                rows.append(path)
    return signs + _folders_of(rows)


def is_yolo_yaml(text: str) -> bool:
    """Whether the text of a YAML file is that of a YOLO set: class names, and where images lie."""
    return bool(_NAMES_KEY.search(text) and _PLACE_KEY.search(text))


def _csv_signs(look: _Look) -> list[str]:
    return [path for path in look.some('.csv', '.tsv') if is_box_table(look.head(path))]


# Names of columns, without blanks, underscores and case.
_LEFT_COLUMNS = frozenset(('xmin', 'x1', 'left', 'x0', 'bboxx', 'x', 'xtl', 'xcenter'))
_TOP_COLUMNS = frozenset(('ymin', 'y1', 'top', 'y0', 'bboxy', 'y', 'ytl', 'ycenter'))


def is_box_table(text: str) -> bool:
    """Whether text is of a table with a box in each row: by its header, or by its first rows."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if not lines:
        return False
    columns = {plain(field) for field in re.split('[,;\t]', lines[0])}
    if columns & _LEFT_COLUMNS and columns & _TOP_COLUMNS or 'bbox' in columns:
        return True
    fields = [[f.strip(' "\'') for f in re.split('[,;\t]', line)] for line in lines]
    rows = [row for row in fields if len(row) == 6]
    boxes = [row for row in rows if all(re.fullmatch(_NUMBER, f, re.I) for f in row[1:5])]
    empty = [row for row in rows if not any(row[1:])]
    # The last line may be cut, and quoted names may hold a comma.
    return bool(boxes) and 2 * len(boxes + empty) > len(lines)


def _packed_signs(look: _Look) -> list[str]:
    places = ('', *look.folders[''])
    return [
        f'{place}/{PIXELS}' if place else PIXELS for place in places
        if {PIXELS, NAMES} <= set(look.files.get(place, ()))
    ]  # fmt: skip


def _table_signs(look: _Look) -> list[str]:
    if not look.some('.csv', '.tsv', '.txt'):
        return []
    try:
        tables, _ = find_tables(look.root)
    except ValueError:
        return ['several tables']
    except OSError:
        return []
    return [table.path.relative_to(look.root).as_posix() for table in tables]


def _class_signs(look: _Look) -> list[str]:
    splits = [name for name in look.folders[''] if name.lower() in (*TRAIN_NAMES, *VAL_NAMES)]
    places = sorted(splits, key=lambda name: name.lower() not in TRAIN_NAMES) or ['']
    found = {place: _classes_below(look, place) for place in places}
    if not splits and len(found['']) < 2:
        return []
    return [f'{place}/{name}'.lstrip('/') for place in places for name in found[place]]


def _classes_below(look: _Look, folder: str) -> list[str]:
    """Folders in a folder that hold images, at any depth, and are named as a class may be."""
    start = f'{folder}/' if folder else ''
    names = dict.fromkeys(
        place[len(start) :].split('/')[0] for place in look.image_folders
        if place.startswith(start) and place != folder
    )  # fmt: skip
    return [name for name in names if may_be_class(name)]


def _image_signs(look: _Look) -> list[str]:
    return [place or '.' for place in look.image_folders]


def _folders_of(paths: Iterable[str]) -> list[str]:
    """The folders of files, each once; the file's own name where that is the root."""
    return list({os.path.dirname(path): os.path.dirname(path) or path for path in paths}.values())


_SIGNS = dict(
    coco=_coco_signs, voc=_voc_signs, yolo=_yolo_signs, box_csv=_csv_signs, packed=_packed_signs,
    label_table=_table_signs, class_folders=_class_signs, images=_image_signs,
)  # fmt: skip
