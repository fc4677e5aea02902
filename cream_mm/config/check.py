"""Refuses misspelt keys of a config, which mmengine passes over in silence."""

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import Config

from .. import registry as registries
from ..costs.budget import BUDGET_KEYS
from ..files.arch_file import check_next_steps
from ..registry import argument_names, runner_arguments

# Read by the Runner outside its signature, by tools of OpenMMLab, or by this package.
_ALSO_READ = (
    'activation_checkpointing', 'batch_size', 'budget', 'class_balance', 'classes', 'compile',
    'custom_imports', 'data_kind', 'data_root', 'default_scope', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'fold', 'folds', 'full_share', 'input_size', 'input_sizes',
    'label_column', 'latency', 'max_epochs', 'max_minutes', 'min_steps', 'model_wrapper_cfg',
    'multi_label', 'num_classes', 'num_workers', 'own_names', 'runner_type', 'sized_epochs',
    'start', 'strategy', 'sync_bn', 'tracker', 'tta_model', 'tta_pipeline',
)  # fmt: skip
KNOWN_KEYS = sorted({*runner_arguments(), *_ALSO_READ} - {'cfg'})
_OURS = [
    registry for registry in vars(registries).values()
    if isinstance(registry, registries.Registry) and registry.scope == 'cream_mm'
]  # fmt: skip
# Not arguments of the class: taken out by whoever builds it.
_TAKEN_OUT = {'type', '_scope_', '_delete_', 'priority', 'by_epoch', 'convert_to_iter_based'}


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check the dotted keys of ``--cfg-options`` against the config that they are to change.

    Raises:
        ValueError: If the first part of a key is neither in the config nor read by anything, or
            a further part is new in its place and nearly equals what stands there.
    """
    for key in options:
        root = key.split('.')[0]
        if root not in cfg and root not in KNOWN_KEYS:
            raise ValueError(_unknown(root, [*cfg, *KNOWN_KEYS], f'--cfg-options {key}'))
    for key in options:
        root, *rest = key.split('.')
        node = cfg.get(root)
        for part in rest:
            if isinstance(node, Mapping) and part not in node:
                close = difflib.get_close_matches(part, list(node), 1, 0.85)
                if close and _arguments(node) is None:
                    raise ValueError(_unknown(part, close, f'--cfg-options {key}'))
                break
            node = _child(node, part)


def is_settled(cfg: Config, options: Iterable[str]) -> bool:
    """Whether dotted keys, their first parts checked, can be no slips: they stand in the config.

    One that is new in its place, or names a type, has to be compared with what classes take.
    """
    for key in options:
        node: Any = cfg._cfg_dict
        parts = key.split('.')
        for part in parts if len(parts) > 1 else ():
            if part == 'type' or isinstance(node, Mapping) and part not in node:
                return False
            node = _child(node, part)
    return True


def check_keys(cfg: Config) -> None:
    """Check the top level of a config, and the arguments of every type of cream_mm in it.

    Raises:
        ValueError: With the closest known key.
    """
    check_top_level(cfg)
    # Before the search: an answer that names others could not be read.
    check_next_steps((cfg.get('test_cfg') or {}).get('next_steps') or {})
    for key, value in cfg._cfg_dict.items():
        _check_types(value, key)


def check_top_level(cfg: Config) -> None:
    """Check the top level of a config; imports nothing.

    A key at the top level may be a variable of the user's. It is refused if it is not read by
    anything, nearly equals a key that is, is not used in the config's text, and its value
    stands nowhere else: then it can only be a slip. ``own_names`` lists names that are none; it
    is in the copy of its config that a run writes, where what used them has been filled in.

    Raises:
        ValueError: With the closest known key.
    """
    own = cfg.get('own_names', [])
    if not isinstance(own, (list, tuple)) or not all(isinstance(name, str) for name in own):
        raise ValueError(f'own_names is a list of names of the top level; got {own!r}')
    for key in cfg:
        if key not in own and _resembles(key) and not _is_used(cfg, key):
            raise ValueError(_unknown(key, KNOWN_KEYS, 'the top level of the config'))
    if isinstance(cfg.get('budget'), Mapping):
        _check_names(cfg['budget'], BUDGET_KEYS, 'budget')


# ---- the top level -----------------------------------------------------------------------------


def own_names(cfg: Config) -> list[str]:
    """Names at the top level that look like slips; of a config that was checked, they are none."""
    return sorted({*cfg.get('own_names', []), *filter(_resembles, cfg)})


def _resembles(key: str) -> bool:
    """Whether a name that nothing reads is a slip away from one that is read."""
    if key in KNOWN_KEYS:
        return False
    # 0.8 is one slip in a short word; in a long one it is another word with the same end.
    close = difflib.get_close_matches(key, KNOWN_KEYS, 1, 0.8 if len(key) <= 8 else 0.85)
    if not close or re.search(rf'(^|_){close[0]}(_|$)', key):  # val_dataloader_2: on purpose
        return False
    words, others = key.split('_'), close[0].split('_')
    if len(words) != len(others):
        return True
    # test_pipeline is no misspelt tta_pipeline: a slip leaves each word close to itself.
    return all(difflib.SequenceMatcher(None, *pair).ratio() >= 0.7 for pair in zip(words, others))


def _is_used(cfg: Config, name: str) -> bool:
    """Whether a config reads its own variable: by its name, or what mmengine made of it."""
    word = re.escape(name)
    text = re.sub(rf'(?m)^\s*{word}\s*=(?!=)', '', cfg.text or '')
    if re.search(rf'\b{word}\b', text):
        return True
    value = cfg[name]
    if value in (None, True, False, 0, 1, '', [], {}):
        return False  # stands in every config
    others = (other for key, other in cfg.items() if key != name)
    return any(_holds(other, value) for other in others)


def _holds(node: Any, value: Any) -> bool:
    if type(node) is type(value) and node == value:
        return True
    inner = node.values() if isinstance(node, Mapping) else node
    return isinstance(node, (Mapping, list, tuple)) and any(_holds(n, value) for n in inner)


# ---- arguments of our types --------------------------------------------------------------------


def _check_types(node: Any, where: str) -> None:
    if isinstance(node, (list, tuple)):
        for i, item in enumerate(node):
            _check_types(item, f'{where}.{i}')
    if not isinstance(node, Mapping):
        return
    known = _arguments(node)
    if known is not None:
        _check_names(node, known, where, str(node['type']))
        for key, names in _inner_names(_find(node['type'])).items():
            inner = node.get(key)
            if isinstance(inner, Mapping) and _arguments(inner) is None:  # else by its own type
                _check_names(inner, names, f'{where}.{key}')
    for key, value in node.items():
        _check_types(value, f'{where}.{key}')


def _check_names(node: Mapping, known: Iterable[str], where: str, of: str = '') -> None:
    known = set(known)
    for key in node:
        if key not in known | _TAKEN_OUT:
            raise ValueError(_unknown(key, known, f'{where} ({of})' if of else where))


def _arguments(node: Mapping) -> set[str] | None:
    """Arguments that the type of a component takes; None if it is not ours, or takes any."""
    cls = _find(node.get('type'))
    return None if cls is None else argument_names(cls)


def _find(kind: Any):
    """The class of ours that ``type=`` names.

    Raises:
        ValueError: If the name has our scope, and there is no such class.
    """
    if inspect.isclass(kind) or inspect.isfunction(kind):
        return kind if kind.__module__.split('.')[0] == 'cream_mm' else None
    scope, _, name = str(kind).rpartition('.')
    if scope.split('.')[0] != 'cream_mm':
        return None
    for registry in _OURS:
        registry.import_from_location()
        if name in registry.module_dict:
            return registry.module_dict[name]
    if scope != 'cream_mm':  # in full, of what is not registered
        return None
    names = [name for registry in _OURS for name in registry.module_dict]
    raise ValueError(_unknown(name, names, f'type={kind!r}', what='type'))


def _inner_names(cls) -> dict[str, set[str]]:
    """Arguments of plain dictionaries, without a type of their own, inside a component."""
    return cls.nested_arguments() if hasattr(cls, 'nested_arguments') else {}


def _child(node: Any, part: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(part)
    if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    return None


def _unknown(key: str, known: Iterable[str], where: str, what: str = 'key') -> str:
    close = difflib.get_close_matches(str(key), list(known), 1, 0.6)
    hint = f'; did you mean {close[0]!r}?' if close else f'; it knows {", ".join(sorted({*known}))}'
    return f'unknown {what} {key!r} in {where}{hint}'
