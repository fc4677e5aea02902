"""Any ImageNet-style folder of images, with a held-out part of the training set."""

import os
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from mmpretrain.datasets import CustomDataset

from ..registry import DATASETS, type_name
from .folder_listing import (
    TRAIN_NAMES,
    check_classes,
    find_folder,
    list_classes,
    list_folder,
    no_image_in,
    num_held_out,
)
from .folds import check_fold, fold_name, in_fold, in_share
from .packed_images import PackedImages, is_packed
from .pillow_image import readable_extensions
from .system_entries import is_system


def take_packed(step: Any) -> Any:
    """A step of a pipeline; one that reads a file, which a packed set lacks, takes the image."""
    is_file = isinstance(step, dict) and type_name(step.get('type')) == 'LoadImageFromFile'
    return dict(type='cream_mm.LoadImageFromFile') if is_file else step


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """Images sorted into one folder per class: ``data_root/folder/<class>/*.jpg``.

    Class indices follow the sorted names below ``data_root/train``, for every folder, so that a
    validation set with fewer classes keeps its labels. A folder that ``tools/prepare_images.py``
    has packed is read in place: the pipeline then gets the image as ``img``, with its path.

    Hidden entries and those of a system (:func:`is_system`) are neither classes nor images.
    ``train`` may be called ``training`` and ``val`` ``validation``, among others:
    :func:`find_folder`. Class folders right in ``data_root`` are read as those of ``train``.

    Args:
        data_root (str): Where ``train`` and ``val`` lie.
        folder (str): Which of them. Defaults to 'train'.
        part (str): 'all', or one side of a split of the folder: 'train' or 'holdout'. A search
            rates paths on the held-out side, so that the validation set stays unseen.
        holdout (float | str): Share of each class that is held out, at least one image; a class
            with a single image is only trained on. ``'auto'``, what the shipped searches use:
            :func:`holdout_share` of the folder. Defaults to 0.02, as in version 0.1.
        split_seed (int): Seed of that split. Defaults to 0.
        folds, fold (int, optional): Hold out this one of so many folds of each class, 0 to
            ``folds - 1``, in place of ``holdout``. Defaults to None.
        **kwargs: Further arguments of mmpretrain's ``CustomDataset``, ``pipeline`` above all.
            ``metainfo=dict(classes=...)`` names the classes, in the order of the labels, in place
            of ``data_root/train``.

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
        folds: int | None = None,
        fold: int | None = None,
        **kwargs: Any,
    ):
        if part not in ('all', 'train', 'holdout'):
            raise ValueError(f"part is 'all', 'train' or 'holdout'; got {part!r}")
        if holdout != 'auto' and not (isinstance(holdout, Real) and 0 < holdout < 1):
            raise ValueError(f"holdout is a share between 0 and 1, or 'auto'; got {holdout!r}")
        check_fold(folds, fold)
        self.part = part
        self.holdout = holdout if folds is None else fold_name(folds, fold, split_seed)
        self.split_seed = split_seed
        self.folds, self.fold = folds, fold
        classes = self._open(data_root, folder, (kwargs.get('metainfo') or {}).get('classes'))
        if self.packed is not None:
            kwargs['pipeline'] = [take_packed(step) for step in kwargs.get('pipeline', ())]
        kwargs.setdefault('extensions', readable_extensions())
        kwargs['metainfo'] = {'classes': tuple(classes), **(kwargs.get('metainfo') or {})}
        super().__init__(data_root=data_root, data_prefix=self.folder, **kwargs)

    def _open(self, data_root: str, folder: str, named: Sequence[str] | None) -> list[str]:
        """Find the folder and the classes, which are ``named`` where that is given."""
        self.folder, train = (find_folder(data_root, name) for name in (folder, 'train'))
        self.is_train = self.folder == train or self.folder.lower() in TRAIN_NAMES
        classes = list_classes(data_root) if named is None else list(named)
        root = Path(data_root, self.folder)
        check_classes(classes, list_classes(data_root, self.folder), Path(data_root, train), root)
        self.packed = PackedImages(root) if is_packed(root) else None
        return classes

    def load_data_list(self) -> list[dict]:
        """``[{'img_path': ..., 'gt_label': ...}, ...]``, class by class, sorted."""
        by_class = self._list_classes()
        if self.part == 'all':
            held = [range(len(images)) for images in by_class]
        else:
            held = self._held_out([[info['img_path'] for info in images] for images in by_class])
        data = []
        for images, positions in zip(by_class, held):
            data += [
                im for i, im in enumerate(images) if (i in positions) == (self.part != 'train')
            ]
        if not data:
            raise ValueError(
                f'no image for part {self.part!r} {self._where()} '
                f'(accepted: {" ".join(readable_extensions())})'
                + (': no class has two images' if self.part == 'holdout' and any(by_class) else '')
            )
        return data

    def _where(self) -> str:
        return f'below {self.img_prefix}'

    def _list_classes(self) -> list[list[dict]]:
        """The images of each class, sorted, of all parts."""
        files = {}
        if self.packed is None:
            files = list_folder(self.data_root, self.folder, self.extensions)
        found = {name: self._list_class(name, files.get(name, [])) for name in self.CLASSES}
        empty = [Path(self.img_prefix, name) for name, images in found.items() if not images]
        if empty and self.is_train:
            raise ValueError(no_image_in(empty))
        return [
            [dict(info, gt_label=label) for info in images]
            for label, images in enumerate(found.values())
        ]

    def _list_class(self, name: str, files: list[str]) -> list[dict]:
        folder = Path(self.img_prefix, name)
        if self.packed is None:
            return [dict(img_path=os.path.join(folder, file)) for file in files]
        rows = enumerate(self.packed.files.get(name, []), self.packed.first_row(name))
        return [
            dict(img_path=str(folder / file), row=row)
            for row, file in rows
            if not any(map(is_system, file.split('/')))
        ]

    def prepare_data(self, idx: int) -> Any:
        """The sample after the pipeline; a packed image goes into it as ``img``."""
        info = self.get_data_info(idx)
        if self.packed is not None:
            info['img'] = self.packed[info['row']]
        return self.pipeline(info)

    def _held_out(self, paths: list[list[str]]) -> list[set[int]]:
        """Positions of the images that are held out of each class."""
        if self.folds is not None:
            return in_fold(paths, self.folds, self.fold, self.split_seed, spare_lone=True)
        counts = num_held_out(list(map(len, paths)), self.holdout)
        return [
            in_share(names, count, self.split_seed, label)
            for label, (names, count) in enumerate(zip(paths, counts))
        ]
