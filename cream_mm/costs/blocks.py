"""Costs of the networks that cells of blocks make together."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product

from ..spaces import MBConvSpace
from ..spaces.blocks import BlockSpace
from ..structures import Arch
from .cost import Cost
from .cost_model import CostModel, CostTable, build_cost_model
from .mbconv import mbconv_costs


class BlockCosts(CostModel):
    """Counts the answers of a :class:`BlockSpace`: each costs what its network costs.

    A block's first layer takes the width of the block before it, so costs add up over blocks once
    all widths are known: :meth:`tables` has one additive table for each combination of widths.

    Args:
        space (BlockSpace): The space.
        input_size (int | tuple[int, int]): Image height and width in pixels.
        **kwargs: Further arguments of :func:`mbconv_costs`.
    """

    def __init__(self, space: BlockSpace, input_size: int | Sequence[int], **kwargs):
        self.space = space
        self._args = dict(input_size=input_size, **kwargs)
        self._models: dict[MBConvSpace, CostTable] = {}
        first = self._model(space.network_space([0] * space.num_blocks))
        self.input_size, self.num_classes = first.input_size, first.num_classes
        self.head_channels = first.head_channels

    def _model(self, space: MBConvSpace) -> CostTable:
        if space not in self._models:
            self._models[space] = mbconv_costs(space, **self._args)
        return self._models[space]

    def network(self, arch: Arch) -> tuple[Arch, CostTable]:
        """An answer as what it is exported as, and the costs of its space.

        Raises:
            ValueError: If it is none.
        """
        network, space = self.space.network(arch)
        return network, self._model(space)

    def cost(self, arch: Arch) -> Cost:
        """All counts of an answer.

        Raises:
            ValueError: If it is none. A path through several cells of a block is no network.
        """
        network, costs = self.network(arch)
        return costs.cost(network)

    def tables(self) -> Iterator[tuple[tuple[int, ...], CostTable]]:
        """One additive table per combination of widths.

        Yields:
            tuple[tuple[int, ...], CostTable]: The widths, and the costs of networks of these
            widths, of stages as deep as the deepest cell of that width.
        """
        for widths in product(*(dict.fromkeys(cell.width for cell in b) for b in self.space.cells)):
            deepest = [
                max((c.layers, i) for i, c in enumerate(block) if c.width == width)[1]
                for block, width in zip(self.space.cells, widths)
            ]
            yield widths, self._model(self.space.network_space(deepest))

    def cell_costs(self, table: CostTable, block: int, cell: int) -> list[list[Cost]]:
        """Costs of each choice at each layer of a cell, in one of :meth:`tables`."""
        start = sum(table.space.depths[:block])
        layers = self.space.cells[block][cell].layers
        return [table.choice_costs(start + layer) for layer in range(layers)]

    @cached_property
    def _extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        ends = []
        for pick in (min, max):
            units: dict[str, list[float]] = {}
            for widths, table in self.tables():
                total = [unit for unit in table.fixed[:4]]
                for block, (cells, width) in enumerate(zip(self.space.cells, widths)):
                    inside = [i for i, cell in enumerate(cells) if cell.width == width]
                    for unit in range(4):
                        total[unit] += pick(
                            sum(pick(c[unit] for c in layer)
                                for layer in self.cell_costs(table, block, cell))
                            for cell in inside
                        )  # fmt: skip
                for key, value in Cost(*total).in_units().items():
                    units.setdefault(key, []).append(value)
            ends.append({key: pick(values) for key, values in units.items()})
        return tuple(ends)

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Smallest and largest value of each unit among all networks, each unit on its own."""
        return self._extremes

    def layer_table(self, arch: Arch) -> list[dict]:
        """One row per layer of an answer, see :meth:`CostTable.layer_table`."""
        network, costs = self.network(arch)
        return costs.layer_table(network)


@build_cost_model.register
def block_costs(
    space: BlockSpace,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> BlockCosts:
    """The costs of a block space; see :func:`build_cost_model`.

    Raises:
        ValueError: If times are given: those of a network's layers are not known by block.
    """
    if latency is not None:
        raise ValueError('measured times of the cells of blocks are not read yet')
    return BlockCosts(
        space, input_size, num_classes=num_classes, head_channels=head_channels, head=head
    )
