import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from cream_mm.datasets.seeded import SeededSamples
from cream_mm.structures.randomness import seed_generators


class Drawing(Dataset):
    """A sample is its index and what each generator draws."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        draws = np.random.rand(), random.random(), float(torch.rand(()))
        return torch.tensor([float(index), *draws], dtype=torch.float64)


def draw():
    return np.random.rand(), random.random(), float(torch.rand(()))


def test_a_function_of_the_name_and_numbers():
    def of(*args):
        seed_generators(*args)
        return draw()

    assert of('sample', 0, 1, 2) == of('sample', 0, 1, 2)
    others = [of('step', 0, 1, 2), of('sample', 1, 1, 2), of('sample', 0, 2, 1), of('sample', 0, 1)]
    everything = {of('sample', 0, 1, 2), *others}
    assert len(everything) == 5
    assert len({value for draws in everything for value in draws}) == 15


def test_without_devices_the_cpu_draws_the_same():
    seed_generators('sample', 0, 1, 2)
    expected = draw()
    seed_generators('sample', 0, 1, 2, devices=False)
    assert draw() == expected


def samples(num_workers, seed=0, epochs=(0, 1), batch_size=3):
    """One tensor for each epoch, from one loader whose workers stay."""
    dataset = Drawing()
    dataset.__getitems__ = seeded = SeededSamples(dataset, seed)
    loader = DataLoader(
        dataset, batch_size, num_workers=num_workers, persistent_workers=num_workers > 0
    )
    out = []
    for epoch in epochs:
        seeded.set_epoch(epoch)
        out.append(torch.cat(list(loader)))
    return out


@pytest.mark.parametrize('num_workers', [1, 2, 3])
def test_workers_and_batches_make_no_difference(num_workers):
    expected = samples(0)
    for batch_size in (3, 5):
        for ours, theirs in zip(samples(num_workers, batch_size=batch_size), expected):
            assert torch.equal(ours, theirs)


def test_epochs_seeds_and_samples_differ():
    first, second = samples(0)
    (other,) = samples(0, seed=1, epochs=(0,))
    assert torch.equal(samples(0, epochs=(1,))[0], second)  # no epoch before it: a resumed run
    draws = torch.cat([part[:, 1:].flatten() for part in (first, second, other)])
    assert len(draws.unique()) == len(draws)
