"""Any ImageNet-style folder of images, with a held-out part of the training set."""

import functools
import logging
import os
import stat
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset

from ..registry import DATASETS, type_name
from ..structures.randomness import named_rng
from .packed_images import PackedImages, is_packed

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')


def list_classes(data_root: str | Path, folder: str = 'train') -> list[str]:
    """Sorted names of the class folders below ``data_root/folder``, or of its packed classes.

    Raises:
        FileNotFoundError: If there are none; the message shows the expected layout.
    """
    root = Path(data_root, folder)
    if is_packed(root):
        return sorted(PackedImages(root).files)
    classes = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    if not classes:
        raise FileNotFoundError(
            f'expected one folder per class below {root}, found '
            f'{"none" if root.is_dir() else "no such folder"}. Lay the images out like this:\n'
            f'  {data_root}/train/<class>/*.jpg\n'
            f'  {data_root}/val/<class>/*.jpg\n'
            'and name another place with: --cfg-options data_root=FOLDER'
        )
    return classes


def list_images(folder: str | os.PathLike, extensions: tuple[str, ...] = EXTENSIONS) -> list[str]:
    """Names of the images below a folder, at any depth, sorted.

    Links to images and folders are followed. Each folder is listed once, by its own name rather
    than by a link to it, so that links in a circle end, and no image is both trained on and held
    out by another name. Such links, and pipes, devices and sockets that are named as images, are
    passed over with a line. Broken links stay: they are reported when they are read.

    Raises:
        OSError: If a folder cannot be read.
    """
    root = os.fspath(folder)
    if not os.path.isdir(root):
        return []
    # A link to a folder above leads to other classes.
    above = (*Path(root).absolute().parents, *Path(root).resolve().parents)
    listed = {_identity(path): path for path in (*above, root)}
    names, folders, links = [], [''], []
    while folders or links:
        below = folders.pop() if folders else links.pop()
        path = os.path.join(root, below)
        if below:
            first = listed.setdefault(_identity(path), path)
            if first != path:
                _report(
                    f'passed over {path}: it leads to {first}, which holds it or is listed already'
                )
                continue
        for entry in _entries(path):
            name = os.path.join(below, entry.name)
            if _is(entry.is_dir):
                (links if entry.is_symlink() else folders).append(name)
            elif entry.name.lower().endswith(extensions):
                if _is(entry.is_file) or not _is_special(entry.path):
                    names.append(name)
                else:
                    _report(f'passed over {entry.path}: it is not a regular file')
        links.sort(reverse=True)
    return sorted(names, key=lambda name: name.split(os.sep))


def _identity(path: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _entries(path: str) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise OSError(error.errno, f'cannot list {path}: {error.strerror}') from error


def _is(question) -> bool:
    try:
        return question()
    except OSError:  # links in a circle
        return False


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


@functools.cache  # once in a process
def _report(text: str) -> None:
    print_log(text, 'current', level=logging.WARNING)


def holdout_share(num_images: int) -> float:
    """Share of a training set to rate paths on: 10 % or 500 images, whichever is less, but 2 %.

    Ratings on fewer images than that do not tell paths apart; more would be missed in training.

    >>> [holdout_share(n) for n in (1000, 10_000, 1_281_167)]
    [0.1, 0.05, 0.02]
    """
    return max(0.02, min(0.1, 500 / max(num_images, 1)))


def _take_packed(step):
    """A step of a pipeline; one that reads a file, which a packed set lacks, takes the image."""
    is_file = isinstance(step, dict) and type_name(step.get('type')) == 'LoadImageFromFile'
    return dict(type='cream_mm.LoadImageFromFile') if is_file else step


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """Images sorted into one folder per class: ``data_root/folder/<class>/*.jpg``.

    Class indices follow the sorted names below ``data_root/train``, for every folder, so that a
    validation set with fewer classes keeps its labels. A folder that ``tools/prepare_images.py``
    has packed is read in place: the pipeline then gets the image as ``img``, with its path.

    Args:
        data_root (str): Where ``train`` and ``val`` lie.
        folder (str): Which of them. Defaults to 'train'.
        part (str): 'all', or one side of a split of the folder: 'train' or 'holdout'. A search
            rates paths on the held-out side, so that the validation set stays unseen.
        holdout (float | str): Share of each class that is held out, at least one image.
            ``'auto'``, what the shipped searches use: :func:`holdout_share` of the folder.
            Defaults to 0.02, as in version 0.1.
        split_seed (int): Seed of that split. Defaults to 0.
        **kwargs: Further arguments of mmpretrain's ``CustomDataset``, ``pipeline`` above all.

    Raises:
        FileNotFoundError: If the folder is missing or has no class folders.
        ValueError: If ``part`` is unknown, a folder has no image, or holds an unknown class.
    """

    def __init__(
        self,
        data_root: str,
        *,
        folder: str = 'train',
        part: str = 'all',
        holdout: float | str = 0.02,
        split_seed: int = 0,
        **kwargs: Any,
    ):
        if part not in ('all', 'train', 'holdout'):
            raise ValueError(f"part is 'all', 'train' or 'holdout'; got {part!r}")
        if holdout != 'auto' and not (isinstance(holdout, Real) and 0 < holdout < 1):
            raise ValueError(f"holdout is a share between 0 and 1, or 'auto'; got {holdout!r}")
        self.part = part
        self.holdout = holdout
        self.split_seed = split_seed
        classes = list_classes(data_root)
        unknown = sorted(set(list_classes(data_root, folder)) - set(classes))
        if unknown:
            raise ValueError(
                f'{Path(data_root, folder)} has classes that {Path(data_root, "train")} has not: '
                f'{", ".join(unknown[:5])}'
            )
        root = Path(data_root, folder)
        self.packed = PackedImages(root) if is_packed(root) else None
        if self.packed is not None:
            kwargs['pipeline'] = [_take_packed(step) for step in kwargs.get('pipeline', ())]
        kwargs.setdefault('extensions', EXTENSIONS)
        kwargs['metainfo'] = {'classes': tuple(classes), **(kwargs.get('metainfo') or {})}
        super().__init__(data_root=data_root, data_prefix=folder, **kwargs)

    def load_data_list(self) -> list[dict]:
        """``[{'img_path': ..., 'gt_label': ...}, ...]``, class by class, sorted."""
        by_class = [
            [dict(info, gt_label=label) for info in self._list_class(name)]
            for label, name in enumerate(self.CLASSES)
        ]
        share = self.holdout
        if share == 'auto':
            share = holdout_share(sum(map(len, by_class)))
        data = []
        for label, images in enumerate(by_class):
            data += self._take_part(images, label, share)
        empty = [name for name, images in zip(self.CLASSES, by_class) if not images]
        if empty and self.data_prefix.get('img_path', '').rstrip('/').endswith('train'):
            raise ValueError(
                f'no image in {", ".join(str(Path(self.img_prefix, n)) for n in empty[:5])}; '
                f'remove the folder or fill it (accepted: {" ".join(EXTENSIONS)})'
            )
        if not data:
            raise ValueError(
                f'no image for part {self.part!r} below {self.img_prefix} '
                f'(accepted: {" ".join(EXTENSIONS)})'
            )
        return data

    def _list_class(self, name: str) -> list[dict]:
        folder = Path(self.img_prefix, name)
        if self.packed is None:
            names = list_images(folder, self.extensions)
            return [dict(img_path=os.path.join(folder, file)) for file in names]
        rows = enumerate(self.packed.files.get(name, []), self.packed.first_row(name))
        return [dict(img_path=str(folder / file), row=row) for row, file in rows]

    def prepare_data(self, idx: int) -> Any:
        """The sample after the pipeline; a packed image goes into it as ``img``."""
        info = self.get_data_info(idx)
        if self.packed is not None:
            info['img'] = self.packed[info['row']]
        return self.pipeline(info)

    def _take_part(self, images: list[dict], label: int, share: float) -> list[dict]:
        if self.part == 'all' or len(images) < 2:  # a lone image can only be trained on
            return [] if self.part == 'holdout' else images
        count = min(max(1, round(len(images) * share)), len(images) - 1)
        order = named_rng('holdout', self.split_seed, label).permutation(len(images))
        held = set(order[:count].tolist())
        return [im for i, im in enumerate(images) if (i in held) == (self.part == 'holdout')]
