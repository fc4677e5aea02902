"""Draws every class alike, however many images it has."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..registry import DATA_SAMPLERS
from ..structures.randomness import named_rng


def count_labels(dataset: Dataset) -> list[int]:
    """The label of each image of a dataset.

    Raises:
        ValueError: If images have no label, or several.
    """
    labels = [dataset.get_data_info(i).get('gt_label') for i in range(len(dataset))]
    odd = next((label for label in labels if not isinstance(label, (int, np.integer))), 0)
    if odd != 0 and not isinstance(odd, (int, np.integer)):
        raise ValueError(
            'class_balance is for images with one label each, as of a classifier; a training image '
            f'has {odd!r}'
        )
    return list(map(int, labels))


@DATA_SAMPLERS.register_module()
class BalancedSampler(DefaultSampler):
    """mmengine's DefaultSampler, with as many images of each class in an epoch.

    An epoch is as long as before. A class gives its share, give or take one image: of one with more
    images, another part in each epoch; the images of one with fewer come several times, each as
    often as the others, give or take one. What an epoch has is a function of seed and epoch, so
    that a resumed run goes on alike.

    Args:
        dataset (Dataset): Of images with one label each.
        shuffle (bool): Only True has a meaning here.
        seed (int, optional): As of mmengine's.
        round_up (bool): As of mmengine's.

    Raises:
        ValueError: If images have no label, or several.
    """

    def __init__(
        self,
        dataset: Dataset,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
    ):
        super().__init__(dataset, shuffle, seed, round_up)
        labels = np.array(count_labels(dataset))
        self._classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        sizes = sorted(len(indices) for indices in self._classes)
        share = len(labels) / len(sizes)
        print_log(
            f'class_balance: {len(sizes)} classes of {sizes[0]} to {sizes[-1]} training images are '
            f'drawn alike, about {share:.3g} times each in an epoch; an image of the smallest '
            f'{share / sizes[0]:.2g} times',
            'current',
        )

    def __iter__(self) -> Iterator[int]:
        rng = named_rng('balanced-sampler', self.seed, self.epoch)
        quotas = Counter(rng.permutation(len(self._classes))[: self._left_over()].tolist())
        quota = len(self.dataset) // len(self._classes)
        drawn = []
        for c, indices in enumerate(self._classes):
            wanted = quota + quotas[c]
            rounds = [rng.permutation(indices) for _ in range(-(-wanted // len(indices)))]
            drawn += [np.concatenate(rounds)[:wanted]] if rounds else []
        order = rng.permutation(np.concatenate(drawn))
        total = np.resize(order, self.total_size)  # repeated from the start, for equal ranks
        return iter(total[self.rank : self.total_size : self.world_size].tolist())

    def _left_over(self) -> int:
        """Classes that give one image more."""
        return len(self.dataset) % len(self._classes)
