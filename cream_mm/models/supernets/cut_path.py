"""Cut the weights of one path out of a supernet's state dict."""

import re
from collections.abc import Mapping

from torch import Tensor

from ...checkpoints.load_weights import SEARCH_ONLY
from ...spaces import IDENTITY, MBConvSpace
from ...structures import Arch
from .router import TableRouter


def cut_path(
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    space: MBConvSpace | None = None,
) -> dict[str, Tensor]:
    """Keep what ``arch`` uses and rename it to the keys of a fixed network.

    ``blocks.{stage}.{layer}.{choice}.X`` of the chosen choices becomes
    ``blocks.{stage}.{layer}.X``. Where layers share weights by a table (``router.table``, see
    :class:`TableRouter`), those of the layer that a layer is sent to become its own. Keys outside
    the backbone (``head.*``, ``neck.*``) stay; what only a search needs (``board.*``,
    ``matching.*``, ``router.*``) is dropped.

    Args:
        state_dict (dict): Weights of a supernet, or of a whole model around it.
        arch (Arch): The path to keep.
        prefix (str): Where the supernet sits in the state dict. Defaults to 'backbone.'.
        space (MBConvSpace, optional): The space, which knows what has no weights to be missed:
            identities, and a first or last block that was left out. None is one without such.

    Raises:
        KeyError: If a layer of ``arch`` is not in the state dict.
    """
    chosen = {(0, 0): 0, (len(arch.stages) + 1, 0): 0}
    for stage, choices in enumerate(arch.stages, start=1):
        for layer, choice in enumerate(choices):
            chosen[stage, layer] = choice
    uses: dict[tuple[int, int, int], list[int]] = {}  # layers that run with these weights
    lenders = _lenders(state_dict, arch, prefix, space)
    for (stage, layer), choice in chosen.items():
        lender = lenders.get((stage, layer), layer)
        uses.setdefault((stage, lender, choice), []).append(layer)
    block = re.compile(re.escape(prefix) + r'blocks\.(\d+)\.(\d+)\.(\d+)\.(.+)')
    out, found = {}, set()
    for key, value in state_dict.items():
        match = block.fullmatch(key)
        if match:
            stage, lender, choice = (int(g) for g in match.groups()[:3])
            for layer in uses.get((stage, lender, choice), ()):
                out[f'{prefix}blocks.{stage}.{layer}.{match.group(4)}'] = value
                found.add((stage, layer))
        elif not key.startswith((f'{prefix}router.', *SEARCH_ONLY)):
            out[key] = value
    missing = sorted(set(chosen) - found - _weightless(arch, space))
    if missing:
        raise KeyError(
            f'the weights hold no (stage, layer) {missing} of {arch}: they belong to another '
            'supernet, or to a fixed network'
        )
    return out


def _lenders(
    state_dict: Mapping[str, Tensor], arch: Arch, prefix: str, space: MBConvSpace | None
) -> dict[tuple[int, int], int]:
    """The layer of its stage whose weights a (stage, layer) runs with; {} where each has its own.

    Raises:
        KeyError: If the table is that of other stages.
    """
    if f'{prefix}router.table' not in state_dict:
        return {}
    table = TableRouter.banks_from(state_dict, arch, space, f'{prefix}router.')
    depths = arch.depths if space is None else space.depths
    places = [(s, layer) for s, depth in enumerate(depths, start=1) for layer in range(depth)]
    within = len(table) == len(places) and all(0 <= bank < len(places) for bank in table)
    if not within or any(places[b][0] != place[0] for b, place in zip(table, places)):
        raise KeyError(
            f'the weights share those of {len(table)} layers by a table, {list(table)}, which is '
            f'not of stages of {list(depths)} layers'
        )
    return {place: places[bank][1] for bank, place in zip(table, places)}


def _weightless(arch: Arch, space: MBConvSpace | None) -> set[tuple[int, int]]:
    """(stage, layer) of what is there without having weights."""
    if space is None:
        return set()
    ends = {(0, 0): space.first_channels, (len(arch.stages) + 1, 0): space.final_channels}
    return {place for place, channels in ends.items() if channels == 0} | {
        (spec.stage, spec.layer)
        for spec in space.layers(arch.depths)
        if not spec.reshapes and space.choices[arch.stages[spec.stage - 1][spec.layer]] == IDENTITY
    }
