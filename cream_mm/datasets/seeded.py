"""Randomness that depends on what is drawn, not on what was drawn before it."""

from collections.abc import Iterator
from itertools import count

import torch
from torch.utils.data import DataLoader, Dataset

from ..structures.randomness import seed_generators


class SeededSamples:
    """Draws the samples of a dataset, each a function of (seed, epoch, index).

    So a batch is the same in a run that was interrupted, and with any number of workers. torch
    asks a dataset for a whole batch by ``__getitems__`` where there is such a method: this object
    takes that place, and the dataset itself, wrapped or not, stays what it is. Transforms draw
    from the generators of the CPU.

    Args:
        dataset (Dataset): Any with an index. An image that it draws in place of an unreadable one
            is a function of the same three.
        seed (int): Seed of the run.

    >>> dataset.__getitems__ = SeededSamples(dataset, seed=0)
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        self.seed = seed
        # In shared memory: workers that live on from epoch to epoch see it change.
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Before the workers are asked for samples of that epoch."""
        self._epoch.fill_(epoch)

    def __call__(self, indices: list) -> list:
        """Samples of these indices, or of the (step, index) of :class:`EndlessBatches`."""
        epoch, samples = int(self._epoch), []
        for item in indices:
            when, index = item if isinstance(item, tuple) else (epoch, item)
            seed_generators('sample', self.seed, when, int(index), devices=False)
            samples.append(self.dataset[index])
        return samples


class EndlessBatches:
    """Batches for a run that counts steps: batch k is a function of (seed, k).

    Takes the place of the iterator of mmengine's ``IterBasedTrainLoop``, under which the epoch
    stays 0, so that each pass over the data would draw the same augmentation. Works with a sampler
    of one epoch, which is told the number of each pass, and with an infinite one.

    Args:
        loader (DataLoader): Its dataset draws by :class:`SeededSamples`.
    """

    def __init__(self, loader: DataLoader):
        self.loader = loader
        self._first = 0
        self._iterator = None  # workers start with the first batch, after any skip_iter

    def skip_iter(self, num_iters: int) -> None:
        """Begin with batch ``num_iters``, without loading those before it."""
        self._first, self._iterator = num_iters, None

    def close(self) -> None:
        """End the workers."""
        self._iterator = None

    def __iter__(self):
        return self

    def __next__(self):
        if self._iterator is None:
            self._iterator = iter(self._numbered_loader())
        return next(self._iterator)

    def _numbered_loader(self) -> DataLoader:
        loader = self.loader
        return DataLoader(
            loader.dataset,
            batch_sampler=_NumberedBatches(loader.batch_sampler, self._first),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=loader.generator,
            prefetch_factor=loader.prefetch_factor,
        )


class _NumberedBatches:
    """The batches of one pass after another, each index with the number of its step."""

    def __init__(self, batch_sampler, first: int):
        self.batch_sampler = batch_sampler
        self.first = first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        sampler = getattr(self.batch_sampler, 'sampler', None)
        if hasattr(sampler, '_indices_of_rank'):
            # mmengine's infinite sampler goes on where it was left, and an iterator that mmengine
            # 0.10.7 made before may have drawn from it.
            sampler.indices = sampler._indices_of_rank()
        step = 0
        for number in count():
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(number)
            before = step
            for indices in self.batch_sampler:
                if step >= self.first:
                    yield [(step, index) for index in indices]
                step += 1
            if step == before:
                return  # an empty set, or an iterator that is used up


def remembering_transforms(dataset: Dataset) -> list[str]:
    """Names of the transforms that keep earlier images for later samples: mmdet's ``Cached*``."""
    names, found, todo = ('dataset', 'datasets', 'pipeline', 'transforms'), [], [dataset]
    while todo:
        node = todo.pop(0)
        if isinstance(node, (list, tuple)):
            todo = [*node, *todo]
            continue
        if hasattr(node, 'results_cache'):
            found.append(type(node).__name__)
        todo = [getattr(node, name) for name in names if hasattr(node, name)] + todo
    return found
