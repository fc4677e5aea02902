"""Carries a top-level value of a config to every place that was made from the old one.

mmengine fills variables in when it reads a file. A value that comes later, with ``--cfg-options``
or in a config that inherits, changes the variable and nothing that was made from it. Here it
reaches those places, by the same rules in both cases; what is set explicitly beside it stays.
"""

import ast
import copy
import math
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..registry import runner_arguments, type_name
from .pair import is_pair, paired

# Read by the Runner where they stand: no variables that anything else is made from.
RUNNER_KEYS = frozenset(runner_arguments()) - {'cfg'}
# Variables that stand for something in our configs: to set one that reaches nothing is a mistake.
VARIABLES = (
    'batch_size', 'budget', 'data_root', 'input_size', 'max_epochs', 'num_classes', 'num_workers',
    'scale',
)  # fmt: skip

# Under which names the size of images stands.
_SIZES = dict(
    input_size=('input_size', 'scale', 'crop_size'),
    scale=('scale', 'img_scale', 'crop_size', 'size', 'input_size'),
)

# Under which other name a value stands.
_ALIASES = dict(teacher_weights='checkpoint')

# Where a config names the data sets that a run builds.
DATA_KEYS = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'custom_hooks', 'test_cfg')

Changes = dict[str, tuple[Any, Any]]  # old and new value, by name
Places = dict[str, list[str]]  # where a value went, dotted, by name
_Path = tuple[str | int, ...]


def read_config(path: str | Path) -> tuple[Config, Places]:
    """``Config.fromfile``, but what a file sets reaches the places that it inherits.

    A place that the file sets itself keeps that. New-style configs (``with read_base()``) are read
    as mmengine reads them.

    Returns:
        tuple[Config, Places]: The config, and for each name where its value was carried to.

    Raises:
        ValueError: If a value cannot be carried: an ``input_size`` of two numbers, say.
    """
    reader = _Reader()
    plain = Config.__dict__['_file2dict']
    Config._file2dict = reader  # mmengine reads the files that a file inherits from by this name
    try:
        return Config.fromfile(str(path)), reader.places
    finally:
        Config._file2dict = plain


def override(cfg: Config, options: Mapping[str, Any]) -> Places:
    """Merge ``options`` (dotted keys) into ``cfg``, and carry top-level values on.

    Returns:
        Places: For each name where its value was carried to.

    Raises:
        ValueError: As :func:`read_config`.
    """
    options = {key: _as_before(cfg, key, value) for key, value in options.items()}
    merged = copy.deepcopy(cfg)
    merged.merge_from_dict(copy.deepcopy(options))
    given = {key.split('.')[0] for key in options}
    changes = _changes(cfg, merged)
    carry(cfg._cfg_dict, changes, given)
    before = copy.deepcopy(cfg._cfg_dict)
    cfg.merge_from_dict(options)
    _follow(before, cfg._cfg_dict, given)
    return _places(merged._cfg_dict, cfg._cfg_dict, changes)


def _as_before(cfg: Config, key: str, value: Any) -> Any:
    """A list from a command line as a tuple, where a tuple was: mmcv's Resize takes no list."""
    node: Any = cfg
    for part in key.split('.'):
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            node = node.get(part) if isinstance(node, Mapping | Config) else None
    return tuple(value) if isinstance(node, tuple) and isinstance(value, list) else value


def set_values(base: dict, **values: Any) -> None:
    """Give top-level values of an inherited config new ones, in every place that uses them.

    For a config file, which plain mmengine then reads as ``tools/train.py`` does; one without
    this call, that only assigns ``input_size = 64``, has to be opened by
    :func:`cream_mm.config.load_config`.

    Args:
        base (dict): ``_base_`` of the file; changed in place.
        **values: The new values, by name.

    Raises:
        KeyError: If the inherited config has no such name.
        ValueError: As :func:`read_config`.
    """
    for name in values:
        if name not in base:
            raise KeyError(f'{name} is no name of the inherited config')
    new = copy.deepcopy(values)
    if not isinstance(Config.__dict__['_file2dict'], _Reader):  # which carries it, as an assignment
        carry(base, _changes(base, new), values)
    base.update(new)


def carry(content: dict, changes: Changes, given: Collection[str] = ()) -> None:
    """Bring new values to the nested entries that were made from the old ones, in place.

    Args:
        content (dict): A config with the old values. Its top-level entries of the changed names
            stay as they are.
        changes (Changes): What was and what is to be.
        given (Collection[str]): Names that were set explicitly. ``switch_epoch`` among them does
            not move with ``max_epochs``.
    """
    # Lists and dictionaries first: they may hold what the other values are carried to.
    ordered = sorted(changes.items(), key=lambda c: not isinstance(c[1][1], (dict, list, tuple)))
    for name, (old, new) in ordered:
        if name not in RUNNER_KEYS:
            _carry_one(content, name, old, new, given)


def _carry_one(content: dict, name: str, old: Any, new: Any, given: Collection[str]) -> None:
    if name == 'scale' and _is_size(old):
        _rescale(content, old, new)
        return
    names = (name, _ALIASES.get(name))
    for holder, key in list(entries(content)):
        value = holder[key]
        if holder is not content and key in names and _plain(value) == _plain(old):
            holder[key] = copy.deepcopy(new)
        elif name == 'data_root' and _below(value, old) and isinstance(new, str):
            holder[key] = os.path.join(new, value[len(old) :].lstrip('/'))
    if name == 'max_epochs':
        factor = _factor(old, new)
        _stretch(content.get('param_scheduler'), factor)
        if 'switch_epoch' not in given:
            _move_switches(content, lambda epoch: max(1, round(epoch * factor)))
    elif name == 'switch_epoch':
        _move_intervals(content, lambda epoch: new if epoch == old else epoch)
    elif name == 'input_size':
        _resize(content, old, new)


# ---- reading files -----------------------------------------------------------------------------


class _Reader:
    """Stands in for ``Config._file2dict``: a file finds its own values in what it inherits.

    A file is read once as it is, which tells its values. They are carried within the content of
    the files it inherits from, and it is read again on top of that. So a place that the file sets
    itself keeps what is set there, and what it takes from ``_base_`` is right, too.
    """

    def __init__(self):
        self.places: Places = {}
        self._read = Config._file2dict
        self._bases: list[tuple] = []  # of the file that is being read, as they were read
        self._ready: list[tuple] = []  # the same, to be handed out when it is read again

    def __call__(self, filename, *args, **kwargs) -> tuple:
        if self._ready:
            return self._ready.pop(0)
        outer, self._bases = self._bases, []
        result = self._read(filename, *args, **kwargs)
        bases, self._bases = self._bases, outer
        if bases:
            result = self._carried(result, bases, filename, *args, **kwargs)
        outer.append(copy.deepcopy(result))  # a config may change what it inherits in place
        return result

    def _carried(self, result: tuple, bases: list[tuple], filename, *args, **kwargs) -> tuple:
        plain = result[0]
        inherited = {key: value for base in bases for key, value in base[0].items()}
        changes, given = _changes(inherited, plain), _assigned(filename)
        carried = copy.deepcopy(inherited)
        carry(carried, changes, given)
        content = plain
        if carried != inherited:
            self._ready = [
                ({key: copy.deepcopy(carried[key]) for key in b[0]}, *b[1:]) for b in bases
            ]
            result = self._read(filename, *args, **kwargs)
            content = result[0]
            if any(content.get(name) != plain[name] for name in _scalars(changes)):
                # A value is made from an inherited place that it is carried to. Then the first
                # reading counts, and what it took over unchanged.
                content = _merge(plain, inherited, carried)
        _follow(carried, content, given)
        self.places.update(_places(plain, content, changes))
        return content, *result[1:]


def _assigned(path: str) -> set[str]:
    """Names that a config file assigns, or hands to :func:`set_values`."""
    try:
        tree = ast.parse(Path(path).read_text(encoding='utf-8'))
    except SyntaxError:  # before mmengine has filled in its templates
        return set()
    nodes = list(ast.walk(tree))
    names = (node for node in nodes if isinstance(node, ast.Name))
    calls = (node for node in nodes if isinstance(node, ast.Call))
    set_here = {k.arg for c in calls if getattr(c.func, 'id', '') == set_values.__name__
                for k in c.keywords if k.arg}  # fmt: skip
    return {node.id for node in names if isinstance(node.ctx, ast.Store)} | set_here


def _merge(own: Any, old: Any, new: Any) -> Any:
    """``own``, but ``new`` wherever it is still ``old``."""
    if _plain(own) == _plain(old):
        return copy.deepcopy(new)
    if all(isinstance(node, dict) for node in (own, old, new)):
        both = [key for key in own if key in old and key in new]
        return type(own)({**own, **{key: _merge(own[key], old[key], new[key]) for key in both}})
    is_list = all(isinstance(node, (list, tuple)) for node in (own, old, new))
    if is_list and len(own) == len(old) == len(new):
        return type(own)(_merge(*triple) for triple in zip(own, old, new))
    return own


def _changes(before: Mapping, after: Mapping) -> Changes:
    return {
        name: (copy.deepcopy(before[name]), copy.deepcopy(after[name]))
        for name in before
        if name in after and _plain(before[name]) != _plain(after[name])
    }


def _scalars(changes: Changes) -> list[str]:
    """Names whose value is one: the same, however often it is computed from the same.

    A list or dictionary, and a path below data_root, may hold what another name is carried to.
    """
    root = changes.get('data_root', (None,))[0]
    values = {name: new for name, (_, new) in changes.items() if name not in RUNNER_KEYS}
    return [
        n
        for n, v in values.items()
        if not isinstance(v, (dict, list, tuple)) and not _below(v, root)
    ]


def _follow(before: Mapping, after: dict, given: Collection[str]) -> None:
    """Where testing was validation, and a metric read its dataset's annotations, it stays so."""
    for kind in ('dataloader', 'evaluator'):
        val, test = f'val_{kind}', f'test_{kind}'
        tied = before.get(val) is not None and is_pair(before[val], before.get(test))
        if tied and test not in given and after.get(val) not in (None, before[val]):
            after[test] = paired(after[test], after[val])
    for side in ('val', 'test'):
        old, new = before.get(f'{side}_evaluator'), after.get(f'{side}_evaluator')
        if not isinstance(old, dict) or not isinstance(new, dict) or not old.get('ann_file'):
            continue
        was, now = (annotation_file(c.get(f'{side}_dataloader')) for c in (before, after))
        if now and old['ann_file'] == was == new.get('ann_file'):
            new['ann_file'] = now


def annotation_file(loader: Mapping | None) -> str | None:
    """The annotation file of a loader's COCO-style dataset."""
    dataset = (loader or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):  # a part of another one
        dataset = dataset['dataset']
    if type_name(dataset.get('type')) != 'CocoDataset' or not dataset.get('ann_file'):
        return None
    return os.path.join(dataset.get('data_root') or '', dataset['ann_file'])


# ---- where values went -------------------------------------------------------------------------


def _places(plain: dict, carried: dict, changes: Changes) -> Places:
    """What differs between two configs, by the name that it is due to; what nothing reads is out.

    A name of :data:`VARIABLES` whose value stands nowhere else has no places.
    """
    changes = {name: values for name, values in changes.items() if name not in RUNNER_KEYS}
    found: dict[str, dict[str, None]] = defaultdict(dict)

    def walk(before: Any, after: Any, path: _Path) -> None:
        if _plain(before) == _plain(after):
            return
        key = next(part for part in reversed(path) if isinstance(part, str))
        if (name := _cause(key, before, after, path, changes)) is not None:
            # A schedule is one place, whatever numbers of it were stretched.
            path = path[:2] if path[0] == 'param_scheduler' else path
            found[name]['.'.join(map(str, path))] = None
        elif isinstance(before, dict) and isinstance(after, dict):
            for part in after:
                walk(before.get(part), after[part], (*path, part))
        elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
            for i, pair in enumerate(zip(before, after)):
                walk(*pair, (*path, i))

    for key in RUNNER_KEYS & carried.keys():
        walk(plain.get(key), carried[key], (key,))
    for name in changes.keys() & set(VARIABLES):
        new, keys = _plain(changes[name][1]), _SIZES.get(name, (name,))
        used = {k: carried[k] for k in RUNNER_KEYS & carried.keys()}
        if not any(k in keys and _plain(holder[k]) == new for holder, k in entries(used)):
            found.setdefault(name, {})
    return {name: sorted(paths) for name, paths in found.items()}


def _cause(key: str, before: Any, after: Any, path: _Path, changes: Changes) -> str | None:
    """The name because of which an entry changed."""
    if key in changes:
        old, new = changes[key]
        if _plain(before) == _plain(old) and _plain(after) == _plain(new):
            return key
    for name, alias in _ALIASES.items():
        if key == alias and _plain((before, after)) == _plain(changes.get(name)):
            return name
    if isinstance(after, dict):
        return None
    if 'data_root' in changes and _below(before, changes['data_root'][0]):
        return 'data_root'
    for name, keys in _SIZES.items():
        if name in changes and key in keys:
            return name
    switches = key in ('switch_epoch', 'dynamic_intervals')
    if 'max_epochs' in changes and (switches or path[0] == 'param_scheduler' and len(path) > 2):
        return 'max_epochs'
    return 'switch_epoch' if 'switch_epoch' in changes and switches else None


# ---- the rules ---------------------------------------------------------------------------------


def entries(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below a nested config."""
    for key, value in _items(node):
        if isinstance(node, dict):
            yield node, key
        yield from entries(value)


def places_below(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every (dotted place, value) below a nested config that stands at ``place``."""
    for key, value in _items(node):
        yield f'{place}.{key}', value
        yield from places_below(value, f'{place}.{key}')


def _items(node: Any) -> list[tuple[Any, Any]]:
    """As they are now: who walks over them may change the node."""
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, (list, tuple)) else []


def _plain(value: Any) -> Any:
    """Lists and tuples compare equal."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _below(path: Any, folder: Any) -> bool:
    is_text = isinstance(path, str) and isinstance(folder, str) and folder
    return bool(is_text) and path.startswith(folder.rstrip('/') + '/')


def _factor(old: Any, new: Any) -> float:
    for value in (old, new):
        if not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise ValueError(f'max_epochs is a number of epochs, 1 or more; got {value!r}')
    return new / old


def _stretch(schedulers: Any, factor: float) -> None:
    """Fit schedules counted in epochs to another number of epochs."""
    for scheduler in schedulers if isinstance(schedulers, (list, tuple)) else []:
        if not isinstance(scheduler, dict) or not scheduler.get('by_epoch', True):
            continue
        for key in ('begin', 'end', 'T_max', 'total_iters', 'patience'):
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


def _move_switches(content: dict, move) -> None:
    """Epochs at which a run changes its pipeline or its validation interval."""
    for holder, key in list(entries(content)):
        if key == 'switch_epoch':
            holder[key] = move(holder[key])
    _move_intervals(content, move)


def _move_intervals(content: dict, move) -> None:
    for holder, key in list(entries(content)):
        if key == 'dynamic_intervals' and holder[key]:
            holder[key] = [(move(at), every) for at, every in holder[key]]


def _resize(content: dict, old: int, new: int) -> None:
    """Carry ``input_size`` to crops, and to the resize before a centre crop."""
    if not isinstance(new, int):
        raise ValueError(f'input_size is one number, the side of the square crop; got {new!r}')
    for holder, key in list(entries(content)):
        if key in ('scale', 'crop_size') and holder[key] == old:
            holder[key] = new
        elif key == 'scale' and isinstance(old, int) and holder[key] == round(old / 0.875):
            holder[key] = round(new / 0.875)


def _rescale(content: dict, old: Any, new: Any) -> None:
    """Carry ``scale``, a detector's (width, height), to whatever has these sides, or twice them.

    What the budget refers to, ``costs.input_size``, is (height, width).
    """
    if not _is_size(new):
        raise ValueError(
            f'scale is two whole numbers, width and height in pixels, as in scale=[1333,800]; got '
            f'{new!r}'
        )
    old, new = tuple(old), tuple(new)
    twice = [tuple(2 * side for side in pair) for pair in (old, new)]
    for holder, key in list(entries(content)):
        if not isinstance(key, str) or key not in _SIZES['scale'] or holder is content:
            continue
        value = _plain(holder[key])
        if key == 'input_size':
            if value in (list(old[::-1]), [old[0]] * 2) or value == old[0] == old[1]:
                holder[key] = new[::-1]
        elif value == list(old):
            holder[key] = new
        elif value == list(twice[0]):
            holder[key] = twice[1]


def _is_size(value: Any) -> bool:
    is_pair_of = isinstance(value, (list, tuple)) and len(value) == 2
    return is_pair_of and all(type(side) is int and side > 0 for side in value)
