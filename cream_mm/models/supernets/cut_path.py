"""Cut the weights of one path out of a supernet's state dict."""

import re
from collections.abc import Mapping

from torch import Tensor

from ...checkpoints.load_weights import SEARCH_ONLY
from ...spaces import IDENTITY, MBConvSpace
from ...structures import Arch


def cut_path(
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    space: MBConvSpace | None = None,
) -> dict[str, Tensor]:
    """Keep what ``arch`` uses and rename it to the keys of a fixed network.

    ``blocks.{stage}.{layer}.{choice}.X`` of the chosen choices becomes
    ``blocks.{stage}.{layer}.X``. Keys outside the backbone (``head.*``, ``neck.*``) stay; what only
    a search needs (``board.*``, ``matching.*``) is dropped.

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
    block = re.compile(re.escape(prefix) + r'blocks\.(\d+)\.(\d+)\.(\d+)\.(.+)')
    out, found = {}, set()
    for key, value in state_dict.items():
        match = block.fullmatch(key)
        if match:
            stage, layer, choice = (int(g) for g in match.groups()[:3])
            if chosen.get((stage, layer)) == choice:
                out[f'{prefix}blocks.{stage}.{layer}.{match.group(4)}'] = value
                found.add((stage, layer))
        elif not key.startswith(SEARCH_ONLY):
            out[key] = value
    missing = sorted(set(chosen) - found - _weightless(arch, space))
    if missing:
        raise KeyError(
            f'the weights hold no (stage, layer) {missing} of {arch}: they belong to another '
            'supernet, or to a fixed network'
        )
    return out


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
