"""Reads a config for a run, and looks at the data that it names."""

import copy
import os
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..command_line import check_config, check_writable
from ..files import say_early
from ..registry import kind_of
from .auto_batch import AUTO
from .box_data import fit_boxes
from .carry import DATA_KEYS, Places, carry, entries, override, read_config
from .check import check_keys, check_options, check_top_level, is_settled, own_names
from .class_balance import fit_class_balance
from .coco_data import coco_metrics, fit_coco, follow_annotations, lacks_files
from .fit_network import fit_network
from .fold_data import fit_folds
from .folder_data import fit_to_folders, lacks_folders, limit_top_k, names_of_places_as_text
from .label_data import fit_label_tables
from .latency_budget import fit_latency
from .min_steps import fit_min_steps
from .start_network import fit_start
from .tracker import check_tracker, fit_tracker
from .value_ranges import check_values


def load_config(
    path: str, options: dict | None = None, *, check_data: bool = True, writes: bool = False
) -> Config:
    """Read a config file for a run.

    A top-level value such as ``data_root``, ``num_classes``, ``batch_size``, ``max_epochs``,
    ``input_size`` or ``budget`` that is set by ``options``, or by a file over what it inherits,
    is carried to every nested entry of that name that held the old value; ``max_epochs`` also
    stretches the schedules. A line per name says how many places it reached.

    Args:
        path (str): The config file.
        options (dict, optional): Overrides, dotted keys allowed, as from ``--cfg-options``.
        check_data (bool): Look at the data: its folders must be there, and the number of classes
            and their names are taken from it. Defaults to True.
        writes (bool): The run will write into its ``work_dir``, which is
            ``work_dirs/<name of the config>`` where the config names none: it is tried before the
            data is looked at. Defaults to False.

    Raises:
        FileNotFoundError: If the config or the data is missing; says what is expected where.
        ValueError: If the data and the config contradict each other, a key is misspelt, a value is
            out of range, or the config is not a ``.py`` file.
        OSError: If nothing can be written into ``work_dir``.
    """
    options = dict(options or {})
    cfg, places = _open(path, options, check_data, writes)
    check_keys(cfg)
    if own := own_names(cfg):
        cfg.own_names = own  # for the copy that a run writes, whose text does not tell any more
    _say_places(places)
    for side in ('train', 'val', 'test'):
        loader = cfg.get(f'{side}_dataloader')
        if loader and loader.get('num_workers') == 0:
            loader.persistent_workers = False  # torch refuses it without workers
    follow_annotations(cfg)
    fit_network(cfg, options)
    _follow_metric(cfg)
    fit_class_balance(cfg)
    fit_tracker(cfg)
    if check_data:
        _fit_to_data(cfg, options, writes)
        fit_min_steps(cfg, options, say_early)
    fit_start(cfg, options, say_early)
    fit_latency(cfg, say_early)
    return cfg


def check_early(path: str, options: dict | None = None, *, check_data: bool = True) -> None:
    """Raise what :func:`load_config` would, as far as it can be told without importing torch.

    For whoever imports much before it calls that.

    Raises:
        FileNotFoundError: If there is no such file, or no such folder with data.
        ValueError: If it is not a ``.py`` file, a key of its top level, or one of ``options``, is
            misspelt, or a value is out of range.
    """
    _open(path, dict(options or {}), check_data)


def _open(
    path: str, options: dict, check_data: bool, writes: bool = False
) -> tuple[Config, Places]:
    """Read and override a config; check what needs none of the classes that it names."""
    check_config(path)
    cfg, places = read_config(path)
    names_of_places_as_text(cfg._cfg_dict)
    names_of_places_as_text(options)
    check_options(cfg, options)
    settled = is_settled(cfg, options)
    places.update(override(cfg, options))
    check_top_level(cfg)
    if cfg.get('batch_size') == AUTO:
        raise ValueError(
            "batch_size='auto' is measured by tools/train.py alone: give a number here, or the "
            'copy of the config that the run has left in its work_dir'
        )
    check_values(cfg)
    check_tracker(cfg)
    if writes:
        if cfg.get('work_dir') is None:
            cfg.work_dir = os.path.join('work_dirs', Path(path).stem)
        check_writable(cfg.work_dir)
    if check_data and settled and (lacks_folders(_datasets(cfg)) or lacks_files(cfg)):
        _fit_to_data(copy.deepcopy(cfg), options)  # says what is missing
    return cfg, places


def _say_places(places: Places) -> None:
    for name, paths in sorted(places.items()):
        roots = ', '.join(dict.fromkeys(path.split('.')[0] for path in paths))
        count = f'{len(paths)} place{"" if len(paths) == 1 else "s"}'
        say_early(
            f'{name}: set in {count} of the config ({roots})'
            if paths
            else f'{name}: set in no place of the config: nothing there held its old value'
        )


# ---- looking at the data -----------------------------------------------------------------------


def _datasets(cfg: Config) -> list[ConfigDict]:
    """Every dataset config that a run will build, wrappers opened."""
    found = []
    for holder, key in entries({name: cfg.get(name) for name in DATA_KEYS}):
        value = holder[key]
        is_part = isinstance(value, dict) and kind_of(value) == 'DatasetPart'
        has_place = isinstance(value, dict) and ('data_root' in value or 'ann_file' in value)
        if is_part or has_place and 'type' in value:
            found.append(value)
    return found


def _fit_to_data(cfg: Config, options: dict, writes: bool = False) -> None:
    fit_boxes(cfg, options, say_early, writes)
    chosen = 'num_classes' in options
    is_moved = any(key.split('.')[-1] in ('data_root', 'ann_file') for key in options)
    fit_label_tables(cfg, _datasets(cfg))
    fit_folds(cfg)
    datasets = _datasets(cfg)
    classes = fit_to_folders(cfg, datasets)
    _check_split(datasets, _whole_sets(cfg.get('train_dataloader')))
    classes = fit_coco(cfg, say_early, is_moved=is_moved) or classes
    if classes is not None:
        limit_top_k(cfg, len(classes))
        names = cfg.get('classes')
        cfg.classes = tuple(classes)  # for whoever goes on from the dumped config
        if names is not None:
            carry(cfg._cfg_dict, dict(classes=(names, cfg.classes)))
    old = cfg.get('num_classes')
    if classes is not None and old is None:
        _check_heads(cfg, len(classes))
    if classes is None or old is None or len(classes) == old:
        return
    if chosen and len(classes) < old:
        return
    if chosen:
        raise ValueError(
            f'num_classes={old}, but the data has {len(classes)} classes; leave num_classes out '
            'and it is taken from the data'
        )
    say_early(f'The data has {len(classes)} classes: the heads get as many, not {old}.')
    carry(cfg._cfg_dict, dict(num_classes=(old, len(classes))))
    cfg.num_classes = len(classes)


def _check_split(datasets: list[dict], whole: list[dict]) -> None:
    """Refuse to rate on images that are trained on."""

    def place(dataset):
        inner = dataset.get('dataset', dataset)
        below = inner['ann_file'] if 'ann_file' in inner else inner.get('folder', 'train')
        return str(Path(inner.get('data_root') or '', below))

    usual = dict(ImageFolder=0.02, LabelledImages=0.02, DatasetPart='auto', UnlabelledImages='auto')
    parts = [d for d in datasets if kind_of(d) in usual]
    for train in (d for d in parts if d.get('part') == 'train'):
        for held in (d for d in parts if d.get('part') == 'holdout' and place(d) == place(train)):
            left_out, rated = (d.get('holdout', usual[kind_of(d)]) for d in (train, held))
            seeds = [d.get('split_seed', 0) for d in (train, held)]
            folds = [(d.get('folds'), d.get('fold')) for d in (train, held)]
            if folds[0] != folds[1]:
                raise ValueError(
                    f'images of {place(train)} would be trained on and rated on: the training '
                    f'part has folds, fold = {folds[0]}, a held-out part {folds[1]}. Give every '
                    'part the same'
                )
            inside = left_out == rated or 'auto' not in (left_out, rated) and rated < left_out
            if not inside or seeds[0] != seeds[1]:
                raise ValueError(
                    f'images of {place(train)} would be trained on and rated on: the training '
                    f'part has holdout={left_out!r}, split_seed={seeds[0]}, a held-out part has '
                    f'holdout={rated!r}, split_seed={seeds[1]}. Give every part the same'
                )
    for held in (d for d in parts if d.get('part') == 'holdout'):
        if kind_of(held) == 'DatasetPart' and any(place(d) == place(held) for d in whole):
            raise ValueError(
                f'images of {place(held)} would be trained on and rated on: the training set '
                "leaves none out. Wrap it in dict(type='cream_mm.DatasetPart', part='train', "
                'dataset=...)'
            )


def _whole_sets(node: object) -> list[dict]:
    """Training sets with an annotation file that are no part of another one, wrappers opened."""
    if isinstance(node, (list, tuple)):
        return [found for item in node for found in _whole_sets(item)]
    if not isinstance(node, dict) or kind_of(node) == 'DatasetPart':
        return []
    own = [node] if node.get('ann_file') and 'type' in node else []
    return own + [found for value in node.values() for found in _whole_sets(value)]


def _check_heads(cfg: Config, num_classes: int) -> None:
    """Refuse a model none of whose heads has outputs for all classes, or a detector with others.

    mmdet's COCO metric knows no category of a label beyond the classes: it would end the first
    validation. A model that reads the classes' names has a fixed number of outputs.
    """
    holders = entries({'model': cfg.get('model')})
    outputs = [holder[key] for holder, key in holders if key == 'num_classes']
    outputs = [number for number in outputs if isinstance(number, int)]
    reads_names = 'language_model' in (cfg.get('model') or {})
    is_exact = bool(coco_metrics(cfg.get('val_evaluator'))) and not reads_names
    if outputs and (max(outputs) < num_classes or is_exact and num_classes not in outputs):
        most = 'has at most' if max(outputs) < num_classes else 'has'
        raise ValueError(
            f'the data has {num_classes} classes, but the model {most} {max(outputs)} '
            f'outputs: set num_classes={num_classes} in its heads'
        )


def _follow_metric(cfg: Config) -> None:
    """The best checkpoint is the best of what a search compares its paths by."""
    metric = (cfg.get('test_cfg') or {}).get('metric')
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if metric and isinstance(checkpoint, dict) and checkpoint.get('save_best'):
        checkpoint.update(save_best=metric, rule='greater')
