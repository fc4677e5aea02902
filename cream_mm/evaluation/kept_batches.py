"""A fixed random subset of a dataset as batches, read once as far as memory allows."""

from collections.abc import Iterator

import numpy as np
from mmengine.dataset import pseudo_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class KeptBatches:
    """Collated batches; the first ones are kept, those beyond ``max_bytes`` are read each time.

    Shuffled: batch norm must not see one class at a time.

    Args:
        dataset (Dataset): Samples of OpenMMLab, ``dict(inputs=Tensor, data_samples=...)``.
        num (int, optional): Take this many random ones. None takes all.
        rng (np.random.Generator): Draws them, and their order.
        batch_size (int): Samples per batch.
        num_workers (int): Processes that read them. Defaults to 0.
        spare_one (bool): Leave a last batch of a single image out. Defaults to False.
        join_one (bool): Put the image of such a batch into the one before. Defaults to False.
        max_bytes (float): Of images to keep, 8 bit as they are read. Defaults to no limit.

    Attributes:
        indices (list[int]): The samples of the dataset, in order.

    Raises:
        ValueError: If the dataset is empty.
    """

    def __init__(
        self,
        dataset: Dataset,
        num: int | None,
        rng: np.random.Generator,
        *,
        batch_size: int,
        num_workers: int = 0,
        max_bytes: float = np.inf,
        spare_one: bool = False,
        join_one: bool = False,
    ):
        if len(dataset) == 0:
            raise ValueError('there are no images to rate on')
        self.dataset = dataset
        self.num_workers = num_workers
        self.indices = rng.permutation(len(dataset))[:num].tolist()
        starts = range(0, len(self.indices), batch_size)
        self._batches = [self.indices[i : i + batch_size] for i in starts]
        if len(self._batches) > 1 and len(self._batches[-1]) == 1:
            if spare_one:
                self.indices = self.indices[:-1]
                del self._batches[-1]
            elif join_one:
                self._batches[-1:] = []
                self._batches[-1].append(self.indices[-1])
        self._kept: list[dict] = []
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def num_images(self) -> int:
        return len(self.indices)

    @property
    def bytes(self) -> int:
        """Of the images that were read so far, up to the first that memory does not keep."""
        return self._bytes

    def fit(self) -> bool:
        """Whether every batch fits into memory; reads them if they were not read before."""
        return all(self._bytes <= self._max_bytes for _ in self)

    def __iter__(self) -> Iterator[dict]:
        kept = list(self._kept)
        yield from kept
        rest = self._batches[len(kept) :]
        if not rest:
            return
        loader = DataLoader(
            self.dataset, batch_sampler=rest, num_workers=self.num_workers,
            collate_fn=pseudo_collate,
        )  # fmt: skip
        for batch in loader:
            self._keep(batch)
            yield batch

    def _keep(self, batch: dict) -> None:
        if self._bytes > self._max_bytes:
            return
        inputs = batch['inputs']
        images = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        self._bytes += sum(x.nbytes for x in images if isinstance(x, Tensor))
        if self._bytes <= self._max_bytes:
            self._kept.append(batch)
