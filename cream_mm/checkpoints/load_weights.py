"""The weights in a checkpoint file, whoever wrote it, and how far they are those of a model."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from torch import Tensor

from ..files import some_of
from .official import COUNTER, from_official, is_official
from .safe_load import load_checkpoint_file

# What wrappers put before a name: parallel training, torch.compile, and models around a model.
WRAPPERS = r'(?:module\.|_orig_mod\.|model\.)*'
SEARCH_ONLY = ('board.', 'matching.')
"""What names begin with that belong to a search and not to the network."""

BLOCKS = ('blocks', 'cells')
"""Of a backbone of ours, the lists of what an architecture decides on."""

TRAIN_ONLY = ('head.auxiliary_head.',)
"""What names begin with that only a training runs."""

# Nor does how images are prepared.
OPTIONAL = ('data_preprocessor.', *SEARCH_ONLY, *TRAIN_ONLY)


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


def without_wrappers(own: Mapping[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` under the names of ``own``: without ``module.``, ``_orig_mod.``, ``model.``."""
    starts = [start for start in prefixes(own, weights) if re.fullmatch(WRAPPERS, start)]
    best = max(
        starts, key=lambda start: (len(fitting(own, weights, start)), -len(start)), default=''
    )
    if not best:
        return weights
    return {k.removeprefix(best): v for k, v in weights.items() if k.startswith(best)}


def find_mismatch(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str | None:
    """What keeps ``weights`` from being those of a model with the state dict ``own``.

    Only a search's board and matching network, and what a training alone runs, may be beyond it;
    counters of batches and what a data preprocessor holds may be absent.
    """
    optional = ('num_batches_tracked', *OPTIONAL)
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


def prefixes(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """What may stand before the names: what stands before any of the first few."""
    names = [name for name in own if not name.endswith(COUNTER)]
    found = {
        key[: len(key) - len(name)]: None
        for name in names[:8]
        for key in weights
        if key == name or key.endswith(f'.{name}')
    }
    return list(found)


def fitting(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str = ''
) -> dict[str, Tensor]:
    """What of ``weights`` has a name and a shape of ``own``, under the name there."""
    pairs = ((name, weights.get(prefix + name)) for name in own)
    return {k: v for k, v in pairs if v is not None and v.shape == own[k].shape}


def missing_names(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Names without a tensor; counters are younger than some files, and nothing depends on them."""
    return [k for k in own if k not in found and not k.endswith(COUNTER)]


def surplus_names(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str
) -> list[str]:
    """Blocks of the file that the network does not have: it is a part of the one in the file."""
    starts = tuple(f'{prefix}{blocks}.' for blocks in BLOCKS)
    inside = (k.removeprefix(prefix) for k in weights if k.startswith(starts))
    return [name for name in inside if name not in own]


def count_tensors(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> int:
    """Counters that a file leaves out are 0, as they are in it."""
    return len(own) - len(missing_names(own, found))


def name_some(names: list[str]) -> str:
    return some_of([ascii(name)[1:-1][:80] for name in names], 3)
