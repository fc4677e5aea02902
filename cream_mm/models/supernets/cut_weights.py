"""The weights of a path out of a supernet's checkpoint, whatever the kind of space."""

from collections.abc import Mapping
from functools import singledispatch

from torch import Tensor

from ...registry import MODELS, type_name
from ...spaces import ElasticSpace, MBConvSpace, NAOSpace, NASBench201Space, Space
from ...structures import Arch
from .cut_cell import cut_cell
from .cut_elastic import cut_elastic
from .cut_path import cut_path
from .router import Router, TableRouter

NO_WEIGHTS_OF_NAO = (
    'weights of a supernet of NAO cells are not those of a network: its cells end in a conv1x1 '
    'that a network has not. Train the network from scratch'
)


@singledispatch
def cut_weights(
    space: Space,
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    about: Mapping | None = None,
) -> dict[str, Tensor]:
    """Keep what ``arch`` uses and rename it to the keys of a fixed network.

    A new kind of space joins by ``@cut_weights.register``.

    Args:
        space (Space): Of the supernet.
        state_dict (dict): Weights of a supernet, or of a whole model around it.
        arch (Arch): The path to keep.
        prefix (str): Where the supernet sits in the state dict. Defaults to 'backbone.'.
        about (dict, optional): What the answer's file says beside.

    Raises:
        KeyError: If a part of ``arch`` is not in the state dict.
        ValueError: If weights of such a supernet are not those of networks, or ``about`` is not
            what a search writes.
    """
    raise ValueError(f'no weights are cut out of the supernet of a {type(space).__name__}')


@cut_weights.register
def _cut_mbconv(
    space: MBConvSpace,
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    about: Mapping | None = None,
) -> dict[str, Tensor]:
    if about and (source := about.get('slice_of')):
        full = ElasticSpace.build(source['space'])
        return cut_elastic(state_dict, full.parse(source['arch']), prefix, full)
    return cut_path(state_dict, arch, prefix, space)


@cut_weights.register
def _cut_elastic(
    space: ElasticSpace,
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    about: Mapping | None = None,
) -> dict[str, Tensor]:
    return cut_elastic(state_dict, arch, prefix, space)


@cut_weights.register
def _cut_nas_bench_201(
    space: NASBench201Space,
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    about: Mapping | None = None,
) -> dict[str, Tensor]:
    name = (about or {}).get('router')
    if not any(key.startswith(f'{prefix}cells.0.banks.') for key in state_dict):
        raise KeyError(
            f'the weights hold no banks of {space.format(arch)}: they belong to another supernet, '
            'or to a fixed network'
        )
    if name is None and f'{prefix}router.table' not in state_dict:
        raise ValueError(
            'which weights an edge uses is up to the router of this supernet, and only the '
            'best_arch.json of its search names that: give the file'
        )
    router = TableRouter if name is None else _router(name)
    return cut_cell(state_dict, arch, prefix, space, router)


@cut_weights.register
def _cut_nao(
    space: NAOSpace,
    state_dict: Mapping[str, Tensor],
    arch: Arch,
    prefix: str = 'backbone.',
    about: Mapping | None = None,
) -> dict[str, Tensor]:
    raise ValueError(NO_WEIGHTS_OF_NAO)


def _router(name: str) -> type[Router]:
    """A registered class of routers; a file names it, so nothing is imported for it."""
    MODELS.import_from_location()
    found = MODELS.module_dict.get(type_name(name))
    if not (isinstance(found, type) and issubclass(found, Router)):
        names = sorted(
            key for key, value in MODELS.module_dict.items()
            if isinstance(value, type) and issubclass(value, Router)
        )  # fmt: skip
        raise ValueError(f'"router" is {name[:80]!r}; there are {", ".join(names)}')
    return found
