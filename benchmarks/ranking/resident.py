"""Packed images that lie on the device of the training, as batches at once.

A step of a small network takes a few milliseconds, less than the images of its batch take one by
one through a pipeline and the collation of their samples. What a batch holds is the same: random
crop with padding, random flip, uint8, and :class:`ClsDataPreprocessor` does the rest. A batch's
labels are one `DataSample`, which heads read as they read one of each image.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from cream_mm.datasets import ImageFolder
from cream_mm.structures.randomness import named_rng


@DATASETS.register_module()
class ResidentImages(Dataset):
    """One side of a packed folder; an index is a step and the rows of its batch.

    Args:
        data_root, part, holdout: As those of :class:`ImageFolder`.
        device (str): Where the images lie.
        padding (int, optional): Zeros around an image, of which a crop of its size is taken, and
            it is flipped half of the time. None leaves images as they are.
        seed (int): Of crops and flips, with the step.

    Shapes:
        images: (N, 3, H, W) uint8, BGR. labels: (N,).
    """

    def __init__(
        self,
        data_root: str,
        part: str,
        holdout: float,
        device: str = 'cpu',
        padding: int | None = None,
        seed: int = 0,
    ):
        folder = ImageFolder(data_root, part=part, holdout=holdout, pipeline=[])
        if folder.packed is None:
            raise ValueError(f'{data_root} is not packed: tools/prepare_images.py --pack')
        infos = [folder.get_data_info(i) for i in range(len(folder))]
        pixels = np.stack([folder.packed[info['row']] for info in infos])
        self.images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
        self.labels = torch.tensor([info['gt_label'] for info in infos], device=device)
        self.metainfo, self.holdout = folder.metainfo, holdout
        self.padding, self.seed = padding, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: tuple[int, np.ndarray]) -> dict:
        step, rows = index
        rows = torch.from_numpy(rows).to(self.images.device)
        images = self.images[rows]
        if self.padding is not None:
            images = self._augment(images, named_rng('augment', self.seed, step))
        return dict(inputs=images, data_samples=[DataSample().set_gt_label(self.labels[rows])])

    def _augment(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        n, _, h, w = images.shape
        drawn = rng.integers(0, [2 * self.padding + 1, 2 * self.padding + 1, 2], (n, 3))
        top, left, flip = torch.from_numpy(drawn).to(images.device).unbind(1)
        y = top[:, None] + torch.arange(h, device=images.device)
        x = torch.arange(w, device=images.device).expand(n, w)
        x = left[:, None] + torch.where(flip[:, None] == 1, w - 1 - x, x)
        padded = F.pad(images, [self.padding] * 4)
        n = torch.arange(n, device=images.device)
        return padded[n[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


@DATA_SAMPLERS.register_module()
class BatchesOfRows(Sampler):
    """An epoch is ``num_batches`` batches, of which the next epoch takes the following ones.

    Each pass over the images is another order, a function of (seed, pass); its last images that
    fill no batch are left out.
    """

    def __init__(self, dataset: Dataset, seed: int, batch_size: int, num_batches: int):
        self.num_rows, self.seed = len(dataset), seed
        self.batch_size, self.num_batches = batch_size, num_batches
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        length, order, which = self.num_rows // self.batch_size, None, None
        for step in range(self.epoch * self.num_batches, (self.epoch + 1) * self.num_batches):
            turn, place = divmod(step, length)
            if which != turn:
                which, order = turn, named_rng('order', self.seed, turn).permutation(self.num_rows)
            yield step, order[place * self.batch_size : (place + 1) * self.batch_size]


@FUNCTIONS.register_module()
def as_it_is(batch: dict) -> dict:
    """The collation of batches that are ones already."""
    return batch


class ResidentBatches:
    """Batches of an :class:`ArchEvaluator`, their images stacked on a device once for all paths."""

    def __init__(self, batches, device: str):
        self.num_images = batches.num_images
        self.batches = []
        for batch in batches:
            labels = torch.cat([sample.gt_label for sample in batch['data_samples']]).to(device)
            images = torch.stack(list(batch['inputs'])).to(device)
            self.batches.append(
                dict(inputs=images, data_samples=[DataSample().set_gt_label(labels)])
            )

    def __iter__(self) -> Iterator[dict]:
        return iter(self.batches)
