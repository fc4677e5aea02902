"""``slice_of`` of an answer: the path of an elastic space that its network is, read untrusted."""

from collections.abc import Mapping, Sequence

from ..costs import CostModel
from ..registry import type_name
from ..spaces import ElasticSpace, MBConvSpace, Space
from ..structures import Arch
from .space_entry import MAX_LAYERS, MAX_SIDE, check_space, is_number, need

MAX_STEPS = 32  # of expansions, kernels and input sizes: far beyond any that is trained


def slice_content(costs: CostModel, arch: Arch) -> dict:
    """The entry ``slice_of``, by its name; nothing where the search's paths are no slices.

    Args:
        costs (CostModel): Of the search.
        arch (Arch): Its path.

    Returns:
        dict: ``arch`` and ``space`` of the path, and ``full_costs``, those of the full network
        at the full image size.
    """
    space = costs.space
    if not isinstance(space, ElasticSpace):
        return {}
    full = costs.cost(space.full_path).in_units()
    return dict(slice_of=dict(arch=arch.to_list(), space=space.to_dict(), full_costs=full))


def check_slice(content: Mapping, network: Arch, space: Space) -> None:
    """Check what an entry says about the full network that it is a slice of, if anything.

    Args:
        content (Mapping): From a file; ``slice_of`` of it is read.
        network, space (Arch, Space): What its ``arch`` and ``space`` are.

    Raises:
        ValueError: If no search writes such values, or they are another network than ``arch``.
    """
    given = content.get('slice_of')
    if given is None:
        return
    ok = isinstance(given, Mapping) and set(given) <= {'arch', 'space', 'full_costs'}
    need(ok, 'slice_of', given)
    full_costs = given.get('full_costs') or {}
    ok = isinstance(full_costs, Mapping) and len(full_costs) <= MAX_STEPS
    ok = ok and all(value is None or is_number(value, 1e9) for value in full_costs.values())
    need(ok, 'slice_of.full_costs', full_costs)
    elastic = _elastic(given.get('space'))
    need(_is_nested(given.get('arch')), 'slice_of.arch', given.get('arch'))
    if elastic.network(elastic.parse(given['arch'])) != (network, space):
        raise ValueError('"slice_of" is another network than "arch"')


def _elastic(entries: object) -> ElasticSpace:
    ok = isinstance(entries, Mapping) and type_name(entries.get('type')) == ElasticSpace.__name__
    need(ok and isinstance(entries.get('skeleton'), Mapping), 'slice_of.space', entries)
    need(check_space(entries['skeleton']) is MBConvSpace, 'slice_of.space', entries['skeleton'])
    need(_is_nested(entries.get('full')), 'slice_of.space.full', entries.get('full'))
    for key, high in (('expansions', 1e4), ('kernels', 1e4), ('input_sizes', MAX_SIDE)):
        steps = entries.get(key, [])
        ok = isinstance(steps, list) and len(steps) <= MAX_STEPS
        need(ok and all(is_number(x, high) for x in steps), f'slice_of.space.{key}', steps)
    return ElasticSpace.build(entries)


def _is_nested(value: object) -> bool:
    """Whether it is lists of whole numbers in a list, and not too many."""
    stages: Sequence = value if isinstance(value, list) else [None]
    if len(stages) > MAX_LAYERS or not all(isinstance(stage, list) for stage in stages):
        return False
    flat = [choice for stage in stages for choice in stage]
    return len(flat) <= MAX_LAYERS and all(type(choice) is int for choice in flat)
