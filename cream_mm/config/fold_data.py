"""One fold of a set held out of the training: ``folds=5 fold=0`` at the top level of a config."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from ..datasets.folds import check_fold
from ..files import say_early
from ..files.arch_file import IN_FOLDERS
from ..registry import kind_of
from .carry import DATA_KEYS, entries

PARTS = (*IN_FOLDERS, 'DatasetPart')
_HOOK = 'FoldHook'
# Of mmdet's PackDetInputs, where a config names none.
_META_KEYS = (
    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction',
)  # fmt: skip


def fit_folds(cfg: Config) -> None:
    """Have a run hold out the fold that its config names; nothing without ``folds``.

    A search has held-out images already: they become the fold. In any other training the fold takes
    the place of the validation set, which is not read, and no checkpoint is chosen by it: the last
    one counts. What is done twice is as if it was done once, so that the config that a run dumps
    means the same.

    Args:
        cfg (Config): Changed in place.

    Raises:
        ValueError: If there is no such fold, or no set that can be dealt out.
    """
    folds, fold = cfg.get('folds'), cfg.get('fold')
    if folds is None and fold is None:
        return
    if fold is None:
        raise ValueError(
            f'folds={folds} without fold: "tools/train.py CONFIG --folds {folds}" trains them all, '
            'and fold=0 beside it the first one'
        )
    check_fold(folds, fold)
    trained = list(_sets(cfg.get('train_dataloader')))
    if not trained:
        raise ValueError(
            'folds are of images in class folders, in a table of labels or with annotations: '
            'train_dataloader has no cream_mm.ImageFolder, cream_mm.LabelledImages or '
            'cream_mm.DatasetPart, and no data set with an ann_file'
        )
    was_split = any(_is_part(holder[key]) for holder, key in trained)
    first = _inner(trained[0][0][trained[0][1]])
    if not was_split:
        for holder, key in trained:
            holder[key] = _part_of(holder[key], 'train')
        for side in ('val', 'test'):
            for holder, key in list(_sets(cfg.get(f'{side}_dataloader'))):
                holder[key] = _part_of(_same_images(holder[key], first), 'holdout')
    for holder, key in list(_sets({name: cfg.get(name) for name in DATA_KEYS})):
        if _is_part(holder[key]) and _place(holder[key]) == _place(first):
            holder[key].pop('holdout', None)
            holder[key].update(folds=folds, fold=fold)
    if is_search(cfg):
        say_early(f'fold {fold} of {folds} is held out of {_shown(first)}: paths are rated on it')
        return
    for side in ('val', 'test'):
        _forget_files(cfg.get(f'{side}_evaluator'))
        for holder, key in _sets(cfg.get(f'{side}_dataloader')):
            _keep_boxes(_inner(holder[key]).get('pipeline') or ())
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(checkpoint, dict):
        checkpoint.pop('save_best', None)
    hooks = cfg.get('custom_hooks') or []
    if not any(isinstance(hook, dict) and kind_of(hook) == _HOOK for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=f'cream_mm.{_HOOK}', folds=folds, fold=fold)]
    say_early(
        f'fold {fold} of {folds} is held out of {_shown(first)} and validated on, in place of '
        'another validation set. The weights of the last epoch count: none are chosen by it'
    )


def is_search(cfg: Mapping) -> bool:
    """Whether a supernet is trained: what is held out rates its paths."""
    return 'bn_dataset' in (cfg.get('test_cfg') or {})


def _sets(node: Any) -> Iterator[tuple[dict, str]]:
    """(container, key) of each set that can be dealt out, wrappers opened, parts not."""
    inside: set[int] = set()  # what a DatasetPart wraps goes with it
    for holder, key in list(entries({'': node})):
        value = holder[key]
        if id(value) in inside or not isinstance(value, dict):
            continue
        is_set = kind_of(value) in PARTS or bool(value.get('ann_file') and kind_of(value))
        if is_set and 'metric' not in value:
            inside.update(id(h[k]) for h, k in entries(value) if isinstance(h[k], dict))
            yield holder, key


def _is_part(dataset: Mapping) -> bool:
    return kind_of(dataset) == 'DatasetPart' or dataset.get('part', 'all') != 'all'


def _inner(dataset: Mapping) -> Mapping:
    return dataset['dataset'] if kind_of(dataset) == 'DatasetPart' else dataset


def _place(dataset: Mapping) -> tuple:
    inner = _inner(dataset)
    below = inner.get('ann_file') or inner.get('folder', 'train')
    return (str(inner.get('data_root') or '').rstrip('/'), below)


def _shown(dataset: Mapping) -> str:
    root, below = _place(dataset)
    return os.path.join(root, below)


def _part_of(dataset: dict, part: str) -> dict:
    """A set as one side of a split."""
    if kind_of(dataset) in IN_FOLDERS:
        dataset.update(part=part)
        return dataset
    return ConfigDict(type='cream_mm.DatasetPart', part=part, dataset=dataset)


def _same_images(dataset: dict, trained: Mapping) -> dict:
    """A set to validate on, with its own pipeline and the images that are trained on."""
    dataset = _inner(dataset)
    for key in ('type', 'data_root', 'folder', 'ann_file', 'data_prefix', 'metainfo',
                'label_column', 'multi_label', 'split_seed'):  # fmt: skip
        if key in trained:
            dataset[key] = trained[key]
        else:
            dataset.pop(key, None)
    return dataset


def _keep_boxes(pipeline: Sequence) -> None:
    """Have a detector's images carry the boxes that they are measured by."""
    for step in pipeline:
        if isinstance(step, dict) and kind_of(step) == 'PackDetInputs':
            keys = step.get('meta_keys') or _META_KEYS
            step['meta_keys'] = tuple(dict.fromkeys((*keys, 'instances')))


def _forget_files(evaluator: Any) -> None:
    """A metric takes the boxes that the data gives, not those of the validation set's file."""
    for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
        if isinstance(metric, dict):
            metric.pop('ann_file', None)
