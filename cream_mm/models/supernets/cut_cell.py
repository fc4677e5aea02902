"""Cut the weights of one cell out of a supernet's state dict."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ...checkpoints.load_weights import SEARCH_ONLY
from ...spaces import NASBench201Space
from ...spaces.nas_bench_201 import KERNELS
from ...structures import Arch
from .router import Router, TableRouter


def cut_cell(
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str,
    space: NASBench201Space,
    router: type[Router] = TableRouter,
) -> dict[str, Tensor]:
    """Keep what ``arch`` uses and rename it to the keys of a fixed network.

    ``cells.{i}.banks.{bank}.{op}.X`` becomes ``cells.{i}.layers.{edge}.X`` of each edge that the
    router sends to this bank. Keys outside the backbone stay; what only a search needs is dropped.

    The fixed network also runs edges that nothing enters, and its norms there would turn zeros
    into their own shift; theirs begin afresh, with which zeros stay zeros.

    Args:
        state_dict (dict): Weights of a supernet, or of a whole model around it.
        arch (Arch): The cell to keep.
        prefix (str): Where the supernet sits in the state dict.
        space (NASBench201Space): The space.
        router (type[Router]): Reads which bank each edge uses.

    Raises:
        KeyError: If the router, or an edge of ``arch``, is not in the state dict.
    """
    ops, live = space.encode(arch), space.live_edges(arch)
    try:
        banks = router.banks_from(state_dict, arch, space, f'{prefix}router.')
    except KeyError as error:
        raise KeyError(
            f'the weights hold no {router.__name__}, there is no {error}: they belong to another '
            'supernet'
        ) from None
    edges: dict[tuple[int, int], list[int]] = {}
    for position, (op, bank) in enumerate(zip(ops, banks)):
        if op in KERNELS:
            edges.setdefault((bank, op), []).append(position)
    pattern = re.compile(re.escape(prefix) + r'cells\.(\d+)\.banks\.(\d+)\.(\d+)\.(.+)')
    out, found = {}, set()
    for key, value in state_dict.items():
        match = pattern.fullmatch(key)
        if match:
            cell, bank, op = (int(group) for group in match.groups()[:3])
            for position in edges.get((bank, op), ()):
                name = f'{prefix}cells.{cell}.layers.{position}.{match.group(4)}'
                out[name] = value if live[position] else _fresh(match.group(4), value)
                found.add(position)
        elif not key.startswith((f'{prefix}router.', *SEARCH_ONLY)):
            out[key] = value
    missing = sorted(set().union(*edges.values()) - found)
    if missing:
        raise KeyError(
            f'the weights hold no edges {missing} of {space.format(arch)}: they belong to another '
            'supernet, or to a fixed network'
        )
    for key in [key for key in out if key.endswith('.op.2.running_mean')]:
        base = key.removesuffix('running_mean')  # norms that neither scale nor shift
        out.setdefault(f'{base}weight', torch.ones_like(out[key]))
        out.setdefault(f'{base}bias', torch.zeros_like(out[key]))
    return out


def _fresh(name: str, value: Tensor) -> Tensor:
    """Statistics, and with affine norms scale and shift, as they begin."""
    if name.endswith(('running_mean', 'num_batches_tracked', 'op.2.bias')):
        return torch.zeros_like(value)
    return torch.ones_like(value) if name.startswith('op.2.') else value
