"""A run that goes on keeps its held-out images, whatever the rule is by now."""

from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from ..checkpoints import load_checkpoint_file
from ..registry import type_name

META_KEY = 'holdout'
"""Entry of a checkpoint's ``meta``: ``holdout`` of the training images."""

_OF_VERSION_0_1 = 0.02
_WITH_PARTS = ('ImageFolder', 'LabelledImages', 'DatasetPart', 'UnlabelledImages')


def keep_holdout(cfg: Config, checkpoint: str | Path | None) -> None:
    """Give ``holdout='auto'`` the value that the run of a checkpoint had, in place.

    Another share would put images among the held-out ones that this run's weights were trained
    on. Version 0.1 held out 2 % and did not note it.

    Args:
        cfg (Config): Of the run that goes on.
        checkpoint (str | Path, optional): Where it goes on from; None changes nothing.
    """
    folders = [f for f in _split_sets(cfg._cfg_dict) if f.get('holdout') == 'auto']
    if checkpoint is None or not folders or not Path(checkpoint).is_file():
        return
    share = _share_of(load_checkpoint_file(checkpoint).get('meta') or {})
    if not isinstance(share, float):
        return
    for folder in folders:
        folder['holdout'] = share
    print_log(
        f'{checkpoint} was trained with holdout={share}: the same images stay held out', 'current'
    )


def check_holdout(meta: Mapping, share: Any) -> None:
    """Check that a resumed run holds out no image that was trained on.

    A smaller share of the same split is a part of it; a larger one is not.

    Args:
        meta (dict): Of the checkpoint.
        share (float | str, optional): ``holdout`` of the training images now; None if they have
            none.

    Raises:
        ValueError: If it is larger than it was.
    """
    was = _share_of(meta)
    by_folds = [isinstance(one, str) and one.startswith('fold ') for one in (was, share)]
    if was != share and any(by_folds) and was is not None:
        raise ValueError(
            f'held out was {was}, is {share}: images that it was trained on would be rated on'
        )
    if isinstance(was, float) and isinstance(share, Real) and share > was:
        raise ValueError(
            f'holdout was {was}, is {share}: images that it was trained on would be rated on '
            f'(holdout={was} can go on)'
        )


def holdout_of(dataset: Any) -> Any:
    """``holdout`` of a dataset, wrappers opened; None if it holds nothing out."""
    while dataset is not None:
        if (share := getattr(dataset, 'holdout', None)) is not None:
            return share
        inner = getattr(dataset, 'dataset', None)
        dataset = inner if inner is not None else next(iter(getattr(dataset, 'datasets', ())), None)
    return None


def _share_of(meta: Mapping) -> Any:
    share, text = meta.get(META_KEY), str(meta.get('cfg'))
    if share is None and "part='holdout'" in text and "holdout='auto'" not in text:
        return _OF_VERSION_0_1
    return share


def _split_sets(node) -> Iterator[ConfigDict]:
    """Every dataset with a held-out part below a config's node."""
    if isinstance(node, dict):
        if type_name(node.get('type')) in _WITH_PARTS:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _split_sets(value)
