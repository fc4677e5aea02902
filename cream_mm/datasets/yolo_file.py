"""Sets of images with boxes in YOLO's form: one text file for each image.

The forms of Ultralytics, darknet, CVAT, Label Studio, Roboflow and labelImg, with a ``data.yaml``,
an ``obj.data`` or neither.
"""

import os
from collections import Counter
from collections.abc import Sequence

from ..files import some_of
from .box_classes import check_case
from .box_set import CANNOT_BE_READ, BoxImage, BoxNotes, BoxSet, first_lines, image_size
from .folder_listing import outer_files
from .pillow_image import readable_extensions
from .set_kind import is_yolo_yaml
from .yolo_images import common_root, find_pictures
from .yolo_labels import Labels, check_missing, names_in, text_of
from .yolo_names import read_names
from .yolo_rows import RowReader
from .yolo_yaml import YoloIndex, read_darknet, read_yolo_yaml

_DEPTH = 3  # folders in which a file that describes the set is looked for
_YAML = ('.yaml', '.yml')
_NAMES = ('classes.txt', 'labels.txt', 'names.txt', 'notes.json')
_NAMES_ENDS = ('.names', '_darknet.labels')


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
    files = []
    if path is None or not index.names:
        files = _files_near(root)
    if path is None:
        index = _find_index(root, files)
    notes, labels = BoxNotes(root), Labels(root)
    said = list(index.notes) if index else []
    classes = _classes(root, index, files, said)
    reader = RowReader(classes, notes, index.keypoints if index else None)
    pictures = find_pictures(root, index, labels, notes, said)
    top = common_root(root, [path for paths in pictures.values() for path in paths])
    splits, layout = {}, []
    for split, paths in pictures.items():
        found = [labels.find(path) for path in paths]
        if split == 'test' and not any(found):
            said.append(f'{root}: test has no label file: taken as a set without test')
            continue
        check_missing(root, split, paths, found, labels, notes)
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
    yamls = [p for p in files if p.lower().endswith(_YAML) and is_yolo_yaml(text_of(p))]
    datas = [p for p in files if p.lower().endswith('.data')]
    for paths, read in ((yamls, read_yolo_yaml), (datas, read_darknet)):
        usual = [p for p in paths if os.path.basename(p) in ('data.yaml', 'obj.data')]
        outer = [p for p in usual or paths if _depth(p) == _depth((usual or paths)[0])]
        if len(outer) > 1:
            raise ValueError(
                f'{root} holds several files that describe a set: {some_of(outer)}. Call '
                'the one that counts data.yaml, and remove others of that name'
            )
        if outer:
            return read(outer[0])
    return None


def _files_near(root: str) -> list[str]:
    """Files that are no images up to three folders deep, the outer ones first."""
    images = readable_extensions()
    found = [path for path in outer_files(root, _DEPTH) if not path.lower().endswith(images)]
    return [os.path.join(root, path) for path in found]


def _depth(path: str) -> int:
    return path.count(os.sep)


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
    paths = [os.path.join(above, name) for name in names_in(above) if name.endswith(_YAML)]
    found = [path for path in paths if is_yolo_yaml(text_of(path))]
    return f'. {found[0]} describes a set: give its folder as data_root' if found else ''


def _read_images(
    paths: Sequence[str],
    labels: Sequence[str | None],
    top: str,
    reader: RowReader,
    notes: BoxNotes,
) -> list[BoxImage]:
    found, problems = [], []
    for path, label in zip(paths, labels):
        name = os.path.relpath(path, top).replace(os.sep, '/')
        size = image_size(path)
        if size is None:
            notes.add(CANNOT_BE_READ, 'left out', name)
            continue
        try:
            boxes = None if label is None else reader.read(label, size)
        except ValueError as error:
            problems.append(str(error))
            continue
        if label is not None and boxes is None:
            notes.add('empty label files', 'taken as background', os.path.relpath(label, top))
        found.append(BoxImage(name, *size, boxes or []))
    if problems:  # all that is to be mended at once
        head = f'{len(problems)} label files cannot be read:\n' if len(problems) > 1 else ''
        raise ValueError(head + first_lines(problems))
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
    check_case(root, counts)
    unused = [name for name in box_set.classes if not counts[name]]
    if unused:
        said.append(f'{root}: classes without a box: {len(unused)} ({some_of(unused)})')
