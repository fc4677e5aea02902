"""Puts weights of a file into a model, and says how many; what was not loaded is refused.

PyTorch and mmengine pass over names that do not fit, and train on from random weights.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import Module

from ...checkpoints.load_weights import (
    OPTIONAL,
    WRAPPERS,
    count_tensors,
    find_mismatch,
    fitting,
    missing_names,
    name_some,
    prefixes,
    surplus_names,
    without_wrappers,
)
from ...registry import type_name
from ...spaces import ElasticSpace, MBConvSpace
from ...structures import Arch
from .fixed_network import network_class
from .published import published_nets
from .published_weights import read_weights

MIN_LOADED = 0.9
"""Share of the tensors of other people's backbones that a file has to hold."""
NEW_CLASSIFIER = 0.01
"""Deviation of the weights of a classifier behind a head that was loaded."""
_PREFIX = re.compile(r'(?:module\.|_orig_mod\.|model\.|backbone\.)*')

# ---- a backbone --------------------------------------------------------------------------------


def init_backbone(module: Module, initialize: Any, plain_init_weights: Any) -> None:
    """``init_weights`` of a backbone of ours, once; later calls are mmengine's warning.

    Args:
        module (BaseModule): The backbone. Its ``init_cfg`` may hold, by itself or in a list,
            ``dict(type='Pretrained', checkpoint=FILE_OR_NAME)``: see :func:`load_backbone`.
        initialize (Callable): Sets the weights that a file, if any, is then loaded over.
        plain_init_weights (Callable): That of the base class, for the other ``init_cfg``.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_backbone`.
    """
    _init(module, initialize, plain_init_weights, load_backbone)


def init_head(module: Module, initialize: Any, plain_init_weights: Any) -> None:
    """``init_weights`` of a head of ours, as :func:`init_backbone`; see :func:`load_head`."""
    _init(module, initialize, plain_init_weights, load_head)


def _init(module: Module, initialize: Any, plain_init_weights: Any, load: Any) -> None:
    if module.is_init:
        return plain_init_weights()
    initialize(module)
    all_cfgs = module.init_cfg
    cfgs = all_cfgs if isinstance(all_cfgs, (list, tuple)) else [all_cfgs] if all_cfgs else []
    files = [cfg for cfg in cfgs if is_pretrained(cfg)]
    module.init_cfg = [cfg for cfg in cfgs if not is_pretrained(cfg)]
    try:
        plain_init_weights()
    finally:
        module.init_cfg = all_cfgs
    for cfg in files:
        cfg = {key: value for key, value in cfg.items() if key not in ('type', 'map_location')}
        unknown = sorted(cfg.keys() - {'checkpoint', 'prefix', 'partial', '_scope_'})
        if unknown or not cfg.get('checkpoint'):
            raise ValueError(
                "init_cfg is dict(type='Pretrained', checkpoint=FILE), prefix=... and partial=True "
                f'are optional; got {cfg}'
            )
        load(module, cfg['checkpoint'], cfg.get('prefix'), cfg.get('partial', False))


def is_pretrained(cfg: Mapping) -> bool:
    """Whether an initialisation loads a file."""
    return type_name(cfg.get('type')) in ('Pretrained', 'PretrainedInit')


def load_backbone(
    module: Module, path: str | Path, prefix: str | None = None, partial: bool = False
) -> None:
    """Load every tensor of a backbone, or refuse.

    Args:
        module (FixedNetwork | Supernet): What to load into.
        path (str | Path): A checkpoint of a classifier, a detector or a backbone alone, also one
            of the released code, or its http(s) address; or a published network's name, such as
            ``'lite0'``, for the weights of an installed package.
        prefix (str, optional): What the backbone's names begin with in the file. By default any
            of ``module.``, ``_orig_mod.``, ``model.`` and ``backbone.``, in any order, is found.
        partial (bool): Take what fits in name and shape, if it is not all. Defaults to False.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a tensor of the backbone is not in the file, or has another shape there
            (with ``partial``: if none fits); says which prefix or architecture would do.
    """
    weights = read_weights(path)
    own = module.state_dict()
    counts = {start: len(fitting(own, weights, start)) for start in prefixes(own, weights)}
    if prefix is None:
        allowed = [start for start in counts if _PREFIX.fullmatch(start)]
    else:
        wanted = re.escape(prefix + '.' if prefix and not prefix.endswith('.') else prefix)
        allowed = [start for start in counts if re.fullmatch(WRAPPERS + wanted, start)]
    best = max(allowed, key=lambda start: (counts[start], -len(start)), default='')
    found = fitting(own, weights, best) if best in allowed else {}
    missing = missing_names(own, found)
    surplus = surplus_names(own, weights, best)
    if (missing or surplus) and not (partial and found):
        others = [start for start in counts if start not in allowed]
        whole = [start for start in others if not missing_names(own, fitting(own, weights, start))]
        raise ValueError(_refusal(module, path, weights, own, found, missing + surplus, whole))
    module.load_state_dict(found, strict=False)
    said = f'{count_tensors(own, found)} of {len(own)} tensors loaded from {path}'
    print_log(said + (f'; not loaded: {name_some(missing)}' if missing else ''), 'current')


def load_head(
    module: Module, path: str | Path, prefix: str | None = None, partial: bool = False
) -> None:
    """Load a classification head, or refuse; a classifier of other classes stays new.

    Args:
        module (CreamClsHead): What to load into.
        path, partial: As of :func:`load_backbone`.
        prefix (str, optional): What the head's names begin with in the file, behind wrappers.
            Defaults to ``head``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no such head, or another one; with ``partial``, if nothing of
            it fits.
    """
    weights, own = read_weights(path), module.state_dict()
    begins = re.compile(f'{WRAPPERS}{re.escape((prefix or "head").rstrip("."))}\\.')
    starts = [match[0] for match in map(begins.match, weights) if match]
    if not starts:
        raise ValueError(f'{path} holds no head: leave model.head.init_cfg out')
    start = starts[0]
    found = fitting(own, weights, start)
    missing = missing_names(own, found)
    new = [name for name in missing if name.startswith('classifier.')]
    if len(missing) > len(new) and not (partial and found):
        wrong = [name for name in missing if name not in new]
        raise ValueError(
            f'{count_tensors(own, found)} of {len(own)} tensors of {type(module).__name__} are in '
            f'{path}; missing, or of another shape: {name_some(wrong)}. The head is of another '
            'kind: leave model.head.init_cfg out, or make it the same'
        )
    module.load_state_dict(found, strict=False)
    said = f'{count_tensors(own, found)} of {len(own)} tensors of the head loaded from {path}'
    classes = weights.get(f'{start}classifier.bias')
    if new:  # behind features that were trained, Cream's own begins with logits of plus or minus 3
        torch.nn.init.normal_(module.classifier.weight, std=NEW_CLASSIFIER)
        torch.nn.init.zeros_(module.classifier.bias)
    if new and classes is not None:
        said += f'; its classifier has {len(classes)} classes: the one here is new'
    elif missing:
        said += f'; not loaded: {name_some(missing)}'
    print_log(said, 'current')


def _refusal(module, path, weights, own, found, wrong, whole) -> str:
    text = (
        f'{count_tensors(own, found) if found else 0} of {len(own)} tensors of '
        f'{type(module).__name__} are in {path}'
    )
    if whole:
        return f'{text} under that prefix; init_cfg.prefix={whole[0]!r} would load all of them'
    text += f'; missing, of another shape or beyond it: {name_some(wrong)}'
    if network := _network(module, weights):
        return f'{text}. The file holds {network}'
    if not found:
        return (
            f'{text}. The file is of another model: its names begin with {name_some(list(weights))}'
        )
    return f'{text}. The file is of another architecture; init_cfg.partial=True takes what fits'


def _network(module: Module, weights: Mapping[str, Tensor]) -> str | None:
    """Which network of the module's space the weights are, in words."""
    if not hasattr(module, 'build_network'):
        return None  # not of ours
    space, has_choices = module.space, module.shares_weights
    if isinstance(space, ElasticSpace):  # its weights are those of one network
        space, has_choices = space.skeleton, False
    if any('.banks.' in name for name in weights) and not has_choices:
        return 'a supernet: tools/export_arch.py cuts a path out of it'
    if not isinstance(space, MBConvSpace):
        return None  # its names say less
    layer = re.compile(r'(.*?)blocks\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}\.)?conv_(pw|dw)\.weight')
    shapes: dict = {}
    is_supernet, starts = False, set()
    for name, value in weights.items():
        match = layer.fullmatch(name)
        if match and value.ndim == 4 and 1 <= int(match[2]) <= space.num_stages:
            starts.add(match[1])
            is_supernet |= match[4] is not None
            shapes.setdefault((int(match[2]), int(match[3])), {})[match[5]] = value.shape
    if len(starts) != 1:
        return None
    depths = [sum(stage == s for s, _ in shapes) for stage in range(1, space.num_stages + 1)]
    if is_supernet:
        way = 'tools/export_arch.py cuts a path out of it' if not has_choices else (
            f'set space.depths={depths}'
        )  # fmt: skip
        return f'a supernet of depths {depths}: {way}'
    choices = {tuple(choice): i for i, choice in enumerate(space.choices)}
    stages: list[list] = [[] for _ in depths]
    for (stage, _), shape in sorted(shapes.items()):
        if len(shape) != 2 or not shape['pw'][1]:
            return None
        expand = shape['dw'][0] / shape['pw'][1]
        stages[stage - 1].append(choices.get((shape['dw'][2], round(expand)), -1))
    start = starts.pop()
    try:
        arch = Arch.from_list([[0], *stages, [0]], space.name)
        with torch.device('meta'):
            net = network_class(space)(arch, space=space.of_network(arch).to_dict())
        if missing_names(net.state_dict(), fitting(net.state_dict(), weights, start)):
            return None
    except ValueError:
        return None
    space = space.of_network(arch)
    names = [name for name, net in published_nets.items() if net.network() == (arch, space)]
    if has_choices:
        return f'a fixed network, {(names or [arch])[0]}, and no supernet'
    return (
        f'another network: arch={names[0]!r} would fit'
        if names
        else f'another: arch={arch} would fit'
    )


# ---- a whole model -----------------------------------------------------------------------------


def check_model(model: Module, weights: Mapping[str, Tensor], path: str | Path) -> str:
    """Whether a model can begin to train from weights that may be of another one, or a part.

    Args:
        model (Module): Not in a wrapper.
        weights (Mapping): Under the model's names.
        path (str | Path): Where they are from, for messages.

    Returns:
        str: A line: how many tensors there are, and what of the model is new.

    Raises:
        ValueError: If nothing fits, or not every tensor of a backbone of ours, or of another one
            less than :data:`MIN_LOADED`.
    """
    own = model.state_dict()
    found = fitting(own, weights)
    for name, module in model.named_modules():
        if not hasattr(module, 'build_network'):
            continue
        prefix = f'{name}.' if name else ''
        state = module.state_dict()
        inside = fitting(state, weights, prefix)
        if wrong := missing_names(state, inside) + surplus_names(state, weights, prefix):
            raise ValueError(
                _refusal(module, path, weights, state, inside, wrong, [])
                + '. load_from takes the checkpoint of a whole model; a backbone alone is '
                "model.backbone.init_cfg=dict(type='Pretrained', checkpoint=FILE)"
            )
    missing = missing_names(own, found)
    if not any(name in found for name in own if not name.startswith(OPTIONAL)):
        raise ValueError(
            f'no tensor of {type(model).__name__} is in {path}: it is of another model. Its names '
            f'begin with {name_some(list(weights))}, those of the model with {name_some(missing)}'
        )
    other = [
        f'{name} is {list(own[name].shape)} here and {list(weights[name].shape)} there'
        for name in missing
        if name in weights
    ]
    missing = [name for name in missing if name not in weights]
    inside = {name: own[name] for name in own if name.startswith('backbone.')}
    lacking = missing_names(inside, found)
    if len(inside) - len(lacking) < MIN_LOADED * len(inside):
        raise ValueError(
            f'{len(inside) - len(lacking)} of the {len(inside)} tensors of the backbone are in '
            f'{path}: it would be trained from random weights. Missing, or of another shape: '
            f'{name_some(lacking)}. The file is of another network'
        )
    new = '; '.join(other + ([name_some(missing)] if missing else []))
    line = f'{count_tensors(own, found)} of {len(own)} tensors loaded from {path}'
    return f'{line}; new, with fresh weights: {new}' if new else line


def load_classifier(
    model: Module, weights: dict[str, Tensor], path: str | Path, *, new_head: bool
) -> None:
    """Load a whole classifier around a :class:`FixedNetwork`, or refuse.

    Args:
        model (ImageClassifier): What to load into.
        weights (dict): Of a file, as :func:`load_weights` reads them.
        path (str | Path): The file, for messages.
        new_head (bool): Whether a last layer for another number of classes may keep its fresh
            weights. A line says so.

    Raises:
        ValueError: If anything else does not fit; says what the file holds.
    """
    own = model.state_dict()
    weights = without_wrappers(own, weights)
    heads = [k for k in own if k.startswith('head.classifier.') and k in weights]
    heads = [k for k in heads if weights[k].shape != own[k].shape and new_head]
    mismatch = find_mismatch({k: v for k, v in own.items() if k not in heads},
                         {k: v for k, v in weights.items() if k not in heads})  # fmt: skip
    if mismatch:
        state = model.backbone.state_dict()
        starts = prefixes(state, weights)
        whole = any(not missing_names(state, fitting(state, weights, start)) for start in starts)
        network = None if whole else _network(model.backbone, weights)
        hint = f'. The file holds {network}' if network else ''
        if whole and not any(name.startswith('head.classifier.') for name in weights):
            hint = (
                ". The file holds the backbone without this head, as the export of a detector's "
                'search does: train the detector by its retrain.py, and take the work directory of '
                'that. In Python features_only=True takes the file'
            )
        raise ValueError(f'{path} does not fit this architecture: {mismatch}{hint}')
    found = fitting(own, weights)
    model.load_state_dict(found, strict=False)
    print_log(f'{count_tensors(own, found)} of {len(own)} tensors loaded from {path}', 'current')
    if heads:
        print_log(
            f'{path} has {len(weights[heads[0]])} classes: head.classifier, for '
            f'{len(own[heads[0]])}, is new and has to be trained',
            'current',
        )
