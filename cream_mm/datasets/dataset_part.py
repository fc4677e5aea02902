"""One side of a split of any dataset of OpenMMLab: images to train on, images to rate on."""

from collections.abc import Mapping
from numbers import Real

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS

from ..registry import DATASETS
from .augmented import same_pictures
from .folder_listing import holdout_share
from .folds import check_fold, fold_name, in_fold, in_share


@DATASETS.register_module()
def DatasetPart(
    dataset: Mapping,
    *,
    part: str,
    holdout: float | str = 'auto',
    split_seed: int = 0,
    folds: int | None = None,
    fold: int | None = None,
    lazy_init: bool = False,
) -> BaseDataset:
    """A dataset without the images of the other side of a split; as for the rest, itself.

    A detector's search trains on one side of the training set and rates paths on the other, so
    that the validation set stays unseen. Sides are a function of the images' ids (of their paths,
    where they have none), of ``holdout`` and of ``split_seed``: filters of the dataset do not move
    an image from one to the other. Images that Roboflow made of one picture stay on one side.

    Args:
        dataset (dict): Config of the dataset, e.g. of mmdet's ``CocoDataset``.
        part (str): 'train' or 'holdout'.
        holdout (float | str): Share of the images that is held out, at least one of them.
            ``'auto'`` (default): :func:`holdout_share` of all of them, before any filter.
        split_seed (int): Seed of the split. Defaults to 0.
        folds, fold (int, optional): Hold out this one of so many folds, 0 to ``folds - 1``, in
            place of ``holdout``. Images are dealt out to them by the class of their first box, or
            by their label. Defaults to None.
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
    check_fold(folds, fold)
    built = MMENGINE_DATASETS.build(dict(dataset, lazy_init=True))
    if not isinstance(built, BaseDataset):
        raise TypeError(f'DatasetPart splits datasets of mmengine; got {type(built).__name__}')
    filtered = built.filter_data

    def filter_data() -> list[dict]:
        nonlocal holdout
        number = len(built.data_list)
        if number < 2:
            raise ValueError(f'{type(built).__name__} has {number} images; a split needs two')
        if folds is not None:
            held = _keys_in_fold(built.data_list, folds, fold, split_seed)
        else:
            if holdout == 'auto':
                holdout = holdout_share(number)
            count = min(max(1, round(number * holdout)), number - 1)
            infos = sorted(built.data_list, key=_key)
            positions = in_share(list(map(_path, infos)), count, split_seed)
            held = {_key(infos[i]) for i in positions}
        return [info for info in filtered() if (_key(info) in held) == (part == 'holdout')]

    built.filter_data = filter_data
    if lazy_init:
        return built
    try:
        built.full_init()
    finally:
        del built.filter_data  # the class's again: workers are sent the dataset
    built.part, built.split_seed = part, split_seed
    built.holdout = holdout if folds is None else fold_name(folds, fold, split_seed)
    return built


def _keys_in_fold(data_list: list[dict], folds: int, fold: int, seed: int) -> set[tuple]:
    """Of the images that a fold holds out.

    Raises:
        ValueError: If there are more folds than images.
    """
    if len(data_list) < folds:
        raise ValueError(f'{len(data_list)} images cannot be dealt out to {folds} folds')
    infos = sorted(data_list, key=_key)
    by_label: dict[int, list[dict]] = {}
    for same in same_pictures(list(map(_path, infos))):  # their first boxes may be of two classes
        by_label.setdefault(_label(infos[same[0]]), []).extend(infos[i] for i in same)
    groups = [by_label[label] for label in sorted(by_label)]
    held = in_fold([list(map(_path, group)) for group in groups], folds, fold, seed)
    return {_key(group[i]) for group, positions in zip(groups, held) for i in positions}


def _label(info: Mapping) -> int:
    """Of the first box of an image, or of the image; -1 where it has several or none."""
    boxes = info.get('instances')
    label = boxes[0].get('bbox_label', -1) if boxes else info.get('gt_label', -1)
    return label if isinstance(label, int) else -1


def _path(info: Mapping) -> str:
    return str(info.get('img_path', ''))


def _key(info: Mapping) -> tuple:
    if 'img_id' in info:
        return (0, info['img_id'])
    if 'img_path' in info:
        return (1, str(info['img_path']))
    raise TypeError('DatasetPart splits by img_id or img_path; these samples have neither')
