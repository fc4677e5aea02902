"""Shares of classes in an epoch, and of the images in a class."""

from collections import Counter

import pytest

from cream_mm.datasets.balanced_sampler import BalancedSampler, count_labels
from cream_mm.registry import DATA_SAMPLERS

LABELS = [0] * 40 + [1] * 9 + [3]  # a class without images, one with a single one


class Labelled:
    def __init__(self, labels=LABELS):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_data_info(self, index):
        return dict(gt_label=self.labels[index])


def epoch_of(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_class_is_drawn_alike():
    sampler = DATA_SAMPLERS.build(dict(type='cream_mm.BalancedSampler', dataset=Labelled(), seed=5))
    seen = Counter()
    for epoch in range(25):
        drawn = epoch_of(sampler, epoch)
        assert len(drawn) == len(sampler) == 50
        of_class = Counter(LABELS[i] for i in drawn)
        assert sorted(of_class.values()) == [16, 17, 17] and of_class.keys() == {0, 1, 3}
        times = Counter(drawn)
        assert max(times[i] for i in range(40)) == 1  # none twice where there are enough
        assert {times[i] for i in range(40, 49)} <= {1, 2}
        seen.update(drawn)
    assert all(seen[i] for i in range(50))  # another part in each epoch


def test_it_is_a_function_of_seed_and_epoch():
    one, two = (BalancedSampler(Labelled(), seed=5) for _ in range(2))
    assert epoch_of(one, 3) == epoch_of(two, 3) != epoch_of(one, 4)
    assert epoch_of(BalancedSampler(Labelled(), seed=6), 3) != epoch_of(two, 3)


def test_ranks_share_an_epoch(monkeypatch):
    whole = epoch_of(BalancedSampler(Labelled(), seed=5), 1)
    parts = []
    for rank in range(3):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 3))
        parts.append(epoch_of(BalancedSampler(Labelled(), seed=5), 1))
    assert [len(part) for part in parts] == [17, 17, 17]
    together = [index for step in zip(*parts) for index in step]
    assert together == whole + whole[:1]


@pytest.mark.parametrize('label', [None, [0, 2]])
def test_images_without_one_label_are_refused(label):
    with pytest.raises(ValueError, match='one label each'):
        count_labels(Labelled([0, label, 1]))
