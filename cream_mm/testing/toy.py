"""A second search space: nothing to train, but positions that differ, and costs by hand."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

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
