"""A last batch of one image: left out of a training, spread over a validation."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset

from cream_mm.engine.lone_image import leave_lone_image_out, spread_lone_image


class Numbers(Dataset):
    def __init__(self, number):
        self.number = number

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        return index


def loader(number, size, sampler=DefaultSampler, **kwargs):
    dataset = Numbers(number)
    return DataLoader(dataset, size, sampler=sampler(dataset, seed=0), **kwargs)


def epochs(loader, number=1):
    found = []
    for epoch in range(number):
        loader.sampler.set_epoch(epoch)
        found.append([batch.tolist() for batch in loader])
    return found


NORM, PLAIN = nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.Conv2d(3, 3, 1))


@pytest.mark.parametrize('size', [1, 2, 3, 4, 5, 8, 9, 10])
@pytest.mark.parametrize('number', [1, 2, 5, 9, 10])
def test_a_training_has_no_batch_of_one(number, size):
    batches = loader(number, size)
    before = epochs(batches)[0]
    leave_lone_image_out(batches, NORM)
    after = epochs(batches)[0]
    assert len(batches) == len(after) >= 1  # what a loop counts
    lone = size > 1 and len(before) > 1 and len(before[-1]) == 1
    assert after == (before[:-1] if lone else before)
    assert size == 1 or number == 1 or min(map(len, after)) > 1


def test_each_epoch_leaves_another_one_out():
    batches = loader(9, 4)
    leave_lone_image_out(batches, NORM)
    left_out = [set(range(9)) - set(sum(epoch, [])) for epoch in epochs(batches, 8)]
    assert all(len(indices) == 1 for indices in left_out)
    assert len(set.union(*left_out)) > 3


def test_a_model_without_batch_norm_keeps_it():
    batches = loader(9, 4)
    leave_lone_image_out(batches, PLAIN)
    assert [len(batch) for batch in epochs(batches)[0]] == [4, 4, 1]


def test_a_stream_without_an_end_has_no_last_batch():
    batches = loader(9, 4, InfiniteSampler)
    leave_lone_image_out(batches, NORM)
    assert not batches.batch_sampler.drop_last


def test_an_epoch_without_steps_is_refused():
    with pytest.raises(ValueError, match='batch_size=8 is more than the 5 images.*batch_size=5'):
        leave_lone_image_out(loader(5, 8, drop_last=True), PLAIN)
    leave_lone_image_out(loader(8, 8, drop_last=True), PLAIN)
    sampler = DefaultSampler(Numbers(5), seed=0)
    own = type('Own', (BatchSampler,), {})  # as a detector's, that sorts by shape
    with pytest.raises(ValueError, match='leave out all of the 5 images'):
        leave_lone_image_out(DataLoader(Numbers(5), batch_sampler=own(sampler, 8, True)), PLAIN)


@pytest.mark.parametrize('size', [1, 2, 3, 4, 5, 8, 9, 256])
@pytest.mark.parametrize('number', [2, 3, 5, 9, 10, 17, 257])
def test_every_image_is_validated_beside_another(number, size):
    batches = loader(number, size)
    spread_lone_image(batches)
    (found,) = epochs(batches)
    assert sorted(sum(found, [])) == list(range(number)) and len(batches) == len(found)
    assert min(map(len, found)) > 1
    assert max(map(len, found)) <= max(2, size + 2)


def test_a_set_of_one_image_stays():
    batches = loader(1, 4)
    spread_lone_image(batches)
    assert epochs(batches) == [[[0]]] and batches.batch_sampler.batch_size == 4


def test_torch_refuses_what_is_left_out():
    with pytest.raises(ValueError, match='Expected more than 1 value per channel'):
        NORM.train()(torch.zeros(1, 3, 1, 1))


@pytest.mark.parametrize('tall', [0, 2, 3, 4, 9])
def test_a_detectors_batches_by_shape(tall):
    """mmdet's sampler puts what is left of both shapes together, and may end with one image."""
    from mmdet.datasets.samplers import AspectRatioBatchSampler

    class Pictures(Numbers):
        def get_data_info(self, index):
            return dict(width=1, height=2 if index < tall else 1)

    sampler = DefaultSampler(Pictures(9), seed=0)
    cut = AspectRatioBatchSampler(sampler, 4)
    batches = DataLoader(sampler.dataset, batch_sampler=cut)
    before = [batch.tolist() for batch in batches]
    leave_lone_image_out(batches, NORM)
    after = [batch.tolist() for batch in batches]
    assert sorted(map(len, before)) == [1, 4, 4] and after == before[:-1]
    assert len(batches) == 2
