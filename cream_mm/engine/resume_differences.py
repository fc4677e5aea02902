"""What a resumed run does otherwise than the run that saved the checkpoint."""

from collections.abc import Mapping
from logging import Logger
from typing import Any, NamedTuple

from ..files.config_values import read_values

# Places and names, not what is computed.
_NOT_COMPARED = {
    'custom_imports', 'env_cfg', 'experiment_name', 'filename', 'launcher', 'load_from',
    'log_level', 'log_processor', 'resume', 'tracker', 'vis_backends', 'visualizer', 'work_dir',
}  # fmt: skip
# These go into the state of optimizer and schedules, and the checkpoint's takes their place.
_IN_THE_STATE = ('optim_wrapper.optimizer.', 'optim_wrapper.paramwise_cfg.', 'param_scheduler')
_HARMLESS_KEYS = {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor'}
_HARMLESS = (
    'default_hooks.logger.', 'default_hooks.timer.', 'default_hooks.checkpoint.',
    'default_hooks.tracker',
)  # fmt: skip
# What the weights, the board and the log of paths mean.
_MEANING = (
    'model.backbone.space', 'model.backbone.arch', 'model.backbone.align', 'model.compat',
    'model.teacher.taps', 'model.teacher.backbone.type', 'model.teacher.backbone.arch',
    'model.teacher.backbone.space',
)  # fmt: skip
MAX_LINES = 30


class Difference(NamedTuple):
    """One value of a config, before and now."""

    name: str  # dotted
    was: Any
    now: Any
    num_places: int = 1  # where the same value stood and was changed alike

    @property
    def effect(self) -> str:
        """'refused', 'results', 'none' or 'kept': the state in the checkpoint stays in force."""
        if self.name.split('.')[-1] == 'split_seed' and (self.was, self.now) != (ABSENT, 0):
            return 'refused'  # images that were trained on would be held out
        if self.name.startswith(_MEANING) and not _is_file(self.was) and not _is_file(self.now):
            return 'refused'
        if self.name.startswith(_IN_THE_STATE) and self.name != 'optim_wrapper.optimizer.type':
            return 'kept'
        if self.name.split('.')[-1] in _HARMLESS_KEYS or self.name.startswith(_HARMLESS):
            return 'none'
        return 'results'

    def __str__(self) -> str:
        places = f' ({self.num_places} places)' if self.num_places > 1 else ''
        return f'{self.name} was {_short(self.was)}, is {_short(self.now)}{places}'


class _Absent:
    def __repr__(self) -> str:
        return 'absent'


ABSENT = _Absent()
_EFFECTS = dict(
    refused='',
    results='results change from here on',
    kept="not in effect: the checkpoint's optimizer and schedule go on",
    none='results stay the same',
)


def config_differences(before: str, now: str) -> list[Difference]:
    """Compare the texts of two configs as data; nothing in them is executed.

    A value that stands in several places under one name, such as ``batch_size``, is one difference.

    Args:
        before (str): As mmengine writes it into a checkpoint, ``meta['cfg']``.
        now (str): The same of this run.

    Raises:
        ValueError: If one of them cannot be read.
    """
    old, new = (
        {n: _renamed(v) for n, v in read_values(text).items() if n not in _NOT_COMPARED}
        for text in (before, now)
    )
    for values in (old, new):
        model = values.get('model')
        if isinstance(model, Mapping) and isinstance(mode := model.get('compat', 'fixed'), str):
            values['model'] = {**model, 'compat': dict(mode=mode)}  # the short form
    found: dict[tuple, Difference] = {}
    for name, was, value in _compare(old, new, ''):
        one = Difference(name, was, value)
        key = (name.split('.')[-1], repr(was), repr(value), one.effect)
        known = found.get(key)
        if known is not None:
            name = min(known.name, name, key=lambda text: text.count('.'))
            one = Difference(name, was, value, known.num_places + 1)
        found[key] = one
    order = list(_EFFECTS)
    return sorted(found.values(), key=lambda one: order.index(one.effect))


def tell_differences(before: Any, now: str, logger: Logger) -> None:
    """Log one line for each difference of a resumed run's config.

    Args:
        before (Any): ``meta['cfg']`` of the checkpoint, from a file.
        now (str): This run's config as text.
        logger (logging.Logger): Where to.

    Raises:
        ValueError: If with a difference the weights, or what a search knows about its paths, would
            mean something else.
    """
    try:
        found = config_differences(before if isinstance(before, str) else '', now)
        known = isinstance(before, str)
    except ValueError:
        known = False
    if not known:
        logger.warning(
            'resume: the checkpoint does not tell its config, so nobody can say what differs'
        )
        return
    refused = [str(one) for one in found if one.effect == 'refused']
    if refused:
        raise ValueError(
            f'{"; ".join(refused)}: its weights and what it knows about paths are of that'
        )
    for one in found[:MAX_LINES]:
        logger.warning(f'resume: {one}: {_EFFECTS[one.effect]}')
    if len(found) > MAX_LINES:
        logger.warning(f'resume: {len(found) - MAX_LINES} more values differ')
    names = {one.name.split('.')[-1] for one in found}
    if any(one.effect == 'kept' for one in found) or 'batch_size' in names:
        logger.warning(
            "resume: learning rates and their schedule are the checkpoint's, counted in its steps; "
            'to train on from its weights with others, give it as load_from instead of --resume'
        )


def check_classes(before: Any, now: Any) -> None:
    """Compare the names of the classes, of the checkpoint's ``dataset_meta`` and of the data set.

    Raises:
        ValueError: If both are known and differ: labels would mean something else.
    """
    old, new = _classes(before), _classes(now)
    if not old or not new:
        return
    if len(old) != len(new):
        raise ValueError(f'it knows {len(old)} classes, and the data has {len(new)}')
    for i, (one, other) in enumerate(zip(old, new)):
        if one != other:
            raise ValueError(f'its class {i} is {_short(one)}, that of the data {_short(other)}')


def _classes(meta: Any) -> list[str]:
    classes = meta.get('classes') if isinstance(meta, Mapping) else None
    is_list = isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes)
    return list(classes) if is_list else []


def _compare(old: Any, new: Any, where: str):
    """Every (dotted name, before, now) that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            place = f'{where}.{key}' if where else str(key)
            yield from _compare(old.get(key, ABSENT), new.get(key, ABSENT), place)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        nested = any(isinstance(item, Mapping) for item in (*old, *new))
        if nested and len(old) == len(new):
            for i, pair in enumerate(zip(old, new)):
                yield from _compare(*pair, f'{where}.{i}')
        elif _plain(old) != _plain(new):
            yield where, old, new
    elif old != new:
        yield where, old, new


def _renamed(node: Any) -> Any:
    """A step of a pipeline that has another name since, and does the same."""
    if isinstance(node, Mapping):
        node = {key: _renamed(value) for key, value in node.items()}
        if (node.get('type'), node.get('on_error')) == ('cream_mm.LoadImage', 'partial'):
            del node['on_error']
            node['type'] = 'cream_mm.LoadImageFromFile'
        return node
    if isinstance(node, (list, tuple)):
        return type(node)(_renamed(item) for item in node)
    return node


def _plain(value: Any) -> Any:
    """Lists and tuples are the same in a config."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _is_file(value: Any) -> bool:
    """An architecture in a file: another path may be the same one; shapes are compared anyway."""
    return isinstance(value, str) and value.endswith('.json')
