"""Randomness that depends on what is drawn, not on what was drawn before it."""

import random
import zlib

import numpy as np
import torch
from torch.utils.data import Dataset


def seed_generators(name: str, *numbers: int) -> None:
    """Seed numpy, Python's random and torch as a function of (name, numbers) alone."""
    entropy = [zlib.crc32(name.encode()), *numbers]
    seeds = np.random.SeedSequence(entropy).generate_state(3).tolist()
    np.random.seed(seeds[0])
    random.seed(seeds[1])
    torch.manual_seed(seeds[2])


class SeededSamples:
    """Draws the samples of a dataset, each a function of (seed, epoch, index).

    So a batch is the same in a run that was interrupted, and with any number of workers. torch
    asks a dataset for a whole batch by ``__getitems__`` where there is such a method: this object
    takes that place, and the dataset itself, wrapped or not, stays what it is.

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

    def __call__(self, indices: list[int]) -> list:
        epoch, samples = int(self._epoch), []
        for index in indices:
            seed_generators('sample', self.seed, epoch, int(index))
            samples.append(self.dataset[index])
        return samples
