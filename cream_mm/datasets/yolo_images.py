"""Which images a YOLO set has in each split: by its file, by lists, or by its folders."""

import os
from collections.abc import Iterable, Sequence

from ..files import read_text, some_of
from .box_set import BoxNotes
from .coco_pictures import Folder
from .folder_listing import list_images
from .pillow_image import readable_extensions
from .set_kind import LABEL_ROW
from .yolo_labels import PICTURES, Labels, first_line, names_in
from .yolo_places import find_place, split_called
from .yolo_yaml import YoloIndex

MAX_LIST_BYTES = 512 * 2**20


def find_pictures(
    root: str, index: YoloIndex | None, labels: Labels, notes: BoxNotes, said: list[str]
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
    if 'train' not in index.places:
        raise ValueError(f'{index.path} does not say where the images to train on are: train: ...')
    found: dict[str, list[str]] = {}
    for split, values in index.places.items():
        paths: list[str] = []
        is_told = False  # that it is not there
        for value in values:
            if '*' in os.path.basename(value):
                value = os.path.dirname(value)
            try:
                place, is_named = find_place(value, index.path, index.base, root)
            except FileNotFoundError as error:
                if split == 'val' and 'train' in index.places:
                    raise FileNotFoundError(
                        f'{error}. If there is none, remove the line: some of the images to train '
                        'on are held out then'
                    ) from None
                if split != 'test':
                    raise
                said.append(f'{index.path}: there is no {value}: taken as a set without {split}')
                is_told = True
                continue
            if not is_named:
                said.append(f'{index.path}: {split}: {value} is {place}')
            if os.path.isdir(place):
                paths += [os.path.join(place, name) for name in list_images(place)]
            else:
                paths += _listed(place, (os.path.dirname(place), root), notes)
        if paths or not is_told:
            found[split] = list(dict.fromkeys(paths))
    return found


def _of_lists(root: str, notes: BoxNotes) -> dict[str, list[str]]:
    """Images by ``train.txt`` and others in the root."""
    found = {}
    for name in names_in(root):
        stem, extension = os.path.splitext(name)
        path = os.path.join(root, name)
        split = split_called(stem) if extension.lower() == '.txt' else None
        if split and split not in found and not LABEL_ROW.fullmatch(first_line(path)):
            found[split] = _listed(path, (root,), notes)
    return found if 'train' in found else {}


def _listed(path: str, folders: Sequence[str], notes: BoxNotes) -> list[str]:
    """Images that a list names, one on a line.

    Raises:
        ValueError: If some are not there, or may be several.
    """
    lines = [line.strip() for line in read_text(path, MAX_LIST_BYTES).splitlines()]
    lines = [line for line in lines if line]
    below = Folder(folders[-1])
    found: dict[str, None] = {}
    missing = []
    for line in lines:
        name = line.replace('\\', '/')
        direct = (os.path.normpath(os.path.join(folder, name)) for folder in folders)
        image = next(filter(os.path.isfile, direct), None)
        if image is None:
            try:
                end = below.find(name)
            except ValueError as error:
                raise ValueError(f'{path}: {line} may be {error}. Write the whole path') from None
            if end is None:
                missing.append(line)
                continue
            image = os.path.join(below.path, end)
            example = f'{line} is {end}'
            notes.add('listed images elsewhere', 'found by the end of their path', example)
        if image in found:
            notes.add('images that a list names twice', 'taken once', line)
        found[image] = None
    if missing:
        raise ValueError(
            f'{path}: {len(missing)} of the {len(lines)} images that it lists are not below '
            f'{below.path}: {some_of(missing, 3)}. Correct the list, or put them there'
        )
    return list(found)


def _of_folders(root: str, labels: Labels, said: list[str]) -> dict[str, list[str]]:
    """Images by the outermost folder that is named as a split.

    Where some lie in folders called ``images``, others count if they have a label file: they may
    be masks.
    """
    found: dict[str, list[str]] = {}
    beside = []
    names = list_images(root)
    parts = {name: name.split(os.sep)[:-1] for name in names}
    splits = {name: next(filter(None, map(split_called, parts[name])), 'all') for name in names}
    has_folders = any(set(map(str.lower, p)) & set(PICTURES) for p in parts.values())
    has_splits = any(split != 'all' for split in splits.values())
    for name in names:
        path = os.path.join(root, name)
        is_named = not has_folders or set(map(str.lower, parts[name])) & set(PICTURES)
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


def common_root(root: str, paths: Iterable[str]) -> str:
    """The root, or the folder that holds all images, if some lie outside."""
    folders = {os.path.abspath(os.path.dirname(path)) for path in paths}
    below = os.path.abspath(root)
    if os.path.commonpath([below, *folders]) == below:
        return root
    return os.path.commonpath(list(folders))
