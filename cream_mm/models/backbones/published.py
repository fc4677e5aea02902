"""The six published Cream networks: what was trained and released, and what was said about it."""

from collections.abc import Sequence
from typing import NamedTuple

from ...costs import Cost, CostModel, CostTable, build_cost_model
from ...spaces import MBConvSpace
from ...structures import Arch

# A stage's op where the released builder ignores the list: stages 1 to 5, choice indices.
DEFAULT_OPS = (0, 2, 1, 1, 3)


class PublishedNet(NamedTuple):
    """One released network. All are for ImageNet-1k, 1000 classes.

    Reference:
        Cream, released code and its result table.
    """

    arch: list  # the network in the released checkpoint: what `arch='cream-...'` builds
    official_arch: list  # the list that the released code prints for it; see `effective_arch`
    input_size: int  # pixels
    top1: float  # percent, as published; not reproduced here
    top5: float
    checkpoint: str  # file name in the authors' folder


def effective_arch(official: Sequence[Sequence[int]]) -> list:
    """The network that the released code builds for an architecture list.

    Its builder of fixed networks honours the choices of a stage with two or more layers, and
    ignores the choice of a stage with one: that layer keeps the default op. cream_mm honours
    every choice; give it this list for the same network.

    Raises:
        ValueError: If ``official`` is not a list of five searchable stages between two ``[0]``.

    >>> effective_arch([[0], [3], [3, 3], [3, 3], [3], [3], [0]])
    [[0], [0], [3, 3], [3, 3], [1], [3], [0]]
    """
    stages = Arch.from_list(official).stages
    if len(stages) != len(DEFAULT_OPS):
        raise ValueError(f'Cream has {len(DEFAULT_OPS)} searchable stages; got {len(stages)}')
    kept = ([op] if len(stage) == 1 else list(stage) for op, stage in zip(DEFAULT_OPS, stages))
    return [[0], *kept, [0]]


def published_costs(costs: CostModel) -> dict[str, Cost]:
    """What the published networks cost in the place of the networks that ``costs`` counts.

    At the same image size and with the same head; only those that cost at most twice what the
    costliest of that space does, and at least half of what the cheapest does.
    """
    if not isinstance(costs, CostTable):
        return {}  # not of convolutions one after the other
    smallest, largest = costs.extremes()
    head = dict(num_classes=costs.num_classes, head_channels=costs.head_channels)
    if costs.num_classes is None:
        head = dict(head=None)
    found = {}
    for name, net in published_nets.items():
        arch = Arch.from_list(net.arch)
        space = MBConvSpace(depths=arch.depths)
        cost = build_cost_model(space, costs.input_size, **head).cost(arch)
        macs = cost.in_units()['macs_m']
        if smallest['macs_m'] / 2 <= macs <= 2 * largest['macs_m']:
            found[name] = cost
    return found


published_nets = {
    'cream-14m': PublishedNet(
        arch=[[0], [0], [3, 3], [3, 3], [1], [3], [0]],
        official_arch=[[0], [3], [3, 3], [3, 3], [3], [3], [0]],
        input_size=64,
        top1=53.8,
        top5=77.2,
        checkpoint='14.pth.tar',
    ),
    'cream-43m': PublishedNet(
        arch=[[0], [0], [3, 1], [3, 1], [3, 3, 3], [3, 3], [0]],
        official_arch=[[0], [3], [3, 1], [3, 1], [3, 3, 3], [3, 3], [0]],
        input_size=96,
        top1=66.3,
        top5=86.7,
        checkpoint='43.pth.tar',
    ),
    'cream-114m': PublishedNet(
        arch=[[0], [0], [3, 3], [3, 3], [3, 3, 3], [3, 3], [0]],
        official_arch=[[0], [3], [3, 3], [3, 3], [3, 3, 3], [3, 3], [0]],
        input_size=160,
        top1=72.8,
        top5=90.8,
        checkpoint='114.pth.tar',
    ),
    'cream-287m': PublishedNet(
        arch=[[0], [0], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
        official_arch=[[0], [3], [3, 3], [3, 1, 3], [3, 3, 3, 3], [3, 3, 3], [0]],
        input_size=224,
        top1=77.6,
        top5=93.3,
        checkpoint='287.pth.tar',
    ),
    'cream-481m': PublishedNet(
        arch=[[0], [3, 4, 3, 1], [3, 2, 3, 0], [3, 3, 3, 1, 1], [3, 3, 3, 3], [3, 3, 3, 3], [0]],
        official_arch=[
            [0], [3, 4, 3, 1], [3, 2, 3, 0], [3, 3, 3, 1, 1], [3, 3, 3, 3], [3, 3, 3, 3], [0],
        ],
        input_size=224,
        top1=79.2,
        top5=94.2,
        checkpoint='481.pth.tar',
    ),
    'cream-604m': PublishedNet(
        arch=[
            [0], [3, 3, 2, 3, 3], [3, 2, 3, 2, 3], [3, 2, 3, 2, 3], [3, 3, 2, 2, 3, 3],
            [3, 3, 2, 3, 3, 3], [0],
        ],
        official_arch=[
            [0], [3, 3, 2, 3, 3], [3, 2, 3, 2, 3], [3, 2, 3, 2, 3], [3, 3, 2, 2, 3, 3],
            [3, 3, 2, 3, 3, 3], [0],
        ],
        input_size=224,
        top1=80.0,
        top5=94.7,
        checkpoint='604.pth.tar',
    ),
}  # fmt: skip
