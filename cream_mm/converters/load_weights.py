"""Puts weights of a file into a model, and says how many; what was not loaded is refused.

PyTorch and mmengine pass over names that do not fit, and train on from random weights.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import Module

from .official import COUNTER, from_official, is_official
from .safe_load import load_checkpoint_file

# What wrappers put before a name: parallel training, torch.compile, and models around a model.
_WRAPPERS = r'(?:module\.|_orig_mod\.|model\.)*'
_PREFIX = re.compile(r'(?:module\.|_orig_mod\.|model\.|backbone\.)*')
# Belong to a search or to how images are prepared, not to the network.
_OPTIONAL = ('data_preprocessor.', 'board.', 'matching.')


def local_file(filename: str | Path) -> Path:
    """Path of a checkpoint, fetched first if it is an http(s) address.

    Raises:
        ValueError: If it is some other address.
    """
    address = urlparse(str(filename))
    if len(address.scheme) < 2:  # one letter is a drive
        return Path(filename).expanduser()
    if address.scheme not in ('http', 'https'):
        raise ValueError(f'{filename} is neither a file nor an http address; fetch it yourself')
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(address.path).name)
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(str(filename), str(path))
    barrier()
    return path


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's ``state_dict``, or of the file if that is all it holds.

    A checkpoint of the released Cream code is read too: its averaged weights where it has any,
    under cream_mm's names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights, or is an official one with tensors missing.
    """
    return weights_of(load_checkpoint_file(path), path)


def weights_of(content: dict, path: str | Path) -> dict[str, Tensor]:
    """As :func:`load_weights`, of a file that was read already; ``path`` is for messages."""
    try:
        _, weights = pick_weights(content, 'state_dict_ema', 'state_dict')
        return from_official(weights)[0] if is_official(weights) else weights
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def pick_weights(content: dict, *entries: str) -> tuple[str, dict[str, Tensor]]:
    """Name and tensors of the first entry that holds weights, or of the file itself.

    Raises:
        ValueError: If there are none.
    """
    bare = not any(entry in content for entry in entries)
    for entry in [None] if bare else entries:
        weights = content if bare else content.get(entry)
        if isinstance(weights, dict):
            weights = {k: v for k, v in weights.items() if isinstance(v, Tensor)}
            if weights:
                return entry or 'the file itself, a bare state dict', weights
    raise ValueError(f'it holds no weights, neither as {" nor as ".join(entries)} nor by itself')


# ---- a backbone --------------------------------------------------------------------------------


def init_backbone(module: Module, initialize: Any, plain_init_weights: Any) -> None:
    """``init_weights`` of a backbone of ours, once; later calls are mmengine's warning.

    Args:
        module (BaseModule): The backbone. Its ``init_cfg`` may hold, by itself or in a list,
            ``dict(type='Pretrained', checkpoint=FILE)``: see :func:`load_backbone`.
        initialize (Callable): Sets the weights that a file, if any, is then loaded over.
        plain_init_weights (Callable): That of the base class, for the other ``init_cfg``.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_backbone`.
    """
    if module.is_init:
        return plain_init_weights()
    initialize(module)
    all_cfgs = module.init_cfg
    cfgs = all_cfgs if isinstance(all_cfgs, (list, tuple)) else [all_cfgs] if all_cfgs else []
    files = [cfg for cfg in cfgs if _is_pretrained(cfg)]
    module.init_cfg = [cfg for cfg in cfgs if not _is_pretrained(cfg)]
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
        load_backbone(module, cfg['checkpoint'], cfg.get('prefix'), cfg.get('partial', False))


def _is_pretrained(cfg: Mapping) -> bool:
    kind = cfg.get('type')
    return getattr(kind, '__name__', str(kind)).split('.')[-1] in ('Pretrained', 'PretrainedInit')


def load_backbone(
    module: Module, path: str | Path, prefix: str | None = None, partial: bool = False
) -> None:
    """Load every tensor of a backbone, or refuse.

    Args:
        module (CreamNet | CreamSupernet): What to load into.
        path (str | Path): A checkpoint of a classifier, a detector or a backbone alone, also one
            of the released code, or its http(s) address.
        prefix (str, optional): What the backbone's names begin with in the file. By default any
            of ``module.``, ``_orig_mod.``, ``model.`` and ``backbone.``, in any order, is found.
        partial (bool): Take what fits in name and shape, if it is not all. Defaults to False.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a tensor of the backbone is not in the file, or has another shape there
            (with ``partial``: if none fits); says which prefix or architecture would do.
    """
    weights = load_weights(local_file(path))
    own = module.state_dict()
    counts = {start: len(_fitting(own, weights, start)) for start in _prefixes(own, weights)}
    if prefix is None:
        allowed = [start for start in counts if _PREFIX.fullmatch(start)]
    else:
        wanted = re.escape(prefix + '.' if prefix and not prefix.endswith('.') else prefix)
        allowed = [start for start in counts if re.fullmatch(_WRAPPERS + wanted, start)]
    best = max(allowed, key=lambda start: (counts[start], -len(start)), default='')
    found = _fitting(own, weights, best) if best in allowed else {}
    missing = _missing(own, found)
    surplus = _surplus(own, weights, best)
    if (missing or surplus) and not (partial and found):
        others = [start for start in counts if start not in allowed]
        whole = [start for start in others if not _missing(own, _fitting(own, weights, start))]
        raise ValueError(_refusal(module, path, weights, own, found, missing + surplus, whole))
    module.load_state_dict(found, strict=False)
    said = f'{_count(own, found)} of {len(own)} tensors loaded from {path}'
    print_log(said + (f'; not loaded: {_some(missing)}' if missing else ''), 'current')


def _prefixes(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """What may stand before the names: what stands before any of the first few."""
    names = [name for name in own if not name.endswith(COUNTER)]
    found = {
        key[: len(key) - len(name)]: None
        for name in names[:8]
        for key in weights
        if key == name or key.endswith(f'.{name}')
    }
    return list(found)


def _fitting(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str = ''
) -> dict[str, Tensor]:
    """What of ``weights`` has a name and a shape of ``own``, under the name there."""
    pairs = ((name, weights.get(prefix + name)) for name in own)
    return {k: v for k, v in pairs if v is not None and v.shape == own[k].shape}


def _missing(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Names without a tensor; counters are younger than some files, and nothing depends on them."""
    return [k for k in own if k not in found and not k.endswith(COUNTER)]


def _surplus(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Blocks of the file that the network does not have: it is a part of the one in the file."""
    inside = (k.removeprefix(prefix) for k in weights if k.startswith(f'{prefix}blocks.'))
    return [name for name in inside if name not in own]


def _count(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> int:
    """Counters that a file leaves out are 0, as they are in it."""
    return len(own) - len(_missing(own, found))


def _some(names: list[str]) -> str:
    shown = ', '.join(ascii(name)[1:-1][:80] for name in names[:3])
    return shown + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def _refusal(module, path, weights, own, found, wrong, whole) -> str:
    text = (
        f'{_count(own, found) if found else 0} of {len(own)} tensors of '
        f'{type(module).__name__} are in {path}'
    )
    if whole:
        return f'{text} under that prefix; init_cfg.prefix={whole[0]!r} would load all of them'
    text += f'; missing, of another shape or beyond it: {_some(wrong)}'
    if network := _network(module, weights):
        return f'{text}. The file holds {network}'
    if not found:
        return f'{text}. The file is of another model: its names begin with {_some(list(weights))}'
    return f'{text}. The file is of another architecture; init_cfg.partial=True takes what fits'


def _network(module: Module, weights: Mapping[str, Tensor]) -> str | None:
    """Which network of the module's space the weights are, in words."""
    # Here, because the models import this package: the supernet cuts paths out of itself.
    from ..models.backbones.cream_net import CreamNet
    from ..models.backbones.published import published_nets
    from ..structures import Arch

    layer = re.compile(r'(.*?)blocks\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}\.)?conv_(pw|dw)\.weight')
    shapes: dict = {}
    is_supernet, starts = False, set()
    for name, value in weights.items():
        match = layer.fullmatch(name)
        if match and value.ndim == 4 and 1 <= int(match[2]) <= module.space.num_stages:
            starts.add(match[1])
            is_supernet |= match[4] is not None
            shapes.setdefault((int(match[2]), int(match[3])), {})[match[5]] = value.shape
    if len(starts) != 1:
        return None
    depths = [sum(stage == s for s, _ in shapes) for stage in range(1, module.space.num_stages + 1)]
    if is_supernet:
        way = 'tools/export_arch.py cuts a path out of it' if isinstance(module, CreamNet) else (
            f'set space.depths={depths}'
        )  # fmt: skip
        return f'a supernet of depths {depths}: {way}'
    choices = {tuple(choice): i for i, choice in enumerate(module.space.choices)}
    stages: list[list] = [[] for _ in depths]
    for (stage, _), shape in sorted(shapes.items()):
        if len(shape) != 2 or not shape['pw'][1]:
            return None
        expand = shape['dw'][0] / shape['pw'][1]
        stages[stage - 1].append(choices.get((shape['dw'][2], round(expand)), -1))
    start = starts.pop()
    try:
        arch = Arch.from_list([[0], *stages, [0]], module.space.name)
        with torch.device('meta'):
            net = CreamNet(arch, space=dict(module.space.to_dict(), depths=arch.depths))
        if _missing(net.state_dict(), _fitting(net.state_dict(), weights, start)):
            return None
    except ValueError:
        return None
    names = [name for name, net in published_nets.items() if net.arch == arch.to_list()]
    if not isinstance(module, CreamNet):
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
        ValueError: If nothing fits, or not every tensor of a backbone of ours.
    """
    # Here, because the models import this package: the supernet cuts paths out of itself.
    from ..models.backbones.cream_net import CreamNet
    from ..models.supernets import CreamSupernet

    own = model.state_dict()
    found = _fitting(own, weights)
    for name, module in model.named_modules():
        if not isinstance(module, (CreamNet, CreamSupernet)):
            continue
        prefix = f'{name}.' if name else ''
        state = module.state_dict()
        inside = _fitting(state, weights, prefix)
        if wrong := _missing(state, inside) + _surplus(state, weights, prefix):
            raise ValueError(
                _refusal(module, path, weights, state, inside, wrong, [])
                + '. load_from takes the checkpoint of a whole model; a backbone alone is '
                "model.backbone.init_cfg=dict(type='Pretrained', checkpoint=FILE)"
            )
    missing = _missing(own, found)
    if not any(name in found for name in own if not name.startswith(_OPTIONAL)):
        raise ValueError(
            f'no tensor of {type(model).__name__} is in {path}: it is of another model. Its names '
            f'begin with {_some(list(weights))}, those of the model with {_some(missing)}'
        )
    other = [
        f'{name} is {list(own[name].shape)} here and {list(weights[name].shape)} there'
        for name in missing
        if name in weights
    ]
    missing = [name for name in missing if name not in weights]
    new = '; '.join(other + ([_some(missing)] if missing else []))
    line = f'{_count(own, found)} of {len(own)} tensors loaded from {path}'
    return f'{line}; new, with fresh weights: {new}' if new else line


def load_classifier(
    model: Module, weights: dict[str, Tensor], path: str | Path, *, new_head: bool
) -> None:
    """Load a whole classifier around a :class:`CreamNet`, or refuse.

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
    misfit = find_misfit({k: v for k, v in own.items() if k not in heads},
                         {k: v for k, v in weights.items() if k not in heads})  # fmt: skip
    if misfit:
        state = model.backbone.state_dict()
        starts = _prefixes(state, weights)
        whole = any(not _missing(state, _fitting(state, weights, start)) for start in starts)
        network = None if whole else _network(model.backbone, weights)
        hint = f'. The file holds {network}' if network else ''
        if whole and not any(name.startswith('head.classifier.') for name in weights):
            hint = '. The file holds the backbone without this head: features_only=True takes it'
        raise ValueError(f'{path} does not fit this architecture: {misfit}{hint}')
    found = _fitting(own, weights)
    model.load_state_dict(found, strict=False)
    print_log(f'{_count(own, found)} of {len(own)} tensors loaded from {path}', 'current')
    if heads:
        print_log(
            f'{path} has {len(weights[heads[0]])} classes: head.classifier, for '
            f'{len(own[heads[0]])}, is new and has to be trained',
            'current',
        )


def without_wrappers(own: Mapping[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` under the names of ``own``: without ``module.``, ``_orig_mod.``, ``model.``."""
    starts = [start for start in _prefixes(own, weights) if re.fullmatch(_WRAPPERS, start)]
    best = max(
        starts, key=lambda start: (len(_fitting(own, weights, start)), -len(start)), default=''
    )
    if not best:
        return weights
    return {k.removeprefix(best): v for k, v in weights.items() if k.startswith(best)}


def find_misfit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str | None:
    """What keeps ``weights`` from being those of a model with the state dict ``own``.

    Only a search's board and matching network may be beyond it; counters of batches and what a
    data preprocessor holds may be absent.
    """
    optional = ('num_batches_tracked', *_OPTIONAL)
    wrong = [
        name for name, value in own.items()
        if (name in weights and weights[name].shape != value.shape)
        or (name not in weights and not any(part in name for part in optional))
    ]  # fmt: skip
    surplus = [k for k in weights if k not in own and not any(part in k for part in optional)]
    if not wrong and not surplus:
        return None
    return (
        f'{len(wrong)} of its {len(own)} tensors are missing or of another shape, '
        f'{len(surplus)} of the file are not in it, first {(wrong + surplus)[0]}'
    )
