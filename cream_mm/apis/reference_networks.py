"""What a found network is measured against: the usual means to make a network cheaper.

Each is a path of an elastic space around the same full network, so that its weights are slices of
the same supernet.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ..costs import Budget, CostModel, build_cost_model
from ..search import PathSampler
from ..spaces import ElasticSpace
from ..structures import Arch

SLACK = 0.03
"""Share of the full network's cost by which a reference may lie below a bound."""

OVER = 0.035
"""The same above it, of an input size, which cannot be chosen as finely."""
SIDE = 8
"""Pixels in whose multiples input sizes are tried."""


class Slice(NamedTuple):
    """A path of an elastic space. Where its size is no choice, it takes the full network's."""

    space: ElasticSpace
    arch: Arch

    def at(self, full_size: int, side: int) -> 'Slice':
        """The same layers on images of another side, in pixels."""
        plain = self.space.at_size()
        flat = list(self.space.encode(self.arch))[: len(plain.sizes)]
        if side == full_size:
            return Slice(plain, plain.decode(flat))
        sized = replace(plain, input_sizes=(full_size, side))
        return Slice(sized, sized.decode([*flat, 1]))


def macs_m(costs: CostModel, one: Slice) -> float:
    """Millions of multiply-adds of a slice, with the classes and the head of ``costs``, if any."""
    args = one.space, costs.input_size, costs.num_classes, costs.head_channels
    own = build_cost_model(*args, head=None if costs.num_classes is None else 'classifier')
    return own.cost(one.arch).in_units()['macs_m']


def full(space: ElasticSpace) -> Slice:
    """The full network at its full size."""
    plain = space.at_size()
    return Slice(plain, plain.full_path)


def bound_of(space: ElasticSpace, costs: CostModel, share: float) -> float:
    """A share of the full network's millions of multiply-adds at its full size.

    Raises:
        ValueError: If ``share`` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f'a share of the full network is between 0 and 1; got {share}')
    return share * macs_m(costs, full(space))


def lower_sizes(space: ElasticSpace, costs: CostModel, share: float) -> list[Slice]:
    """The full network on smaller images: the two largest sides that are as cheap as the share.

    Sides are multiples of 8. Each stride rounds an odd side up, so that costs fall in leaps (of
    EfficientNet-Lite0 at 128 pixels to 0.563 at 96, 0.534 at 88, 0.447 at 80); they may lie
    :data:`OVER` above the bound, to the favour of this reference.

    Raises:
        ValueError: If no side is small enough.
    """
    size, bound = costs.input_size[0], bound_of(space, costs, share)
    sides = range((size - 1) // SIDE * SIDE, 0, -SIDE)
    found = [full(space).at(size, side) for side in sides]
    most = bound + OVER * bound / share
    found = [one for one in found if macs_m(costs, one) <= most][:2]
    if not found:
        raise ValueError(f'no input size makes the network as cheap as {share:g} of it')
    return found


def narrower(space: ElasticSpace, costs: CostModel, share: float) -> Slice:
    """The full network with one upper bound on all expansions, the largest that fits.

    The bound is any number, in hundredths: channels are whole multiples of 8 anyway.

    Raises:
        ValueError: If not even an expansion of 1 is cheap enough.
    """
    bound = bound_of(space, costs, share)
    own = [space.choices_at(i)[0] for i in range(len(space.specs()))]
    highest = max(choice[1] for choice in own if choice != 'identity')

    def at(hundredths: int) -> Slice:
        most = hundredths / 100
        other = replace(space.at_size(), expansions=(most,))
        flat = []
        for position, choice in enumerate(own):
            cut = choice if choice == 'identity' or choice[1] <= most else (choice[0], most)
            flat.append(other.choices_at(position).index(cut))
        return Slice(other, other.decode(flat))

    low, high = 100, round(100 * highest)
    if macs_m(costs, at(low)) > bound:
        raise ValueError(f'no expansion makes the network as cheap as {share:g} of it')
    while low < high:  # the largest that fits: costs do not fall with the expansion
        middle = (low + high + 1) // 2
        low, high = (middle, high) if macs_m(costs, at(middle)) <= bound else (low, middle - 1)
    return at(low)


def shallower(space: ElasticSpace, costs: CostModel, share: float) -> Slice:
    """The full network without the last layers of its stages, left out as evenly as fits.

    Of all depths whose cost lies within :data:`SLACK` below the bound, those are taken at which
    the stages keep the most equal shares of the layers that they can do without; of equal ones
    the costliest. Where none lies there, it is the costliest below the bound.

    Raises:
        ValueError: If the network is not cheap enough without all of them.
    """
    bound = bound_of(space, costs, share)
    least = bound - SLACK * bound / share
    found = [(macs_m(costs, one), spread, one) for spread, one in _depths(space)]
    found = [row for row in found if row[0] <= bound]
    if not found:
        raise ValueError(
            f'without all layers that can be left out the network costs more than {share:g} of it'
        )
    near = [row for row in found if row[0] >= least]
    if near:
        return min(near, key=lambda row: (row[1], -row[0]))[2]
    return max(found, key=lambda row: row[0])[2]


def _depths(space: ElasticSpace) -> Iterator[tuple[float, Slice]]:
    """Each way to leave out last layers, with how uneven it is."""
    plain = space.at_size()
    stages, start = [], 0
    for depth in plain.full.depths:
        places = range(start, start + depth)
        stages.append([i for i in places if plain.choices_at(i)[-1] == 'identity'])
        start += depth
    stages = [[i for i in places if len(plain.choices_at(i)) > 1] for places in stages]
    whole = plain.encode(plain.full_path)
    for kept in itertools.product(*(range(len(places) + 1) for places in stages)):
        flat = list(whole)
        for number, places in zip(kept, stages):
            for i in places[number:]:
                flat[i] = len(plain.choices_at(i)) - 1
        shares = [number / len(places) for number, places in zip(kept, stages) if places]
        mean = sum(shares) / len(shares) if shares else 0.0
        spread = round(math.fsum((share - mean) ** 2 for share in shares), 9)
        yield spread, Slice(plain, plain.decode(flat))


def random_paths(
    space: ElasticSpace, costs: CostModel, share: float, num: int, seed: int = 0
) -> list[Slice]:
    """Paths of the search's space, drawn among those within :data:`SLACK` below the bound.

    Raises:
        ValueError: If no path costs as much.
    """
    bound = bound_of(space, costs, share)
    budget = Budget(costs, macs_m=(bound - SLACK * bound / share, bound))
    sampler, found = PathSampler(space, budget, seed=seed), {}
    for step in range(100 * num):
        arch = sampler.sample(step)
        found[space.network(arch), space.input_size(arch)] = arch
        if len(found) == num:
            break
    return [Slice(space, arch) for arch in found.values()]
