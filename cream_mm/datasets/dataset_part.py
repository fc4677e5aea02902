"""One side of a split of any dataset of OpenMMLab: images to train on, images to rate on."""

from collections.abc import Mapping
from numbers import Real

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS

from ..registry import DATASETS
from ..structures.randomness import named_rng
from .folder_listing import holdout_share


@DATASETS.register_module()
def DatasetPart(
    dataset: Mapping,
    *,
    part: str,
    holdout: float | str = 'auto',
    split_seed: int = 0,
    lazy_init: bool = False,
) -> BaseDataset:
    """A dataset without the images of the other side of a split; as for the rest, itself.

    A detector's search trains on one side of the training set and rates paths on the other, so
    that the validation set stays unseen. Sides are a function of the images' ids (of their paths,
    where they have none), of ``holdout`` and of ``split_seed``: filters of the dataset do not move
    an image from one to the other.

    Args:
        dataset (dict): Config of the dataset, e.g. of mmdet's ``CocoDataset``.
        part (str): 'train' or 'holdout'.
        holdout (float | str): Share of the images that is held out, at least one of them.
            ``'auto'`` (default): :func:`holdout_share` of all of them, before any filter.
        split_seed (int): Seed of the split. Defaults to 0.
        lazy_init (bool): Read and split in ``full_init()`` only, as of any dataset of mmengine:
            mmdet's ``init_detector`` asks for nothing but the classes. Defaults to False.

    Raises:
        ValueError: If an argument is none of these, or there are fewer than two images.
        TypeError: If the dataset is none of mmengine's.
    """
    if part not in ('train', 'holdout'):
        raise ValueError(f"part is 'train' or 'holdout'; got {part!r}")
    if holdout != 'auto' and not (isinstance(holdout, Real) and 0 < holdout < 1):
        raise ValueError(f"holdout is a share between 0 and 1, or 'auto'; got {holdout!r}")
    built = MMENGINE_DATASETS.build(dict(dataset, lazy_init=True))
    if not isinstance(built, BaseDataset):
        raise TypeError(f'DatasetPart splits datasets of mmengine; got {type(built).__name__}')
    filtered = built.filter_data

    def filter_data() -> list[dict]:
        nonlocal holdout
        number = len(built.data_list)
        if number < 2:
            raise ValueError(f'{type(built).__name__} has {number} images; a split needs two')
        if holdout == 'auto':
            holdout = holdout_share(number)
        count = min(max(1, round(number * holdout)), number - 1)
        keys = sorted(map(_key, built.data_list))
        order = named_rng('holdout', split_seed, 0).permutation(number)[:count]
        held = {keys[i] for i in order}
        return [info for info in filtered() if (_key(info) in held) == (part == 'holdout')]

    built.filter_data = filter_data
    if lazy_init:
        return built
    try:
        built.full_init()
    finally:
        del built.filter_data  # the class's again: workers are sent the dataset
    built.part, built.holdout, built.split_seed = part, holdout, split_seed
    return built


def _key(info: Mapping) -> tuple:
    if 'img_id' in info:
        return (0, info['img_id'])
    if 'img_path' in info:
        return (1, str(info['img_path']))
    raise TypeError('DatasetPart splits by img_id or img_path; these samples have neither')
