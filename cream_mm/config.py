"""Reads a config, carries command-line values to every place that uses them, checks the data.

mmengine fills variables in when it reads a config, so that ``--cfg-options data_root=X`` would
change the variable and nothing that was made from it. Here it reaches every such place.
"""

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from .config_check import check_keys, check_options
from .config_pair import is_pair, paired
from .datasets.image_folder import list_classes


def load_config(path: str, options: dict | None = None, *, check_data: bool = True) -> Config:
    """Read a config file for a run.

    Args:
        path (str): The config file.
        options (dict, optional): Overrides, dotted keys allowed, as from ``--cfg-options``. A
            top-level value such as ``data_root``, ``num_classes``, ``batch_size``,
            ``max_epochs``, ``input_size`` or ``budget.macs_m`` is carried to every nested entry
            of that name that held the old value; ``max_epochs`` also stretches the schedules.
        check_data (bool): Look at the data: its folders must be there, and the number of classes
            and their names are taken from it. Defaults to True.

    Raises:
        FileNotFoundError: If the config or the data is missing; says what is expected where.
        ValueError: If the data and the config contradict each other, a key is misspelt, or the
            config is not a ``.py`` file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no config file {path}')
    if not str(path).endswith('.py'):
        # YAML looks like data, but mmengine builds any object that a tag in it names.
        raise ValueError(f'a config is a .py file; got {path}. Write its content as Python')
    cfg = Config.fromfile(path)
    options = dict(options or {})
    check_options(cfg, options)
    tied = [
        kind for kind in ('dataloader', 'evaluator')
        if is_pair(cfg.get(f'val_{kind}'), cfg.get(f'test_{kind}'))
    ]  # fmt: skip
    override(cfg, options)
    check_keys(cfg)
    for kind in tied:
        if cfg.get(f'val_{kind}') is not None and not any(k.startswith('test_') for k in options):
            cfg[f'test_{kind}'] = paired(cfg[f'test_{kind}'], cfg[f'val_{kind}'])
    for side in ('train', 'val', 'test'):
        loader = cfg.get(f'{side}_dataloader')
        if loader and loader.get('num_workers') == 0:
            loader.persistent_workers = False  # torch refuses it without workers
    _follow_annotations(cfg, options)
    if check_data:
        _fit_to_data(cfg, chosen='num_classes' in options)
    return cfg


def override(cfg: Config, options: dict) -> None:
    """Merge ``options`` (dotted keys) into ``cfg`` and carry top-level values on."""
    roots = {key.split('.')[0] for key in options}
    before = {root: copy.deepcopy(cfg[root]) for root in roots if root in cfg}
    cfg.merge_from_dict(options)
    for root, old in before.items():
        _carry(cfg, root, old, cfg[root])
    if 'max_epochs' in before and 'switch_epoch' not in roots:
        _move_switches(cfg, cfg.max_epochs / before['max_epochs'])


# ---- carrying a value --------------------------------------------------------------------------


def _carry(cfg: Config, name: str, old: Any, new: Any) -> None:
    if _plain(old) == _plain(new):
        return
    for holder, key in list(_entries(cfg._cfg_dict)):
        value = holder[key]
        if holder is not cfg._cfg_dict and key == name and _plain(value) == _plain(old):
            holder[key] = new
        elif name == 'data_root' and isinstance(value, str) and _below(value, old):
            holder[key] = os.path.join(new, value[len(old) :].lstrip('/'))
    if name == 'max_epochs':
        _stretch(cfg.get('param_scheduler'), new / old)
    if name == 'input_size':
        _resize(cfg, old, new)


def _entries(node):
    """Every (container, key) below a nested config."""
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    else:
        return
    for key, value in list(items):
        if isinstance(node, dict):
            yield node, key
        yield from _entries(value)


def _plain(value):
    """Lists and tuples compare equal."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _below(path: str, folder: str) -> bool:
    return bool(folder) and path.startswith(folder.rstrip('/') + '/')


def _stretch(schedulers, factor: float) -> None:
    """Fit schedules counted in epochs to another number of epochs."""
    for scheduler in schedulers or []:
        if not scheduler.get('by_epoch', True):
            continue
        for key in ('begin', 'end', 'T_max', 'total_iters'):
            if scheduler.get(key):
                scheduler[key] = max(1, round(scheduler[key] * factor))
        for key in ('warmup_epochs', 'decay_epochs'):  # of cream_mm's: may be fractions
            if key in scheduler:
                scheduler[key] = scheduler[key] * factor
        if scheduler.get('end', math.inf) <= scheduler.get('begin', 0):
            scheduler['begin'] = scheduler['end'] - 1
        if 'milestones' in scheduler:
            scheduler['milestones'] = [max(1, round(m * factor)) for m in scheduler['milestones']]
        # A ramp of a single epoch has no second epoch to arrive in: let it move every iteration.
        scheduler['convert_to_iter_based'] = True


def _move_switches(cfg: Config, factor: float) -> None:
    """Epochs at which a run changes its pipeline or its validation interval."""
    for holder, key in list(_entries(cfg._cfg_dict)):
        if key == 'switch_epoch':
            holder[key] = max(1, round(holder[key] * factor))
        elif key == 'dynamic_intervals':
            holder[key] = [(max(1, round(at * factor)), every) for at, every in holder[key]]


def _resize(cfg: Config, old: int, new: int) -> None:
    """Carry ``input_size`` to crops, and to the resize before a centre crop."""
    if not isinstance(new, int):
        raise ValueError(f'input_size is one number, the side of the square crop; got {new!r}')
    for holder, key in list(_entries(cfg._cfg_dict)):
        if key in ('scale', 'crop_size') and holder[key] == old:
            holder[key] = new
        elif key == 'scale' and holder[key] == round(old / 0.875):
            holder[key] = round(new / 0.875)


# ---- looking at the data -----------------------------------------------------------------------


def _datasets(cfg: Config) -> list[ConfigDict]:
    """Every dataset config that a run will build, wrappers opened."""
    used = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'custom_hooks', 'test_cfg')
    found = []
    for holder, key in _entries({name: cfg.get(name) for name in used}):
        value = holder[key]
        if isinstance(value, dict) and 'data_root' in value and 'type' in value:
            found.append(value)
    return found


def _kind(component: dict) -> str:
    """Type of a component without its scope."""
    return str(component.get('type', '')).split('.')[-1]


def _fit_to_data(cfg: Config, chosen: bool) -> None:
    datasets = _datasets(cfg)
    classes = None
    for dataset in datasets:
        if _kind(dataset) == 'ImageFolder':
            list_classes(dataset['data_root'], dataset.get('folder', 'train'))
            classes = list_classes(dataset['data_root'])
        elif _kind(dataset) == 'CocoDataset':
            _check_coco(dataset)
    coco = [d for d in datasets if _kind(d) == 'CocoDataset']
    if coco:
        classes = _coco_classes(coco)
        for dataset in coco:
            dataset['metainfo'] = dict(dataset.get('metainfo') or {}, classes=tuple(classes))
    for evaluator in (cfg.get('val_evaluator'), cfg.get('test_evaluator')):
        if classes and isinstance(evaluator, dict) and _kind(evaluator) == 'Accuracy':
            topk = evaluator.get('topk', (1,))
            topk = topk if isinstance(topk, (list, tuple)) else (topk,)
            evaluator['topk'] = tuple(k for k in topk if k <= len(classes))
    if classes is not None:
        names = cfg.get('classes')
        cfg.classes = tuple(classes)  # for whoever goes on from the dumped config
        if names is not None:
            _carry(cfg, 'classes', names, cfg.classes)
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
    print_log(f'The data has {len(classes)} classes: the heads get as many, not {old}.', 'current')
    cfg.num_classes = len(classes)
    _carry(cfg, 'num_classes', old, len(classes))


def _check_heads(cfg: Config, num_classes: int) -> None:
    """Refuse a model none of whose heads has outputs for all classes."""
    holders = _entries({'model': cfg.get('model')})
    outputs = [holder[key] for holder, key in holders if key == 'num_classes']
    outputs = [number for number in outputs if isinstance(number, int)]
    if outputs and max(outputs) < num_classes:
        raise ValueError(
            f'the data has {num_classes} classes, but the model has at most {max(outputs)} '
            f'outputs: set num_classes={num_classes} in its heads'
        )


def _coco_paths(dataset: dict) -> tuple[Path, Path]:
    prefix = dataset.get('data_prefix') or {}
    root = Path(dataset['data_root'])
    return root / dataset['ann_file'], root / prefix.get('img', '')


def _check_coco(dataset: dict) -> None:
    annotations, images = _coco_paths(dataset)
    if annotations.is_file() and images.is_dir():
        return
    what = f'annotation file {annotations}' if images.is_dir() else f'image folder {images}'
    root = str(dataset['data_root']).rstrip('/')
    raise FileNotFoundError(
        f'no {what}. A COCO-style set is expected like this:\n'
        f'  {root}/annotations/instances_train2017.json\n'
        f'  {root}/annotations/instances_val2017.json\n'
        f'  {root}/train2017/*.jpg\n'
        f'  {root}/val2017/*.jpg\n'
        'Name another place with: --cfg-options data_root=FOLDER\n'
        'and other names below it with: train_dataloader.dataset.ann_file=FILE '
        'train_dataloader.dataset.data_prefix.img=FOLDER/ (val_dataloader likewise)'
    )


def _coco_classes(datasets: list[dict]) -> list[str]:
    """Category names in the order of the annotation files, which must agree."""
    names: dict[str, list[str]] = {}
    for dataset in datasets:
        path, _ = _coco_paths(dataset)
        if str(path) not in names:
            try:
                content = json.loads(path.read_text())
                names[str(path)] = [category['name'] for category in content['categories']]
                wrong = _wrong_annotation(content)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(f'{path} is not a COCO annotation file: {error!r}') from None
            if wrong:
                raise ValueError(f'{path}: {wrong}. Correct the annotation or remove it')
    (first, classes), *others = names.items()
    for path, other in others:
        if other != classes:
            raise ValueError(
                f'{first} and {path} list different categories, or in another order; labels '
                f'would not agree. {classes[:5]}... against {other[:5]}...'
            )
    return classes


def _wrong_annotation(content: dict) -> str | None:
    """The first annotation of something that the file does not list; mmdet would drop it."""
    categories = {category['id'] for category in content['categories']}
    images = {image['id'] for image in content['images']}
    for annotation in content.get('annotations', []):
        for key, known in (('category_id', categories), ('image_id', images)):
            if annotation[key] not in known:
                which = 'categories' if key == 'category_id' else 'images'
                name = annotation.get('id')
                return f'annotation {name} has {key}={annotation[key]!r}, not one of its {which}'
    return None


def _follow_annotations(cfg: Config, options: dict) -> None:
    """Give a CocoMetric the annotation file of the dataset it measures."""
    for side in ('val', 'test'):
        evaluator, loader = cfg.get(f'{side}_evaluator'), cfg.get(f'{side}_dataloader')
        if not isinstance(evaluator, dict) or _kind(evaluator) != 'CocoMetric' or not loader:
            continue
        chosen = f'{side}_evaluator.ann_file' in options
        if _kind(loader['dataset']) == 'CocoDataset' and not chosen:
            evaluator['ann_file'] = str(_coco_paths(loader['dataset'])[0])
