"""A second search space: nothing to train, but positions that differ, and costs by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ..costs import Cost, CostModel, CostTable, build_cost_model
from ..costs.cost_model import as_pair
from ..registry import TASK_UTILS
from ..spaces import Space
from ..structures import Arch


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class ToySpace(Space):
    """The edges of a cell, grouped by the node they lead to, each with operations of its own.

    Args:
        name (str): Name that its architectures carry.
        sizes (tuple[int]): Operations of each edge.
        nodes (tuple[int]): Edges that lead to each node, in this order.
        cuts (bool): Whether operation 0 of the first edge cuts its node off, so that the second
            edge, which leads on from it, makes no difference. Costs are then not additive.
    """

    name: str = 'toy'
    sizes: tuple[int, ...] = (2, 3, 4)
    nodes: tuple[int, ...] = (1, 2)
    cuts: bool = False

    def __post_init__(self):
        object.__setattr__(self, 'sizes', tuple(self.sizes))
        object.__setattr__(self, 'nodes', tuple(self.nodes))
        if sum(self.nodes) != len(self.sizes):
            raise ValueError(f'nodes {self.nodes} do not share out {len(self.sizes)} edges')

    def decode(self, flat: Sequence[int], like: Arch | None = None) -> Arch:
        """One list per node."""
        ends = [sum(self.nodes[: i + 1]) for i in range(len(self.nodes))]
        stages = tuple(tuple(flat[end - n : end]) for end, n in zip(ends, self.nodes))
        return Arch(stages, self.name, self.fixed_ends)

    def canonical(self, arch: Arch) -> Arch:
        """With operation 0 on the edge that is cut off."""
        first, second, *rest = self.encode(arch)
        return self.decode([first, second * (first > 0 or not self.cuts), *rest])

    def to_dict(self) -> dict:
        """Keyword arguments and the type."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return dict(type='cream_mm.ToySpace', **values)


class ToyCosts(CostModel):
    """Costs that do not add up: an edge that is cut off costs nothing."""

    def __init__(self, space: ToySpace, table: CostTable):
        self.space = space
        self.input_size = table.input_size
        self._table = table

    def cost(self, arch: Arch) -> Cost:
        """What runs of ``arch``."""
        return self._table.cost(self.space.canonical(arch))


@build_cost_model.register
def toy_costs(
    space: ToySpace,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> CostModel:
    """Operation ``c`` of edge ``e`` has ``100 (e + 1) + c`` weights, 0 none; each sees all pixels.

    The classifier has ``num_classes`` weights. Only the counts that the budget asks for make
    sense here; of the conventions of others there is nothing.
    """
    height, width = as_pair(input_size)
    table, start = [], 0
    for edges in space.nodes:
        table.append([])
        for edge in range(start, start + edges):
            weights = [(100 * (edge + 1) + c) * (c > 0) for c in range(space.sizes[edge])]
            table[-1].append([_toy_cost(number, height * width) for number in weights])
        start += edges
    tail = []
    if head is not None:
        tail = [dict(name='classifier', op='linear', cost=_toy_cost(num_classes, 1))]
    costs = CostTable(
        space, table, tail=tail, input_size=(height, width), latency=latency,
        num_classes=None if head is None else num_classes,
    )  # fmt: skip
    return ToyCosts(space, costs) if space.cuts else costs


def _toy_cost(weights: int, pixels: int) -> Cost:
    return Cost(macs=weights * pixels, params=weights)
