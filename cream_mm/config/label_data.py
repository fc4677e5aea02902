"""Gives a config's image folders the table of labels that lies in their place."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..datasets.folder_listing import find_folder, folders_in
from ..datasets.label_set import LabelSet
from ..datasets.label_table import is_label_table
from ..datasets.set_kind import find_kind
from ..files import say_early, say_once
from ..registry import kind_of
from .image_listing import listing_of
from .multi_label import fit_multi_label

LABEL_OPTIONS = ('multi_label', 'label_column')  # of the top level


def fit_label_tables(cfg: Config, datasets: Sequence[ConfigDict]) -> None:
    """Put :class:`LabelledImages` in the place of each ``ImageFolder`` that a table is about.

    Class folders go before a table beside them, unless ``multi_label=True`` or ``data_kind`` says
    otherwise, or ``data_root`` names the table itself. Where images have several labels, the head
    and the metrics become those for it.

    Args:
        cfg (Config): Changed in place.
        datasets (Sequence[ConfigDict]): All its datasets.

    Raises:
        OSError, ValueError: Of the table, as :func:`read_label_table`; if the search can do
            nothing with several labels.
    """
    kinds: dict[str, bool] = {}
    for dataset in datasets:
        if kind_of(dataset) != 'ImageFolder':
            continue
        root = dataset['data_root']
        if root not in kinds:
            kinds[root] = _goes_by_table(cfg, root)
        if kinds[root]:
            dataset['type'] = 'cream_mm.LabelledImages'
    labelled = [dataset for dataset in datasets if kind_of(dataset) == 'LabelledImages']
    for dataset in labelled:
        dataset.update({key: cfg[key] for key in LABEL_OPTIONS if cfg.get(key) is not None})
    tables = [listing_of(dataset) for dataset in labelled]
    for table in tables:
        _say(table)
    if any(table.is_multi for table in tables):
        cfg.multi_label = True  # for an export, and for whoever goes on from the dumped config
        for dataset in labelled:
            dataset['multi_label'] = True
        fit_multi_label(cfg)


def _goes_by_table(cfg: Config, root: str) -> bool:
    kind = cfg.get('data_kind')
    if kind is not None:
        return kind == 'label_table'
    if os.path.isfile(root) or cfg.get('multi_label'):
        return is_label_table(root)
    if not os.path.isdir(root):
        return False
    found = find_kind(root)
    kinds = () if found is None else (found.name, *found.also)
    if 'label_table' not in kinds:
        return False
    if 'class_folders' not in kinds or not _has_classes(root):
        return True
    say_early(
        f'{root} holds class folders and a table of labels: the folders are read. For the table: '
        '--cfg-options data_kind=label_table'
    )
    return False


def _has_classes(root: str) -> bool:
    """Whether all images to train on and to validate on are sorted into class folders."""
    places = [Path(root, find_folder(root, name)) for name in ('train', 'val')]
    if places[0] == Path(root):
        return False  # beside class folders that are not split, the table counts
    return len(folders_in(places[0])) > 1 and all(folders_in(p) for p in places if p.is_dir())


def _say(table: LabelSet) -> None:
    """What the table holds, in one line, and what was mended."""
    sizes = ', '.join(f'{len(table.images(name))} {name}' for name in table.names())
    what = 'several labels per image' if table.is_multi else 'one label per image'
    where = ', '.join(table.tables)
    say_once(f'Labels from {where}: {sizes}; {len(table.classes)} classes, {what}')
    table.say()
