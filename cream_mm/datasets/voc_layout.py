"""Where sets in the form of PASCAL VOC have their files: which image an XML file is of, and which
split it belongs to.
"""

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ..files.read import read_text
from .folder_listing import TEST_NAMES, TRAIN_NAMES, VAL_NAMES, list_images
from .pillow_image import readable_extensions

# Of pictures that were made of the annotations, and have the names of the photographs.
_DRAWN = re.compile('segmentation|visuali[sz]ation|mask', re.IGNORECASE)
SPLITS_BY_NAME = {
    **dict.fromkeys(VAL_NAMES, 'val'),
    **dict.fromkeys(TEST_NAMES, 'test'),
    **dict.fromkeys(TRAIN_NAMES, 'train'),
    'trainval': 'trainval',
}
_NO_SPLITS = ('files', 'image', 'images', 'list', 'set', 'voc')  # words beside it
# Where lists of images lie; PaddleDetection has them in the root.
_LIST_FOLDERS = ('ImageSets/Main', 'ImageSets', 'Main', 'splits', 'lists', '')
_CLASS_FILES = (
    'classes.txt', 'labels.txt', 'label_list.txt', 'labelmap.txt', 'class_names.txt',
    'predefined_classes.txt',
)  # fmt: skip


def find_pictures_of_voc(root: str) -> list[str]:
    """Paths of the photographs below a root, with '/'; without drawn masks."""
    paths = [path.replace(os.sep, '/') for path in list_images(root)]
    return [path for path in paths if not _DRAWN.search(os.path.dirname(path))]


# ---- which image an annotation file is of --------------------------------------------------------


def pair(
    named: Mapping[str, str | None], images: Sequence[str]
) -> tuple[dict[str, str], list[str], list[str]]:
    """Find the image of each annotation file.

    By the file's own stem, whatever extension and case the image has; else by the name that stands
    in the file. Of several the nearest counts: beside the file, then in a folder beside its own,
    of the same split.

    Args:
        named (Mapping[str, str | None]): By the path of the file, the name that it gives.
        images (Sequence[str]): Paths of images; all are below one root, with '/'.

    Returns:
        tuple[dict, list, list]: The image by the file; files without image; images without file.

    Raises:
        ValueError: If several images fit equally well, or several files have one image.
    """
    by_stem = defaultdict(list)
    for image in images:
        by_stem[_key(PurePosixPath(image).name)].append(image)
    found: dict[str, str] = {}
    by_image: dict[str, list[str]] = defaultdict(list)
    for file, name in named.items():
        if image := _image_of(file, name, by_stem):
            by_image[image].append(file)
    for image, files in by_image.items():
        files.sort(key=lambda file: _distance(file, image))
        if len(files) > 1 and _distance(files[0], image) == _distance(files[1], image):
            raise ValueError(
                f'{image} has several annotation files: {", ".join(files[:3])}. Remove all but one'
            )
        found[files[0]] = image
    lacking = [file for file in named if file not in found]
    return found, lacking, [image for image in images if image not in by_image]


def _image_of(file: str, name: str | None, by_stem: Mapping[str, list[str]]) -> str | None:
    stem = PurePosixPath(file).stem
    base = re.split(r'[/\\]', (name or '').strip())[-1]
    candidates = by_stem.get(_key(stem + '.xml')) or by_stem.get(_key(stem))  # a.jpg.xml
    candidates = candidates or (by_stem.get(_key(base)) or by_stem.get(_key(base + '.')))
    if not base and not candidates:
        return None

    def fit(image: str) -> tuple:
        path = PurePosixPath(image)
        return _distance(file, image), path.stem != stem, path.name != base

    ordered = sorted(candidates or (), key=fit)
    if len(ordered) > 1 and fit(ordered[0]) == fit(ordered[1]):
        raise ValueError(
            f'{file} may be of {" or ".join(ordered[:3])}: write the name into <filename>, or '
            'remove what is not meant'
        )
    return ordered[0] if ordered else None


def _key(name: str) -> str:
    """The stem of a file name, as tools and systems agree on it."""
    stem, extension = os.path.splitext(name)
    if extension.lower() not in (*readable_extensions(), '.xml', '.'):
        stem = name  # v1.2 of v1.2.jpg
    return unicodedata.normalize('NFC', stem).casefold().strip(' .')


def _distance(one: str, other: str) -> int:
    """Folders to leave and enter between two files; those of one name below others count none.

    >>> _distance('Annotations/a.xml', 'JPEGImages/a.jpg'), _distance('train/a.xml', 'train/a.jpg')
    (2, 0)
    >>> _distance('xml/train/a.xml', 'jpg/train/a.jpg'), _distance('xml/train/a.xml', 'jpg/val/a')
    (2, 4)
    """
    a, b = one.split('/')[:-1], other.split('/')[:-1]
    total = len(a) + len(b)
    while a and b and a[0] == b[0]:
        a, b, total = a[1:], b[1:], total - 2
    while a and b and a[-1] == b[-1]:
        a, b, total = a[:-1], b[:-1], total - 2
    return total


# ---- which split it belongs to -------------------------------------------------------------------


def split_named(name: str) -> str | None:
    """The split that a folder or a list is of: 'train', 'val', 'test' or 'trainval'.

    >>> [split_named(n) for n in ('Valid', 'train2012', 'cat_train', 'test_list', 'trains')]
    ['val', 'train', None, 'test', None]
    """
    words = [word for word in re.findall('[a-z]+', name.lower()) if word not in _NO_SPLITS]
    return SPLITS_BY_NAME.get(words[0]) if len(words) == 1 else None


class Lists:
    """Lists of images below a root, one for each split, of one or several years.

    Attributes:
        places (dict[str, dict[str, str]]): By the folder that the lists are of, the file of each
            split; paths below the root, with '/'.
    """

    def __init__(self, root: str):
        self.root = root
        self.places: dict[str, dict[str, str]] = {}
        for below in ('', *_years(root)):
            for folder in _LIST_FOLDERS:
                place = os.path.join(root, below, folder)
                if found := _lists_in(place):
                    self.places[below] = {
                        split: '/'.join(filter(None, (below, folder, name)))
                        for split, name in found.items()
                    }
                    break

    def take(self, images: Iterable[str]) -> tuple[dict[str, list[str]], list[str], list[str]]:
        """Divide images by the lists.

        Returns:
            tuple[dict, list, list]: Images of each split in the order of its list; names in lists
            without an image among these, as ``FILE, line 3: NAME``; images that no list names.

        Raises:
            OSError, ValueError: If a list cannot be read, or a name in it fits several images.
        """
        images = list(images)
        places = defaultdict(list)
        for image in images:
            below = [place for place in self.places if not place or image.startswith(place + '/')]
            places[max(below, key=len, default=None)].append(image)
        splits: dict[str, list[str]] = {}
        unknown: list[str] = []
        for place, lists in self.places.items():
            index = defaultdict(list)
            for image in places[place]:
                index[_key(PurePosixPath(image).name)].append(image)
            found = {split: self._read(file, index, unknown) for split, file in lists.items()}
            both = found.pop('trainval', [])
            named = {image for split in found.values() for image in split}
            if 'train' not in found:
                rest = both or [image for image in places[place] if image not in named]
                found['train'] = [image for image in rest if image not in named]
            for split in ('train', 'val', 'test'):
                if found.get(split):
                    splits.setdefault(split, []).extend(found[split])
        used = {image for split in splits.values() for image in split}
        return splits, unknown, [image for image in images if image not in used]

    def _read(self, file: str, index: Mapping[str, list[str]], unknown: list[str]) -> list[str]:
        path, found = os.path.join(self.root, file), {}
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not (line := line.strip().lstrip('\ufeff')):
                continue
            image = None
            # A name with blanks, one with a flag behind it, an image with its XML file behind it.
            for name in (line, re.sub(r'\s+-?\d+$', '', line), line.split()[0]):
                parts = [part for part in re.split(r'[/\\]', name) if part not in ('', '.')]
                fits = _nearest(index.get(_key(parts[-1]), []), parts) if parts else []
                if len(fits) > 1:
                    raise ValueError(
                        f'{path}, line {number}: {name} may be {" or ".join(fits[:3])}. Write the '
                        'path below the root'
                    )
                if fits:
                    image = fits[0]
                    break
            if image is None:
                unknown.append(f'{file}, line {number}: {line}')
            else:
                found[image] = None
        return list(found)


def _nearest(images: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Of images of one stem those whose folders agree best with the parts of a path."""

    def common(image: str) -> int:
        pairs = zip(reversed(image.split('/')[:-1]), reversed(parts[:-1]))
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

    best = max(map(common, images), default=0)
    return [image for image in images if common(image) == best]


def by_folders(images: Mapping[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    """Divide images by the names of the folders that they, or their annotation files, lie in.

    Args:
        images (Mapping[str, str]): The annotation file by the image.

    Returns:
        tuple[dict, list]: Images of each split, none if no folder is named so; those that are in
        no such folder beside others that are.
    """
    splits: dict[str | None, list[str]] = defaultdict(list)
    for image, file in images.items():
        names = [*image.split('/')[:-1], *file.split('/')[:-1]]
        found = filter(None, map(split_named, names))
        splits[next(found, None)].append(image)
    rest = splits.pop(None, [])
    if 'trainval' in splits:
        splits['train'] = splits.pop('trainval') + splits.get('train', [])
    if splits and 'train' not in splits and rest:
        splits['train'], rest = rest, []
    return dict(splits), rest


def _years(root: str) -> list[str]:
    """Folders below a root that have lists of their own, as those of VOCdevkit."""
    found = []
    for first in _folders(root):
        if os.path.isdir(os.path.join(root, first, 'ImageSets')):
            found.append(first)
        for second in _folders(os.path.join(root, first)) if first != 'ImageSets' else ():
            if os.path.isdir(os.path.join(root, first, second, 'ImageSets')):
                found.append(f'{first}/{second}')
    return found


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if not e.name.startswith('.') and e.is_dir())
    except OSError:
        return []


def _lists_in(folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    names = sorted(os.listdir(folder), key=len) if os.path.isdir(folder) else []
    for name in names:
        stem, extension = os.path.splitext(name)
        split = split_named(stem) if extension.lower() == '.txt' else None
        if split and os.path.isfile(os.path.join(folder, name)):
            found.setdefault(split, name)
    return found


# ---- classes -------------------------------------------------------------------------------------


def listed_classes(root: str, places: Iterable[str]) -> tuple[str, list[str]] | None:
    """A file of class names in the root, or beside the lists, and the names in it.

    Raises:
        OSError, ValueError: If it cannot be read; if a name stands twice.
    """
    for place in dict.fromkeys(('', *places)):
        for name in _CLASS_FILES:
            path = os.path.join(root, place, name)
            if not os.path.isfile(path):
                continue
            lines = [line.strip().lstrip('\ufeff') for line in read_text(path).splitlines()]
            if name == 'labelmap.txt':  # CVAT: label:color:parts:actions
                lines = [line.split(':')[0].strip() for line in lines if line[:1] != '#']
            names = [line for line in lines if line]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f'{path} has the class {twice[0]!r} twice')
            return path, names
    return None
