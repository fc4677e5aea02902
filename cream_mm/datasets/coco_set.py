"""A set in COCO's form whose files do not say which images are trained and validated on."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .box_set import Box, BoxImage, BoxSet
from .coco_file import CocoFile, read_coco
from .coco_layout import find_annotations, find_pictures, json_files
from .folder_listing import NAMES_OF_SPLITS


@dataclass
class CocoSet(BoxSet):
    """Images with boxes of COCO files, whose masks and other entries a part of them keeps."""

    files: list[tuple[CocoFile, str]] = field(default_factory=list)  # with the pictures' folder

    def content(self, images: Sequence[BoxImage]) -> dict:
        """The entries of some images of one split, as the file has them; paths below the root."""
        wanted = {image.path for image in images}
        for file, below in self.files:
            ids, kept = set(), []
            for image in file.content['images']:
                path = _path(below, image['file_name'])
                if path in wanted:
                    ids.add(image['id'])
                    kept.append({**image, 'file_name': path})
            if kept:
                annotations = [a for a in file.content['annotations'] if a['image_id'] in ids]
                return {**file.content, 'images': kept, 'annotations': annotations}
        return super().content(images)


def read_coco_set(
    root: str | os.PathLike, ann_file: str | None = None, prefix: str | None = None
) -> CocoSet:
    """Read the annotation files of a COCO-style set below a folder.

    Args:
        root (str): The folder.
        ann_file (str, optional): Of the images that are trained on, below ``root``. Found, where
            it is not given: one that is called so, else the only one.
        prefix (str, optional): Folder of its pictures below ``root``; found likewise.

    Returns:
        CocoSet: With 'train', 'val' and 'test' as far as there is a file that is called so; with
        'all', if there is one file only, of no such name.

    Raises:
        FileNotFoundError: If there is no such file, or its pictures are not below ``root``.
        ValueError: If several could be it, or one cannot be understood.
    """
    root = os.fspath(root)
    named = {split: find_annotations(root, names) for split, names in NAMES_OF_SPLITS.items()}
    if ann_file is not None:
        named['train'] = ann_file
    named = {split: path for split, path in named.items() if path is not None}
    if not named:
        named = {'all': _only_one(root)}
    found, files, notes = {}, [], []
    classes: list[str] = []
    for split, path in named.items():
        folder = os.path.join(root, prefix) if prefix is not None and path == ann_file else None
        file, below = _open(root, path, NAMES_OF_SPLITS.get(split, ()), folder)
        classes = classes or file.classes
        files.append((file, below))
        notes += file.notes
        found[split] = _images(file, below, classes)
    return CocoSet(root, classes, found, notes, files)


def _only_one(root: str) -> str:
    found, problems = [], []
    for path in json_files(root):
        try:
            read_coco(os.path.join(root, path))
        except ValueError as error:
            problems.append(str(error))
            continue
        found.append(path)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f'{root} has {len(found)} COCO files, and their names do not say which is of the '
            f'training: {", ".join(found[:5])}. Call one train.json, or name it'
        )
    raise FileNotFoundError(f'no COCO file below {root}' + ''.join(f'; {p}' for p in problems[:3]))


def _open(root: str, path: str, split: Iterable[str], folder: str | None) -> tuple[CocoFile, str]:
    """The file, and the folder of its pictures below the root."""
    full = os.path.join(root, path)
    if folder is None or not os.path.isdir(folder):
        names = [image['file_name'] for image in read_coco(full).content['images']]
        folder = find_pictures(names, root, path, split, ())
        if folder is None and all(os.path.isfile(os.path.join(root, name)) for name in names):
            folder = root
        if folder is None:
            raise FileNotFoundError(f'{full}: its pictures lie in no one folder below {root}')
    below = os.path.relpath(folder, root).replace(os.sep, '/')
    return read_coco(full, folder), '' if below == '.' else below


def _images(file: CocoFile, below: str, classes: Sequence[str]) -> list[BoxImage]:
    labels = {name: label for label, name in enumerate(classes)}
    by_id = {number: labels.get(name) for name, number in file.ids.items()}
    images = {
        image['id']: BoxImage(_path(below, image['file_name']), image['width'], image['height'])
        for image in file.content['images']
    }
    for a in file.content['annotations']:
        label = by_id[a['category_id']]
        if label is not None:
            images[a['image_id']].boxes.append(Box(label, *a['bbox'], bool(a['iscrowd'])))
    return list(images.values())


def _path(below: str, name: str) -> str:
    name = name.replace(os.sep, '/')
    return f'{below}/{name}' if below else name
