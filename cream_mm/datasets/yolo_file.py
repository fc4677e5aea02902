"""Sets of images with boxes in YOLO's form: one text file for each image.

The forms of Ultralytics, darknet, CVAT, Label Studio, Roboflow and labelImg, with a ``data.yaml``,
an ``obj.data`` or neither.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from ..files import read_text, some_of
from .box_set import BoxImage, BoxNotes, BoxSet, image_size
from .coco_pictures import Folder
from .folder_listing import list_images
from .pillow_image import readable_extensions
from .set_kind import LABEL_ROW, is_yolo_yaml
from .system_entries import is_system
from .yolo_rows import RowReader
from .yolo_yaml import (
    YoloIndex,
    find_place,
    read_darknet,
    read_names,
    read_yolo_yaml,
    split_called,
)

MAX_MISSING = 0.5  # share of a split's images that may have no label file
MAX_LIST_BYTES = 512 * 2**20
_DEPTH = 3  # folders in which a file that describes the set is looked for
_YAML = ('.yaml', '.yml')
_NAMES = ('classes.txt', 'labels.txt', 'names.txt', 'notes.json')
_NAMES_ENDS = ('.names', '_darknet.labels')
_PICTURES = ('images', 'jpegimages', 'obj_train_data')  # whose labels may lie in a "labels"


def read_yolo(root: str | os.PathLike) -> BoxSet:
    """Read a set of images with boxes in YOLO's form.

    Args:
        root (str): Its folder, or its ``data.yaml`` or ``obj.data``.

    Returns:
        BoxSet: Its root is the folder, or the one that holds all images, if some lie outside.

    Raises:
        FileNotFoundError: If a folder or list of images is not there; with every path tried.
        OSError: If something cannot be read.
        ValueError: If a file cannot be understood, classes are unknown, or most images have no
            label file; names file and line.
    """
    root, path = os.fspath(root), None
    if os.path.isfile(root):
        path, root = root, os.path.dirname(root) or '.'
        index = read_yolo_yaml(path) if path.lower().endswith(_YAML) else read_darknet(path)
    elif not os.path.isdir(root):
        raise FileNotFoundError(f'no folder or file {root}')
    files = _files_near(root)
    if path is None:
        index = _find_index(root, files)
    notes, labels = BoxNotes(root), _Labels(root)
    said = list(index.notes) if index else []
    classes = _classes(root, index, files, said)
    reader = RowReader(classes, notes, index.keypoints if index else None)
    pictures = _pictures(root, index, labels, notes, said)
    top = _top(root, [path for paths in pictures.values() for path in paths])
    splits, layout = {}, []
    for split, paths in pictures.items():
        found = [labels.find(path) for path in paths]
        if split == 'test' and not any(found):
            said.append(f'{root}: test has no label file: taken as a set without test')
            continue
        _check_missing(root, split, paths, found, labels, notes)
        splits[split] = _read_images(paths, found, top, reader, notes)
        layout.append(f'{split}: {_line(root, paths, found)}')
    reader.check_labels()
    labels.count_odd(root, notes)
    box_set = BoxSet(top, classes, splits)
    _check_classes(root, box_set, said)
    what = os.path.basename(index.path) if index else 'its folders'
    box_set.notes = [f'{root}: YOLO, by {what}: {"; ".join(layout)}', *said, *notes.lines()]
    return box_set


# ---- what describes the set ----------------------------------------------------------------------


def _find_index(root: str, files: Sequence[str]) -> YoloIndex | None:
    """The set's ``data.yaml``, else its ``obj.data``; None without.

    Raises:
        ValueError: If there are several.
    """
    yamls = [p for p in files if p.lower().endswith(_YAML) and is_yolo_yaml(_text(p))]
    datas = [p for p in files if p.lower().endswith('.data')]
    for paths, read in ((yamls, read_yolo_yaml), (datas, read_darknet)):
        usual = [p for p in paths if os.path.basename(p) in ('data.yaml', 'obj.data')]
        outer = [p for p in usual or paths if _depth(p) == _depth((usual or paths)[0])]
        if len(outer) > 1:
            raise ValueError(
                f'{root} holds several files that describe a set: {some_of(outer)}. Name one of '
                'them in place of the folder, or remove the others'
            )
        if outer:
            return read(outer[0])
    return None


def _files_near(root: str) -> list[str]:
    """Files that are no images up to three folders deep, the outer ones first."""
    found = []
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root)
        depth = 0 if below == '.' else below.count(os.sep) + 1
        folders[:] = sorted(f for f in folders if not is_system(f)) if depth < _DEPTH else []
        found += [os.path.join(folder, name) for name in files if not is_system(name)]
    images = readable_extensions()
    return sorted(
        (p for p in found if not p.lower().endswith(images)), key=lambda p: (_depth(p), p)
    )


def _depth(path: str) -> int:
    return path.count(os.sep)


def _text(path: str) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError):
        return ''


def _classes(
    root: str, index: YoloIndex | None, files: Sequence[str], said: list[str]
) -> list[str]:
    """Class names: of the file that describes the set, else of a file of names.

    Raises:
        ValueError: If there are none, or two files contradict each other.
    """
    found: dict[str, list[str]] = {}
    if index and index.names:
        found[index.path] = index.names
    for path in files:
        base = os.path.basename(path).lower()
        if base not in _NAMES and not base.endswith(_NAMES_ENDS):
            continue
        try:
            found.setdefault(path, read_names(path, None if found else said))
        except ValueError:
            if not found:
                raise
    if not found:
        raise ValueError(
            f'{root}: nothing says what the classes of its label files are called. Write '
            f'{os.path.join(root, "classes.txt")}: one name on a line, that of class 0 first'
            f'{_yaml_above(root)}'
        )
    (first, names), *others = found.items()
    for path, other in others:
        are_same = sorted(other) == sorted(names)
        if other != names and (are_same or not (index and index.names)):
            what = 'the same classes in another order' if are_same else 'other classes'
            raise ValueError(
                f'{path} lists {what} than {first}: {some_of(other)}; {some_of(names)}. The labels '
                'can go by one of them: remove the other'
            )
        if other != names:
            said.append(
                f'{path} lists other classes than {os.path.basename(first)}, which counts: '
                f'{some_of(other)}'
            )
    return names


def _yaml_above(root: str) -> str:
    above = os.path.dirname(os.path.abspath(root))
    paths = [os.path.join(above, name) for name in _names_in(above) if name.endswith(_YAML)]
    found = [path for path in paths if is_yolo_yaml(_text(path))]
    return f'. {found[0]} describes a set: give its folder as data_root' if found else ''


# ---- images --------------------------------------------------------------------------------------


def _pictures(
    root: str, index: YoloIndex | None, labels: '_Labels', notes: BoxNotes, said: list[str]
) -> dict[str, list[str]]:
    """Paths of the images of each split; of 'all', if there are no splits."""
    if index is not None and index.places:
        found = _of_places(root, index, notes, said)
    else:
        found = _of_lists(root, notes) or _of_folders(root, labels, said)
    for split in [name for name, paths in found.items() if not paths]:
        if split == 'train':
            break
        said.append(f'{root}: {split} has no image: taken as a set without {split}')
        del found[split]
    if not all(found.values()) or not found:
        raise ValueError(
            f'{root}: no image to train on, of a kind that is read here '
            f'({" ".join(readable_extensions())})'
        )
    train, val = (set(map(os.path.realpath, found.get(n, ()))) for n in ('train', 'val'))
    if train and train == val:
        said.append(f'{root}: train and val are the same images: taken as a set without a split')
        rest = {'test': found['test']} if 'test' in found else {}
        found = {'all': found['train'], **rest}
    return found


def _of_places(
    root: str, index: YoloIndex, notes: BoxNotes, said: list[str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for split, values in index.places.items():
        paths: list[str] = []
        for value in values:
            if '*' in os.path.basename(value):
                value = os.path.dirname(value)
            try:
                place, is_named = find_place(value, index, root)
            except FileNotFoundError:
                if split != 'test':
                    raise
                said.append(f'{index.path}: there is no {value}: taken as a set without {split}')
                continue
            if not is_named:
                said.append(f'{index.path}: {split}: {value} is {place}')
            if os.path.isdir(place):
                paths += [os.path.join(place, name) for name in list_images(place)]
            else:
                paths += _listed(place, (os.path.dirname(place), root), notes)
        found[split] = list(dict.fromkeys(paths))
    return found


def _of_lists(root: str, notes: BoxNotes) -> dict[str, list[str]]:
    """Images by ``train.txt`` and others in the root."""
    found = {}
    for name in _names_in(root):
        stem, extension = os.path.splitext(name)
        path = os.path.join(root, name)
        split = split_called(stem) if extension.lower() == '.txt' else None
        if split and split not in found and not LABEL_ROW.fullmatch(_first_line(path)):
            found[split] = _listed(path, (root,), notes)
    return found if 'train' in found else {}


def _first_line(path: str) -> str:
    return _text(path).lstrip().split('\n', 1)[0].strip()


def _listed(path: str, folders: Sequence[str], notes: BoxNotes) -> list[str]:
    """Images that a list names, one on a line.

    Raises:
        ValueError: If some are not there, or may be several.
    """
    lines = [line.strip() for line in read_text(path, MAX_LIST_BYTES).splitlines()]
    lines = [line for line in lines if line]
    places = [Folder(folder) for folder in dict.fromkeys(folders)]
    found: dict[str, None] = {}
    missing = []
    for line in lines:
        name = line.replace('\\', '/')
        plain = os.path.normpath(name)
        direct = next((p for p in places if not os.path.isabs(plain) and p.has(plain)), None)
        if direct is not None:
            image = os.path.join(direct.path, plain)
        elif os.path.isabs(plain) and os.path.isfile(plain):
            image = plain
        else:
            try:
                end = places[-1].find(name)
            except ValueError as error:
                raise ValueError(f'{path}: {line} may be {error}. Write the whole path') from None
            if end is None:
                missing.append(line)
                continue
            image = os.path.join(places[-1].path, end)
            notes.add(
                'listed images elsewhere', 'found by the end of their path', f'{line} is {end}'
            )
        if image in found:
            notes.add('images that a list names twice', 'taken once', line)
        found[image] = None
    if missing:
        raise ValueError(
            f'{path}: {len(missing)} of the {len(lines)} images that it lists are not below '
            f'{places[-1].path}: {some_of(missing, 3)}. Correct the list, or put them there'
        )
    return list(found)


def _of_folders(root: str, labels: '_Labels', said: list[str]) -> dict[str, list[str]]:
    """Images by the outermost folder that is named as a split.

    Where some lie in folders called ``images``, others count if they have a label file: they may
    be masks.
    """
    found: dict[str, list[str]] = {}
    beside = []
    names = list_images(root)
    parts = {name: name.split(os.sep)[:-1] for name in names}
    splits = {name: next(filter(None, map(split_called, parts[name])), 'all') for name in names}
    has_folders = any(set(map(str.lower, p)) & set(_PICTURES) for p in parts.values())
    has_splits = any(split != 'all' for split in splits.values())
    for name in names:
        path = os.path.join(root, name)
        is_named = not has_folders or set(map(str.lower, parts[name])) & set(_PICTURES)
        is_image = is_named or labels.path_of(path)
        if not is_image or has_splits and splits[name] == 'all':
            beside.append(name)
        else:
            found.setdefault(splits[name], []).append(path)
    if beside:
        said.append(
            f'{root}: {len(beside)} images lie beside the folders of the set: left out '
            f'({some_of(beside, 3)})'
        )
    if len(found) == 1 and 'train' not in found:  # a folder that is called test, and is all
        found = {'all': next(iter(found.values()))}
    return {split: found[split] for split in ('train', 'val', 'test', 'all') if split in found}


def _top(root: str, paths: Iterable[str]) -> str:
    """The root, or the folder that holds all images, if some lie outside."""
    folders = {os.path.abspath(os.path.dirname(path)) for path in paths}
    below = os.path.abspath(root)
    if os.path.commonpath([below, *folders]) == below:
        return root
    return os.path.commonpath(list(folders))


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


# ---- labels --------------------------------------------------------------------------------------


class _Labels:
    """Label files of a set: where that of an image lies, and which are of none."""

    def __init__(self, root: str):
        self.root = os.path.abspath(root)
        self._listed: dict[str, dict[str, str]] = {}  # by folder: name without extension -> path
        self._images: dict[str, str] = {}  # by label file
        self._shared: list[str] = []

    def path_of(self, image: str) -> str | None:
        """The label file of an image: in a folder ``labels`` for ``images``, or beside it."""
        folder, base = os.path.split(os.path.abspath(image))
        stem = os.path.splitext(base)[0]
        found = (self._list(place).get(stem) for place in self.places(folder))
        return next(filter(None, found), None)

    def find(self, image: str) -> str | None:
        """As :meth:`path_of`; from now on the file is taken."""
        path = self.path_of(image)
        if path is not None and self._images.setdefault(path, image) != image:
            self._shared.append(path)
        return path

    def places(self, folder: str) -> list[str]:
        """Folders where labels of a folder's images may lie, the likely one first."""
        parts = os.path.abspath(folder).split(os.sep)
        found = [folder]
        for i in range(len(parts) - 1, 0, -1):
            if parts[i].lower() in _PICTURES:  # the last one: the set may lie in another
                names = ('Labels', 'labels') if parts[i] == 'Images' else ('labels', 'Labels')
                found = [os.sep.join([*parts[:i], n, *parts[i + 1 :]]) for n in names] + found
                break
        below = os.path.relpath(folder, self.root)
        if not below.startswith(os.pardir):
            found.append(os.path.normpath(os.path.join(self.root, 'labels', below)))
        return list(dict.fromkeys(found))

    def elsewhere(self, image: str) -> str | None:
        """A folder below the root with a text file of an image's name, where none is looked for."""
        name = os.path.splitext(os.path.basename(image))[0]
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(f for f in folders if not is_system(f))
            if any(os.path.splitext(f) == (name, '.txt') for f in files):
                return folder
        return None

    def count_odd(self, root: str, notes: BoxNotes) -> None:
        """Note label files of several images, and of none."""
        for path in self._shared:
            notes.add('label files of two images', 'taken for both', os.path.relpath(path, root))
        for folder in sorted({os.path.dirname(path) for path in self._images}):
            for path in self._list(folder).values():
                if path not in self._images and LABEL_ROW.fullmatch(_first_line(path)):
                    example = os.path.relpath(path, root)
                    notes.add('label files without an image of the set', 'passed over', example)

    def _list(self, folder: str) -> dict[str, str]:
        if folder not in self._listed:
            self._listed[folder] = {
                stem: os.path.join(folder, name) for name in _names_in(folder)
                for stem, extension in [os.path.splitext(name)] if extension.lower() == '.txt'
            }  # fmt: skip
        return self._listed[folder]


def _check_missing(
    root: str,
    split: str,
    paths: Sequence[str],
    found: Sequence[str | None],
    labels: _Labels,
    notes: BoxNotes,
) -> None:
    """Images without a label file show no object, if they are few.

    Raises:
        ValueError: If they are many; with the folders that were looked in.
    """
    missing = [path for path, label in zip(paths, found) if label is None]
    if len(missing) > MAX_MISSING * len(paths):
        folders = {os.path.dirname(path) for path in missing}
        places = dict.fromkeys(
            place for folder in sorted(folders) for place in labels.places(folder)
        )
        there = labels.elsewhere(missing[0])
        raise ValueError(
            f'{root}: {len(missing)} of {len(paths)} images of {split} have no label file, among '
            f'them {missing[0]}. Looked in {some_of(list(places))}. '
            + (f'There is one of that name in {there}: move the folder. ' if there else '')
            + 'An image without objects has an empty file'
        )
    for path in missing:
        notes.add('images without a label file', 'taken as background', os.path.relpath(path, root))


def _read_images(
    paths: Sequence[str],
    labels: Sequence[str | None],
    top: str,
    reader: RowReader,
    notes: BoxNotes,
) -> list[BoxImage]:
    found = []
    for path, label in zip(paths, labels):
        name = os.path.relpath(path, top).replace(os.sep, '/')
        size = image_size(path)
        if size is None:
            notes.add('images that cannot be read', 'left out', name)
            continue
        boxes = None if label is None else reader.read(label, size)
        if label is not None and boxes is None:
            notes.add('empty label files', 'taken as background', os.path.relpath(label, top))
        found.append(BoxImage(name, *size, boxes or []))
    return found


def _line(root: str, paths: Sequence[str], labels: Sequence[str | None]) -> str:
    """Where the images and labels of a split lie."""
    images, texts = (
        list(dict.fromkeys(os.path.relpath(os.path.dirname(path), root) for path in some if path))
        for some in (paths, labels)
    )
    beside = 'beside them' if images == texts else f'in {some_of(texts, 3)}'
    return (
        f'{len(paths)} images in {some_of(images, 3)}, '
        f'{sum(map(bool, labels))} label files {beside}'
    )


def _check_classes(root: str, box_set: BoxSet, said: list[str]) -> None:
    """Something can be learned, and is told apart.

    Raises:
        ValueError: If no image to train on has a box, or classes with boxes differ in case alone.
    """
    counts = Counter()
    for split in box_set.splits:
        number = dict(zip(box_set.classes, box_set.counts(split)))
        counts.update(number)
        if any(number.values()):
            continue
        if split in ('train', 'all'):
            raise ValueError(
                f'{root}: no label file of {split} has a row. CVAT writes empty files of polygons '
                'and masks: export those as COCO, or as YOLO segmentation'
            )
        said.append(f'{root}: {split} has no box: nothing can be measured on it')
    alike: dict[str, list[str]] = {}
    for name in box_set.classes:
        if counts[name]:
            alike.setdefault(name.casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            shown = ', '.join(f'{name!r} ({counts[name]} boxes)' for name in names)
            raise ValueError(
                f'{root}: its classes {shown} differ in case alone. Give them one number, or names '
                'that are not alike'
            )
    unused = [name for name in box_set.classes if not counts[name]]
    if unused:
        said.append(f'{root}: classes without a box: {len(unused)} ({some_of(unused)})')
