"""Any ImageNet-style folder of images, with a held-out part of the training set."""

from pathlib import Path
from typing import Any

from mmpretrain.datasets import CustomDataset

from ..registry import DATASETS
from ..search.path_sampler import named_rng
from .packed_images import PackedImages, is_packed

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')


def list_classes(data_root, folder: str = 'train') -> list[str]:
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


def list_images(folder: Path, extensions: tuple[str, ...] = EXTENSIONS) -> list[Path]:
    """The images below a folder, at any depth, sorted."""
    return sorted(p for p in folder.rglob('*') if p.name.lower().endswith(extensions))


def _take_packed(step):
    """A step of a pipeline; one that reads a file, which a packed set lacks, takes the image."""
    is_file = isinstance(step, dict) and str(step.get('type')).endswith('LoadImageFromFile')
    return dict(type='cream_mm.LoadImage') if is_file else step


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
        holdout (float): Share of each class that is held out, at least one image. Defaults to
            0.02.
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
        holdout: float = 0.02,
        split_seed: int = 0,
        **kwargs,
    ):
        if part not in ('all', 'train', 'holdout'):
            raise ValueError(f"part is 'all', 'train' or 'holdout'; got {part!r}")
        if not 0 < holdout < 1:
            raise ValueError(f'holdout is a share between 0 and 1; got {holdout}')
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
        data, counts = [], {}
        for label, name in enumerate(self.CLASSES):
            images = [dict(info, gt_label=label) for info in self._list_class(name)]
            counts[name] = len(images)
            data += self._take_part(images, label)
        empty = [name for name, count in counts.items() if count == 0]
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
            return [dict(img_path=str(p)) for p in list_images(folder, self.extensions)]
        rows = enumerate(self.packed.files.get(name, []), self.packed.first_row(name))
        return [dict(img_path=str(folder / file), row=row) for row, file in rows]

    def prepare_data(self, idx: int) -> Any:
        """The sample after the pipeline; a packed image goes into it as ``img``."""
        info = self.get_data_info(idx)
        if self.packed is not None:
            info['img'] = self.packed[info['row']]
        return self.pipeline(info)

    def _take_part(self, images: list[dict], label: int) -> list[dict]:
        if self.part == 'all' or len(images) < 2:  # a lone image can only be trained on
            return [] if self.part == 'holdout' else images
        count = min(max(1, round(len(images) * self.holdout)), len(images) - 1)
        order = named_rng('holdout', self.split_seed, label).permutation(len(images))
        held = set(order[:count].tolist())
        return [im for i, im in enumerate(images) if (i in held) == (self.part == 'holdout')]
