"""Any folder of images, of which nobody knows what is on them."""

import os
from numbers import Real
from pathlib import Path
from typing import Any

from mmpretrain.datasets import CustomDataset

from ..registry import DATASETS
from ..structures.randomness import named_rng
from .folder_listing import find_images, list_unlabelled, num_of_all_held_out
from .image_folder import take_packed
from .packed_images import PackedImages, is_packed
from .pillow_image import readable_extensions
from .system_entries import is_system


@DATASETS.register_module()
class UnlabelledImages(CustomDataset):
    """All images below a folder, at any depth, with a held-out part and without labels.

    Folders of classes, if there are any, are folders like others; so are the image folders of a
    detection set, whose annotations are not read. What is hidden, a system's, or no image is passed
    over, and links are followed, as by :class:`ImageFolder`; a folder that
    ``tools/prepare_images.py`` has packed is read in place.

    Args:
        data_root (str): The folder.
        folder (str, optional): The part of it that is taken, '.' for all. Defaults to what
            :func:`find_images` says: ``train`` or ``train2017`` of a set that is split, else all.
        part (str): 'all', or one side of a split: 'train' or 'holdout'. Defaults to 'all'.
        holdout (float | int | str): Share of the images that is held out, at least one of them, or
            their number. ``'auto'`` (default): :func:`holdout_share` of all of them.
        split_seed (int): Seed of that split. Defaults to 0.
        **kwargs: Further arguments of mmpretrain's ``CustomDataset``, ``pipeline`` above all; it
            gets ``img_path`` and no ``gt_label``.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If it holds no image, or too few for the held-out part; or an argument is none
            of these.
    """

    def __init__(
        self,
        data_root: str,
        *,
        folder: str | None = None,
        part: str = 'all',
        holdout: float | str = 'auto',
        split_seed: int = 0,
        **kwargs: Any,
    ):
        if part not in ('all', 'train', 'holdout'):
            raise ValueError(f"part is 'all', 'train' or 'holdout'; got {part!r}")
        is_number = isinstance(holdout, Real) and not isinstance(holdout, bool) and holdout > 0
        if holdout != 'auto' and not (is_number and (holdout < 1 or isinstance(holdout, int))):
            raise ValueError(
                "holdout is a share between 0 and 1, a whole number of images, or 'auto'; "
                f'got {holdout!r}'
            )
        self.part = part
        self.holdout = holdout
        self.split_seed = split_seed
        self.folder = find_images(data_root)[0] if folder is None else folder
        root = Path(data_root, self.folder)
        self.packed = PackedImages(root) if root.is_dir() and is_packed(root) else None
        if self.packed is not None:
            kwargs['pipeline'] = [take_packed(step) for step in kwargs.get('pipeline', ())]
        kwargs.setdefault('extensions', readable_extensions())
        super().__init__(data_root=str(root), with_label=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """``[{'img_path': ...}, ...]``, sorted."""
        names = list_unlabelled(self.data_root, self.extensions)
        rows = enumerate(names)
        if self.packed is None:
            data = [dict(img_path=os.path.join(self.data_root, name)) for name in names]
        else:
            data = [
                dict(img_path=os.path.join(self.data_root, name), row=row)
                for row, name in rows
                if not any(map(is_system, name.split(os.sep)))
            ]
        if self.part == 'all':
            return data
        count = num_of_all_held_out(len(data), self.holdout)
        order = named_rng('holdout', self.split_seed, 0).permutation(len(data))
        held = set(order[:count].tolist())
        return [info for i, info in enumerate(data) if (i in held) == (self.part == 'holdout')]

    def prepare_data(self, idx: int) -> Any:
        """The sample after the pipeline; a packed image goes into it as ``img``."""
        info = self.get_data_info(idx)
        if self.packed is not None:
            info['img'] = self.packed[info['row']]
        return self.pipeline(info)
