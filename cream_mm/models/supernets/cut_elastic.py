"""Cut the weights of one path out of the weights of a full network."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...checkpoints.load_weights import SEARCH_ONLY
from ...spaces import ElasticSpace, MBConvSpace
from ...structures import Arch
from ..backbones.cream_net import CreamNet
from .sliced_block import slice_to

STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def cut_elastic(
    state_dict: Mapping[str, Tensor], arch: Arch, prefix: str, space: ElasticSpace
) -> dict[str, Tensor]:
    """Keep what ``arch`` uses, and rename it to the keys of a fixed network.

    Keys outside the backbone (``head.*``, ``neck.*``) stay. The slices hold memory of their own.

    Args:
        state_dict (dict): Weights of the full network, or of a whole model around it.
        arch (Arch): The path to keep.
        prefix (str): Where the full network sits in the state dict, e.g. 'backbone.'.
        space (ElasticSpace): The space of ``arch``.

    Raises:
        KeyError: If a weight of the full network is not there, or has another shape.
    """
    space.validate(arch)
    places = _kept(arch, space)
    out = {
        key: value
        for key, value in state_dict.items()
        if not key.startswith((f'{prefix}blocks.', *SEARCH_ONLY))
    }
    shapes = _shapes(space.full, space.skeleton)
    for name, shape in _shapes(*space.network(arch)).items():
        own = _renamed(name, places)
        value = state_dict.get(prefix + own)
        if value is None and name.endswith(STATISTICS):
            continue  # of norm layers that have none
        if value is None or value.shape != shapes[own]:
            found = 'not there' if value is None else f'of {list(value.shape)}'
            raise KeyError(
                f'the weights are not those of the full network of {space.name!r}: {prefix}{own} '
                f'is {found} and should be of {list(shapes[own])}'
            )
        out[prefix + name] = value if value.shape == shape else slice_to(value, shape).clone()
    return out


def _kept(arch: Arch, space: ElasticSpace) -> dict[tuple[int, int], int]:
    """(stage, layer) of the network to the layer of that stage of the full network."""
    places: dict[tuple[int, int], int] = {}
    depths = [0] * (space.skeleton.num_stages + 1)
    for position, (spec, choice) in enumerate(zip(space.specs(), space.encode(arch))):
        if space.network_indices(position)[choice] is not None:
            places[spec.stage, depths[spec.stage]] = spec.layer
            depths[spec.stage] += 1
    return places


def _renamed(name: str, places: Mapping[tuple[int, int], int]) -> str:
    """The name in the full network of a weight of the network."""
    parts = name.split('.')
    if parts[0] == 'blocks':
        stage, layer = int(parts[1]), int(parts[2])
        parts[2] = str(places.get((stage, layer), layer))
    return '.'.join(parts)


def _shapes(arch: Arch, space: MBConvSpace) -> dict[str, torch.Size]:
    with torch.device('meta'):
        net = CreamNet(arch, space=space.to_dict())
    return {name: value.shape for name, value in net.state_dict().items()}
