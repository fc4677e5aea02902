"""Which network a checkpoint holds, and what its images and classes were."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..files.arch_file import read_arch_file
from ..files.config_values import read_values
from ..files.read import shorten
from ..files.space_entry import check_space
from ..spaces import MBConvSpace, Space
from ..structures import Arch
from .work_dir import checkpoint_file

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


class Start(NamedTuple):
    """A network with weights, and what was said of it where they lie."""

    name: str  # a published one, or the file
    checkpoint: str
    arch: Arch
    space: Space
    preprocess: dict  # mean, std, to_rgb
    hidden: int | None  # channels of the head's conv1x1, 0 for none; None: no head of ours
    norm_cfg: dict | None
    classes: tuple[str, ...] | None  # of its head, where they are known
    input_size: int | None
    is_trained: bool = False  # by itself, for its classes
    is_published: bool = False  # by its name


def read_start(start: str) -> Start:
    """The network that a name, a file or a folder means.

    What a file does not tell is read, in this order, from its own ``meta``, the config in it, an
    ``arch.json`` beside it; the published networks are known by their tensors. Nothing is run.

    Args:
        start (str): See :func:`fit_start`.

    Raises:
        FileNotFoundError: If there is no such file, or a package with weights is not installed.
        ValueError: If the file does not tell its network, or is of another kind.
    """
    from ..models.backbones.published import published_nets  # with torch

    if start in published_nets:
        return _published(start)
    path = Path(start).expanduser()
    if path.is_dir():
        path = _inside(path)
    if path.suffix == '.json':
        path = path.with_name('weights.pth')
    if not path.is_file():
        names = [name for name, net in published_nets.items() if net.package]
        raise FileNotFoundError(
            f'start={start}: no such file or folder, and no published network of that name; by '
            f'name there are {", ".join(names)}'
        )
    return _read_file(path)


def _published(name: str) -> Start:
    from ..checkpoints.installed_weights import weights_file  # with torch
    from ..models.backbones.published import published_nets
    from ..models.backbones.published_weights import published_weights

    net = published_nets[name]
    if net.package is None:
        try:
            published_weights(name)  # says where there are some
        except ValueError as error:
            text = str(error).replace('checkpoint=FILE', 'start=FILE')
            raise ValueError(f'start={name}: {text}') from None
    weights_file(net.package)
    arch, space = net.network()
    return Start(
        name, name, arch, space, net.preprocess or IMAGENET, space.head_channels, None, None, None,
        is_published=True,
    )  # fmt: skip


def _inside(folder: Path) -> Path:
    """The checkpoint of a folder: of an export its weights, of a run the best, or the newest."""
    if (folder / 'arch.json').is_file():
        if not (folder / 'weights.pth').is_file():
            raise FileNotFoundError(f'start={folder}: it has an arch.json, and no weights.pth')
        return folder / 'weights.pth'
    if (folder / 'full.pth').is_file():
        return folder / 'full.pth'  # of a search: the whole network, before its slices
    return Path(checkpoint_file(folder)[0])


def _read_file(path: Path) -> Start:
    from ..checkpoints import load_checkpoint_file  # with torch
    from ..checkpoints.load_weights import WRAPPERS, weights_of

    content = load_checkpoint_file(path)
    weights = weights_of(content, path)
    if any('.banks.' in name for name in weights):
        raise ValueError(f'start={path}: a supernet; tools/export_arch.py cuts a path out of it')
    told = _told(content.get('meta'), path) or _by_tensors(weights)
    if told is None:
        raise ValueError(
            f'start={path} does not tell which network it is: there is no config in it, no '
            'arch.json beside it, and it is no published network. A network of cream_mm: copy the '
            'arch.json of its export beside it. Another, as ResNet or MobileNet, cannot be a start'
        )
    arch, space = told['network']
    if not isinstance(space, MBConvSpace):
        raise ValueError(
            f'start={path}: a network of {type(space).__name__}; slices are made of networks of '
            'the MBConv space'
        )
    _check_tensors(path, weights, arch, space)
    begins = re.compile(f'{WRAPPERS}head\\.')
    head = {begins.sub('', k, count=1): value for k, value in weights.items() if begins.match(k)}
    hidden = None
    if 'classifier.weight' in head:
        hidden = len(head['conv_head.weight']) if 'conv_head.weight' in head else 0
    return Start(
        str(path), str(path), arch, space, told.get('preprocess') or IMAGENET, hidden,
        told.get('norm_cfg'), told.get('classes'), told.get('input_size'),
        is_trained=told.get('is_trained', True),
    )  # fmt: skip


def images_of(name: str) -> dict | None:
    """How the images of weights were normalised; None where nobody says it.

    Args:
        name (str): A published network, or a file; of one that is not there or cannot be read,
            whoever loads it tells.
    """
    from ..checkpoints import load_checkpoint_file  # with torch
    from ..models.backbones.published import published_nets

    if name in published_nets:
        return published_nets[name].preprocess or IMAGENET
    path = Path(name).expanduser()
    if not path.is_file():
        return None
    try:
        told = _told(load_checkpoint_file(path).get('meta'), path)
    except (OSError, ValueError):
        return None
    return told and told.get('preprocess')


def _check_tensors(path: Path, weights: Mapping, arch: Arch, space: Space) -> None:
    """Say early what the loading would refuse."""
    if not _has_network(weights, arch, space):
        raise ValueError(
            f'start={path}: its tensors are not those of the network {arch} that it is said to be'
        )


def _has_network(weights: Mapping, arch: Arch, space: Space) -> bool:
    """Whether a network's tensors are all there, under any prefix."""
    import torch

    from ..checkpoints.load_weights import fitting, missing_names, prefixes, surplus_names
    from ..models.backbones import network_class

    with torch.device('meta'):
        own = network_class(space)(arch, space=space.to_dict()).state_dict()
    return any(
        not missing_names(own, fitting(own, weights, start))
        and not surplus_names(own, weights, start)
        for start in prefixes(own, weights)
    )


def _by_tensors(weights: Mapping) -> dict | None:
    """The published network that has these tensors: a converted file says no more."""
    from ..models.backbones.published import published_nets

    depth = sum(name.endswith('conv_dw.weight') for name in weights)
    for net in published_nets.values():
        network = net.network()
        if not isinstance(network[1], MBConvSpace) or 1 + sum(network[0].depths) != depth:
            continue
        if _has_network(weights, *network):
            preprocess = net.preprocess or IMAGENET
            return dict(network=network, preprocess=preprocess, is_trained=False)
    return None


def _told(meta: Any, path: Path) -> dict | None:
    """What is written in a checkpoint, or beside it, of its network.

    Raises:
        ValueError: If it is damaged.
    """
    meta = meta if isinstance(meta, Mapping) else {}
    beside = path.with_name('arch.json')
    about = read_arch_file(beside) if beside.is_file() else None
    try:
        if isinstance(meta.get('arch'), list) and isinstance(meta.get('space'), Mapping):
            return _of_meta(meta)
        if isinstance(meta.get('cfg'), str) and (told := _of_config(meta)) is not None:
            return told
        return None if about is None else _of_export(about, path)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'start={path} is damaged: {shorten(str(error), 300)}') from None


def _of_meta(meta: Mapping) -> dict:
    """Of ``full.pth`` of a search."""
    space = check_space(meta['space']).build(meta['space'])
    arch = space.parse(meta['arch'])
    return dict(
        network=(arch, space.of_network(arch)), preprocess=_images(meta.get('preprocess')),
        classes=_classes(meta.get('classes'), meta), input_size=_side(meta.get('input_size')),
        norm_cfg=meta.get('norm_cfg'),
    )  # fmt: skip


def _of_config(meta: Mapping) -> dict | None:
    """Of any checkpoint of a run: the text of its config, of which nothing is run."""
    from ..models.backbones.resolve_arch import resolve_arch  # with torch

    cfg = read_values(meta['cfg'])
    model = cfg.get('model') or {}
    backbone = model.get('backbone') or {}
    if 'arch' not in backbone or not isinstance(backbone.get('type'), str):
        return None
    if not backbone['type'].startswith('cream_mm.'):
        return None
    arch, space, about = resolve_arch(backbone['arch'], backbone.get('space'))
    images = model.get('data_preprocessor') or cfg.get('data_preprocessor')
    return dict(
        network=(arch, space), preprocess=_images(images),
        classes=_classes(cfg.get('classes'), meta), input_size=_side(cfg.get('input_size')),
        norm_cfg=backbone.get('norm_cfg') or about.get('norm_cfg'),
    )  # fmt: skip


def _of_export(about: Mapping, path: Path) -> dict:
    """Of ``arch.json``; the weights that an export writes are those of a search's path."""
    space = MBConvSpace if 'type' not in about['space'] else check_space(about['space'])
    space = space.build(about['space'])
    arch = space.parse(about['arch'])
    return dict(
        network=(arch, space.of_network(arch)), preprocess=_images(about.get('preprocess')),
        classes=_classes(about.get('classes'), {}), input_size=_side(about.get('input_size')),
        norm_cfg=about.get('norm_cfg'), is_trained=path.name != 'weights.pth',
    )  # fmt: skip


def _images(images: Any) -> dict | None:
    """Normalisation; without a mean there is none."""
    if not isinstance(images, Mapping):
        return None
    to_rgb = bool(images.get('to_rgb', images.get('bgr_to_rgb', False)))
    if images.get('mean') is None or images.get('std') is None:
        return dict(mean=[0.0] * 3, std=[1.0] * 3, to_rgb=to_rgb)
    mean, std = ([float(x) for x in images[key]] for key in ('mean', 'std'))
    return dict(mean=mean, std=std, to_rgb=to_rgb)


def _classes(names: Any, meta: Mapping) -> tuple[str, ...] | None:
    """Names of the classes in the order of the outputs."""
    data = meta.get('dataset_meta')
    names = data.get('classes') if isinstance(data, Mapping) and data.get('classes') else names
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) and names else None


def _side(size: Any) -> int | None:
    size = size[0] if isinstance(size, (list, tuple)) and size else size
    return size if type(size) is int and size > 0 else None
