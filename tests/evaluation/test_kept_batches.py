"""A subset of a dataset that is read once, as far as memory allows."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from cream_mm.evaluation.kept_batches import KeptBatches


class Images:
    """Counts how often each image is read; 12 bytes each."""

    def __init__(self, number):
        self.reads = [0] * number

    def __len__(self):
        return len(self.reads)

    def __getitem__(self, i):
        self.reads[i] += 1
        image = torch.full((3, 2, 2), i, dtype=torch.uint8)
        return dict(inputs=image, data_samples=DataSample().set_gt_label(i))


def seen(batches):
    return [int(image[0, 0, 0]) for batch in batches for image in batch['inputs']]


def build(number, num=None, **kwargs):
    data = Images(number)
    return data, KeptBatches(data, num, np.random.default_rng(0), batch_size=2, **kwargs)


def test_all_are_kept():
    data, batches = build(7)
    first = seen(batches)
    assert sorted(first) == list(range(7)) and first != sorted(first)  # shuffled
    assert seen(batches) == first == batches.indices
    assert data.reads == [1] * 7 and batches.fit()


def test_beyond_the_limit_images_are_read_again():
    data, batches = build(7, max_bytes=50)  # two batches of 24 bytes
    first = seen(batches)
    assert not batches.fit()
    before = list(data.reads)
    assert seen(batches) == first
    again = [i for i in range(7) if data.reads[i] > before[i]]
    assert sorted(first[4:]) == again


def test_a_subset():
    data, batches = build(9, num=4)
    assert batches.num_images == 4 == len(set(seen(batches))) and sum(data.reads) == 4


def test_nothing_to_read():
    with pytest.raises(ValueError, match='no images to rate on'):
        build(0)


def test_a_last_batch_of_one_image_can_be_spared():
    assert [len(b['inputs']) for b in build(7)[1]] == [2, 2, 2, 1]
    spared = build(7, spare_one=True)[1]
    assert [len(b['inputs']) for b in spared] == [2, 2, 2] and spared.num_images == 6
    assert [len(b['inputs']) for b in build(1, spare_one=True)[1]] == [1]  # all there is


@pytest.mark.parametrize(('number', 'sizes'), [(7, [2, 2, 3]), (6, [2, 2, 2]), (1, [1]), (3, [3])])
def test_a_lone_image_joins_the_batch_before(number, sizes):
    data, batches = build(number, join_one=True)
    assert [len(batch['inputs']) for batch in batches] == sizes
    assert seen(batches) == batches.indices and batches.num_images == number
