import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import CachedMixUp, CachedMosaic
from mmengine.dataset import Compose
from torch.utils.data import DataLoader, Dataset

from cream_mm.datasets.seeded import SeededSamples, remembering_transforms


class Drawing(Dataset):
    """A sample is its index and what each generator draws."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        draws = np.random.rand(), random.random(), float(torch.rand(()))
        return torch.tensor([float(index), *draws], dtype=torch.float64)


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


def test_transforms_that_keep_images_are_found_wherever_they_are():
    cached = [CachedMosaic((8, 8)), CachedMixUp((8, 8))]
    plain = SimpleNamespace(pipeline=Compose([]))
    inner = SimpleNamespace(pipeline=Compose([lambda x: x, cached[0]]))
    nested = SimpleNamespace(pipeline=[SimpleNamespace(transforms=[[cached[1]]])], dataset=inner)
    assert remembering_transforms(plain) == []
    assert remembering_transforms(inner) == ['CachedMosaic']
    both = SimpleNamespace(datasets=[plain, nested])
    assert sorted(remembering_transforms(both)) == ['CachedMixUp', 'CachedMosaic']
