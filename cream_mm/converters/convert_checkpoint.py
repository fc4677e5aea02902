"""Checkpoint files of the released code, microsoft/Cream, to cream_mm's and back."""

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.load_weights import pick_weights
from ..checkpoints.official import (
    COUNTER,
    HEAD_CHANNELS,
    MAX_DEPTH,
    SPACE,
    OfficialLayout,
    from_official,
    read_ours,
    without_module,
)
from ..checkpoints.safe_load import load_checkpoint_file
from ..costs import build_cost_model
from ..files import read_json, write_json, write_whole
from ..files.arch_file import arch_content
from ..models.backbones.published import effective_arch, published_nets
from ..structures import Arch
from ..version import __version__
from .to_official import to_official as official_weights


class Conversion(NamedTuple):
    """What was found and written."""

    layout: OfficialLayout
    name: str | None  # of the published network, if it is one
    arch: str | None  # what `arch=` takes: that name, or the JSON beside dst; None: a supernet
    input_size: int | None  # pixels; None where nothing tells
    source: str  # the entry of the file that the weights are from
    num_tensors: int
    num_params: int
    notes: list[str]


def convert_checkpoint(src: str | Path, dst: str | Path, to_official: bool = False) -> Conversion:
    """Convert a file; ``dst`` is written whole or not at all, and nothing in ``src`` is executed.

    From official: averaged weights (``state_dict_ema``) where there are any. A network that is
    not a published one gets an architecture file beside it, ``dst`` with the suffix .json. To
    official: the entries that timm 0.1.20 reads, in the format that torch 1.2 reads.

    Args:
        src (str | Path): A ``.pth.tar`` of the released code; or with ``to_official`` a
            checkpoint of ``tools/train.py``, or the weights of ``tools/export_arch.py``.
        dst (str | Path): The file to write.
        to_official (bool): The direction. Defaults to False.

    Raises:
        FileNotFoundError: If there is no ``src``.
        ValueError: If ``src`` is no such checkpoint, with the first differences; or if ``dst``
            cannot be written.
    """
    src, dst = Path(src), Path(dst)
    content = load_checkpoint_file(src)
    if dst.is_dir() or dst.suffix == '.json' or dst.resolve() == src.resolve():
        raise ValueError(f'{dst} cannot be the converted checkpoint: name another file')
    convert = _file_to_official if to_official else _file_from_official
    try:
        found, new, arch_file = convert(content, src, dst)
    except ValueError as error:
        raise ValueError(f'{src} cannot be converted: {error}') from None
    beside = dst.with_suffix('.json')
    if arch_file and beside.exists() and not _written_here(beside):
        raise ValueError(
            f'{beside}, where the architecture would be written, is there already and is not of '
            'a conversion: name another DST'
        )
    try:
        # torch 1.2, which the released code asks for, cannot read the newer zip format.
        buffer = BytesIO()
        torch.save(new, buffer, _use_new_zipfile_serialization=not to_official)
        write_whole(dst, buffer.getvalue())
        if arch_file:
            write_json(beside, arch_file)
    except OSError as error:
        raise ValueError(error.strerror) from None
    return found


def _file_from_official(content: dict, src: Path, dst: Path):
    source, weights = pick_weights(content, 'state_dict_ema', 'state_dict')
    state_dict, layout = from_official(weights)
    expected, given = layout.shapes(), without_module(weights)
    absent = sum(name not in given for name in expected)
    notes = []
    if source == 'state_dict_ema':
        source += ', the averaged weights'
    elif not layout.is_supernet:  # the released code averages those of a retraining only
        notes.append('these may not be the averaged weights: the file holds no state_dict_ema')
    if absent:
        notes.append(f'{absent} num_batches_tracked were absent and are 0 now')
    if layout.has_dead_layer:
        notes.append(
            f'dropped blocks.3.{MAX_DEPTH}.* ({len(expected) - len(state_dict)} tensors): no path '
            'of the released supernet selects that layer'
        )
    if layout.is_supernet:
        more = '' if layout.num_images else ', and this one has no matching network (meta_layer)'
        notes.append(
            f'official checkpoints have no board{more}; a search that loads this one reports those '
            'tensors as missing and begins with new ones'
        )

    name, arch, input_size, arch_file = None, None, None, None
    if not layout.is_supernet:
        name, input_size = _published(layout)
        arch = name
        if not name:
            arch, input_size = str(dst.with_suffix('.json')), 224
            notes.append(f'nothing tells the size of the training images: {arch} says 224')
            costs = build_cost_model(layout.space, input_size, layout.num_classes, HEAD_CHANNELS)
            arch_file = arch_content(layout.arch, costs, source=src.name)
    meta = dict(
        kind='supernet' if layout.is_supernet else 'network',
        arch=None if layout.is_supernet else layout.arch.to_list(),
        name=name,
        space=layout.space.to_dict(),
        num_classes=layout.num_classes,
        input_size=input_size,
        source=src.name,
        weights=source,
        cream_mm=__version__,
    )
    for key in ('epoch', 'metric'):
        if type(content.get(key)) in (int, float):
            meta[f'official_{key}'] = content[key]
    found = Conversion(
        layout, name, arch, input_size, source, len(state_dict), _num_params(state_dict), notes
    )
    return found, dict(state_dict=state_dict, meta=meta), arch_file


def _file_to_official(content: dict, src: Path, dst: Path):
    source, weights = pick_weights(content, 'state_dict')
    layout = read_ours(weights)[1]
    meta = content['meta'] if isinstance(content.get('meta'), dict) else {}
    notes = [
        'strides leave no trace in weights: right only if these were trained with the default '
        f'ones, stem_stride={SPACE.stem_stride} and strides={list(SPACE.strides)}'
    ]
    state_dict = official_weights(weights)
    if layout.is_supernet and layout.num_images is None:
        notes.append(
            'there is no matching network, so no meta_layer: the released supernet has one, and '
            'loads this file with strict=False only'
        )
    if 'ema_state_dict' in content:
        source += ", which mmengine's EMAHook has averaged"
    if any(name.startswith('board.') for name in without_module(weights)):
        notes.append('the board was left out: official checkpoints have none')
    dead = sum(name.startswith(f'blocks.3.{MAX_DEPTH}.') for name in state_dict)
    if layout.is_supernet and dead:
        layout = replace(layout, has_dead_layer=True)
        notes.append(
            f'added blocks.3.{MAX_DEPTH}.* ({dead} tensors), freshly initialised from seed 0: the '
            'released supernet has that layer, though no path selects it'
        )
    name, input_size = (None, None) if layout.is_supernet else _published(layout)
    if not layout.is_supernet:
        notes.append(_single_layers(layout.arch))
    new = dict(
        epoch=meta['epoch'] if type(meta.get('epoch')) is int else 0,
        arch=name or ('supernet' if layout.is_supernet else str(layout.arch)),
        state_dict=state_dict,
        state_dict_ema=state_dict,  # the official test evaluates this one
        version=2,
    )
    num_params, notes = _num_params(state_dict), [note for note in notes if note]
    found = Conversion(layout, name, name, input_size, source, len(state_dict), num_params, notes)
    return found, new, None


def _written_here(path: Path) -> bool:
    try:
        return 'source' in read_json(path)
    except (OSError, ValueError, TypeError):
        return False


def _num_params(state_dict: Mapping[str, Tensor]) -> int:
    buffers = ('.running_mean', '.running_var', COUNTER)
    return sum(v.numel() for name, v in state_dict.items() if not name.endswith(buffers))


def _published(layout: OfficialLayout) -> tuple[str | None, int | None]:
    """Name and image size, if it is a published network."""

    for name, net in published_nets.items():
        if net.network()[0] == layout.arch:
            return name, net.input_size
    return None, None


def _single_layers(arch: Arch) -> str | None:
    """A warning, if the released code builds another network from this list."""

    built = Arch.from_list(effective_arch(arch.to_list()))
    if built == arch:
        return None
    return (
        'the released code ignores the choice of a stage with a single layer: from this list it '
        f'builds {built}, into which these weights do not load'
    )
