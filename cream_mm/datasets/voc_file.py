"""Reads sets in the form of PASCAL VOC, one XML file for each image, as tools write them."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ..files.read import shorten, some_of
from .box_set import CANNOT_BE_READ, BoxImage, BoxNotes, BoxSet, first_lines, image_size, mend_box
from .coco_mend import MARGIN, NO_CLASSES
from .folder_listing import list_images, same_but_for_case
from .voc_layout import (
    SPLITS_BY_NAME,
    Lists,
    by_folders,
    find_pictures_of_voc,
    listed_classes,
    pair,
)
from .voc_xml import VocFile, read_voc_xml

RARE = 20  # a class has so many times fewer boxes than one of nearly its name: a slip?


def read_voc(root: str | os.PathLike) -> BoxSet:
    """Read all XML files below a folder, with the images that they are of.

    Coordinates count from 1, as PASCAL VOC's and as mmdet reads them, unless one of the set is 0.
    Boxes of difficult objects are crowds: not trained on, and not counted. Splits are those of
    ``ImageSets/Main`` or of other lists, else of folders named so, else there is 'all'. Classes
    are sorted, or in the order of a ``classes.txt`` or ``labels.txt`` in the root.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If one, or a folder, cannot be read.
        ValueError: If files cannot be understood, with the first of them and the objects in them;
            if names of classes differ in case alone, or are not among those listed.
    """
    root = os.fspath(root)
    files = read_files(root)
    notes = BoxNotes(root)
    images = find_pictures_of_voc(root)
    try:
        image_of, lacking, unpaired = pair({k: file.filename for k, file in files.items()}, images)
    except ValueError as error:
        raise ValueError(f'{root}: {error}') from None
    if not image_of:
        raise FileNotFoundError(
            f'{root}: no image has the name of any of its {len(files)} XML files (the first is '
            f'{lacking[0]}; {len(images)} images are below it)'
        )
    for file in lacking:
        notes.add('XML files without an image', 'left out', file)
    for image in unpaired:
        notes.add('images without an XML file', 'left out', image)
    files = {file: files[file] for file in image_of}
    _note_names(files, image_of, notes)
    lists = Lists(root)
    classes = _classes(root, files, lists, notes)
    found = _images(root, files, image_of, classes, notes)
    splits = _divide({i: file for file, i in image_of.items() if i in found}, lists, notes)
    return BoxSet(
        root, classes, {name: [found[i] for i in split] for name, split in splits.items()},
        [*_joined(root, files), *notes.lines()],
    )  # fmt: skip


def _joined(root: str, files: Iterable[str]) -> list[str]:
    """A line where a folder holds several sets that are neither of years nor splits."""
    parts = (file.split('/') for file in files)
    folders = (p[: p.index('Annotations')] for p in parts if 'Annotations' in p)
    sets = sorted({'/'.join(folder) or '.' for folder in folders})
    names = [PurePosixPath(one).name.lower() for one in sets]
    if len(sets) < 2 or all(re.search(r'\d{4}', name) or name in SPLITS_BY_NAME for name in names):
        return []
    return [
        f'{root}: {len(sets)} sets are taken as one: {some_of(sets)}. If they do not belong '
        'together, give the folder of one as data_root'
    ]


def read_files(root: str) -> dict[str, VocFile]:
    """All XML files below a folder, by their paths with '/'.

    Raises:
        As :func:`read_voc`.
    """
    paths = list_images(root, ('.xml',))
    if not paths:
        raise FileNotFoundError(f'{root}: no XML file, as PASCAL VOC has one for each image')
    files, problems = {}, []
    for path in paths:
        try:
            files[path.replace(os.sep, '/')] = read_voc_xml(os.path.join(root, path))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(
            f'{len(problems)} of {len(paths)} XML files below {root} cannot be read. Correct them, '
            f'or remove them with their images:\n{first_lines(problems)}'
        )
    return files


def _note_names(files: Mapping[str, VocFile], image_of: Mapping[str, str], notes: BoxNotes) -> None:
    for path, file in files.items():
        base = re.split(r'[/\\]', file.filename or '')[-1]
        image = PurePosixPath(image_of[path]).name
        if base and base != image:
            example = f'{path}: {shorten(base, 40)} is {image}'
            notes.add(
                '<filename> is another than the image has', 'images go by their stem', example
            )
        for item in file.objects:
            where = f'{path}, object {item.number}'
            if item.has_blanks:
                notes.add('names of classes with blanks around them', 'taken without', where)
            if item.shape != 'bndbox':
                notes.add(
                    f'objects with a <{item.shape}> and no <bndbox>', 'its box is taken', where
                )
            if item.is_difficult:
                notes.add('objects marked as difficult', 'neither trained on nor counted', where)


# ---- classes -------------------------------------------------------------------------------------


def _classes(root: str, files: Mapping[str, VocFile], lists: Lists, notes: BoxNotes) -> list[str]:
    counts = Counter(item.name for file in files.values() for item in file.objects)
    if not counts:
        raise ValueError(f'{root}: its {len(files)} XML files have no object')
    if listed := listed_classes(root, lists.places):
        path, names = listed
        if unknown := sorted(counts.keys() - set(names)):
            raise ValueError(
                f'{path} lists {some_of(names)}; XML files also have {_counted(unknown, counts)}'
                f'{_first_with(unknown[0], files)}. Correct the names, or the list, or remove it'
            )
        base = os.path.basename(path)
        unused = [name for name in names if name not in counts]
        if empty := [name for name in unused if name.lower() in NO_CLASSES]:
            notes.add(f'classes of {base} that are no object', 'left out', some_of(empty))
            names = [name for name in names if name not in empty]
        if unused := [name for name in unused if name not in empty]:
            notes.add(f'classes of {base} without a box', 'kept', some_of(unused))
        return names
    for names in same_but_for_case(sorted(counts), str.casefold):
        rare = min(names, key=counts.__getitem__)
        raise ValueError(
            f'{root}: class names differ in case alone: {_counted(names, counts)}'
            f'{_first_with(rare, files)}. Write them alike. All names: '
            f'{_counted(sorted(counts), counts)}'
        )
    for name, count in sorted(counts.items()):
        often = [other for other in counts if counts[other] >= RARE * count]
        if close := difflib.get_close_matches(name, often, 1, 0.65):
            example = f'{name!r}, {count} boxes{_first_with(name, files)}; {close[0]!r} is meant?'
            notes.add('classes that may be slips of the pen', 'kept', example)
    return sorted(counts)


def _counted(names: Sequence[str], counts: Counter) -> str:
    return some_of([f'{shorten(name, 40)!r} ({counts[name]})' for name in names], 30)


def _first_with(name: str, files: Mapping[str, VocFile]) -> str:
    return next(
        f'; {name!r} stands in {path}, object {item.number}'
        for path, file in files.items() for item in file.objects if item.name == name
    )  # fmt: skip


# ---- boxes ---------------------------------------------------------------------------------------


def _images(
    root: str,
    files: Mapping[str, VocFile],
    image_of: Mapping[str, str],
    classes: Sequence[str],
    notes: BoxNotes,
) -> dict[str, BoxImage]:
    """By their paths. What cannot be read and has no size is left out."""
    labels = {name: label for label, name in enumerate(classes)}
    first = _counts_from(files, notes)
    found, stated = {}, {}
    for path, file in files.items():
        image = image_of[path]
        size = image_size(os.path.join(root, image))
        if size is None and file.size is None:
            notes.add(f'{CANNOT_BE_READ}, and whose size is not known', 'left out', image)
            continue
        if file.size is None:
            notes.add('XML files without the size of the image', 'taken from the image', path)
        elif size is not None and size != file.size:
            (a, b), (c, d) = size, file.size
            example = f'{image} is {a} x {b}, not {c} x {d}'
            notes.add('XML files with another size than the image', 'taken from the image', example)
            stated[path] = size
        found[image] = BoxImage(image, *(size or file.size))
    _check_stated(files, stated)
    are_shares = _are_shares(files)
    for path, file in files.items():
        if (image := found.get(image_of[path])) is None:
            continue
        size = image.width, image.height
        for item in file.objects:
            where = f'{path}, object {item.number}'
            corners = [value - first for value in item.corners]
            if are_shares:
                corners = [value * side for value, side in zip(item.corners, size * 2)]
                notes.add('boxes in shares of the image', "multiplied by the image's size", where)
            box = mend_box(labels[item.name], corners, size, notes, where, item.is_difficult)
            if box is not None:
                image.boxes.append(box)
    return found


def _counts_from(files: Mapping[str, VocFile], notes: BoxNotes) -> int:
    """The number of the first pixel, 0 or 1."""
    zeros = [
        f'{path}, object {item.number}'
        for path, file in files.items() for item in file.objects
        if item.shape == 'bndbox' and (0 <= item.corners[0] < 1 or 0 <= item.corners[1] < 1)
    ]  # fmt: skip
    if zeros and not _are_shares(files):
        notes.add(
            'boxes that begin at 0', "all count from 0, not from VOC's 1", zeros[0], len(zeros)
        )
    return 0 if zeros else 1


def _are_shares(files: Mapping[str, VocFile]) -> bool:
    corners = [item.corners for file in files.values() for item in file.objects]
    inside = all(min(four) >= 0 and max(four) <= 1 for four in corners)
    return inside and any(0 < value < 1 for four in corners for value in four)


def _check_stated(files: Mapping[str, VocFile], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse boxes that were drawn on pictures of another size.

    Args:
        files (dict): By path.
        sizes (dict): Of the pictures that have another one than their file says.

    Raises:
        ValueError: If most boxes in such files reach outside the picture, and fit into the size
            that the file says.
    """
    total, beyond = 0, []
    for path, (width, height) in sizes.items():
        for item in files[path].objects:
            total += 1
            _, _, right, bottom = item.corners
            stated = files[path].size
            is_beyond = right > width + 1 + MARGIN or bottom > height + 1 + MARGIN
            if is_beyond and right <= stated[0] + 1 and bottom <= stated[1] + 1:
                beyond.append(path)
    if len(beyond) * 2 > total:
        path = beyond[0]
        (a, b), (c, d) = files[path].size, sizes[path]
        raise ValueError(
            f'{len(sizes)} XML files have another size than the image, and {len(beyond)} of their '
            f'{total} boxes fit into that size only ({path} says {a} x {b}, the image has {c} x '
            f'{d}). The images were resized, or turned by EXIF, after the boxes had been drawn: '
            'use those that were labelled, or label them again'
        )


# ---- splits --------------------------------------------------------------------------------------


def _divide(images: Mapping[str, str], lists: Lists, notes: BoxNotes) -> dict[str, list[str]]:
    """Images of each split; ``images`` has the XML file of each."""
    if lists.places:
        splits, unknown, rest = lists.take(images)
        for line in unknown:
            notes.add('names in lists without an image and its XML file', 'passed over', line)
        reason = 'images that no list names'
    else:
        splits, rest = by_folders(images)
        reason = 'images in no folder of a split'
    if not splits:
        return {'all': list(images)}
    for image in rest:
        notes.add(reason, 'left out', image)
    return splits
