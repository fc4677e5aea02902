"""Costs of the networks that cells of blocks make together."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, reduce
from typing import Any

import numpy as np

from ..spaces import MBConvSpace
from ..spaces.blocks import BlockSpace
from ..structures import Arch
from .cost import Cost
from .cost_model import CostModel, CostTable, build_cost_model
from .layer_times import LayerTimes, MissingTimes
from .mbconv import mbconv_costs


class BlockCosts(CostModel):
    """Counts the answers of a :class:`BlockSpace`: each costs what its network costs.

    A block's first layer takes the width of the block before it, so the cost of a candidate is
    known once that width is: see :meth:`cell_costs`.

    Args:
        space (BlockSpace): The space.
        input_size (int | tuple[int, int]): Image height and width in pixels.
        **kwargs: Further arguments of :func:`mbconv_costs`.
    """

    def __init__(self, space: BlockSpace, input_size: int | Sequence[int], **kwargs: Any):
        self.space = space
        self._args = dict(input_size=input_size, **kwargs)
        self._models: dict[MBConvSpace, CostTable] = {}
        if kwargs.get('latency') is not None:
            self._check_times()
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

    # ---- by block ----------------------------------------------------------------------------

    def widths(self, block: int) -> list[int]:
        """The different widths of a block's cells."""
        return list(dict.fromkeys(cell.width for cell in self.space.cells[block]))

    def cell_costs(self, block: int, cell: int, before: int | None = None) -> list[list[Cost]]:
        """Costs of each choice at each layer of a cell.

        Args:
            block, cell (int): Which cell, from 0.
            before (int, optional): Width of the block before. Defaults to its first cell's.
        """
        table = self._with_width(block - 1, before, {block: cell})
        start = sum(table.space.depths[:block])
        layers = self.space.cells[block][cell].layers
        return [table.choice_costs(start + layer) for layer in range(layers)]

    def candidate_costs(
        self, block: int, cell: int, unit: str, before: int | None = None
    ) -> np.ndarray:
        """What each path through a cell costs, in the order of :meth:`BlockSpace.candidates`.

        Args:
            block, cell (int): Which cell, from 0.
            unit (str): Such as ``'macs_m'``.
            before (int, optional): As in :meth:`cell_costs`.

        Returns:
            ndarray: (candidates,).
        """
        rows = self.cell_costs(block, cell, before)
        layers = [np.array([cost.in_units()[unit] for cost in row]) for row in rows]
        return reduce(np.add.outer, layers).ravel()

    def fixed(self, width: int) -> Cost:
        """What networks cost besides their blocks, by the width of the last one."""
        return self._with_width(self.space.num_blocks - 1, width).fixed

    @property
    def used_rows(self) -> set[int]:
        """Numbers, from 1, of the rows of ``latency`` that some network needs."""
        return self._args['latency']['rows'].used

    def _check_times(self) -> None:
        """Look up every layer of every cell behind every width.

        Raises:
            MissingTimes: With all that have no time.
        """
        missing: dict[str, None] = {}
        for block, cells in enumerate(self.space.cells):
            for cell in range(len(cells)):
                for before in self.widths(block - 1) if block else [None]:
                    try:
                        self._with_width(block - 1, before, {block: cell})
                    except MissingTimes as error:
                        missing |= dict.fromkeys(error.layers)
        if missing:
            raise MissingTimes(list(missing))

    def _with_width(
        self, block: int, width: int | None, chosen: Mapping[int, int] | None = None
    ) -> CostTable:
        """The table of some network in which a block has a width; others are first cells."""
        cells = [0] * self.space.num_blocks
        for number, cell in (chosen or {}).items():
            cells[number] = cell
        if block >= 0 and width is not None:
            cells[block] = [cell.width for cell in self.space.cells[block]].index(width)
        return self._model(self.space.network_space(cells))

    @cached_property
    def _extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        lasts, ends = self.widths(self.space.num_blocks - 1), []
        for pick in (min, max):
            columns = zip(*(self._extreme(pick, last) for last in lasts))
            ends.append(Cost(*(pick(column) for column in columns)).in_units())
        return tuple(ends)

    def _extreme(self, pick: Callable, last: int) -> list[float]:
        """The least or the most of each unit, of networks whose last block has a width.

        By the width that a block puts out, from the first on. Sums in the order of :meth:`cost`,
        so that what is said of times is true to the last digit.
        """
        start = [value for value in self.fixed(last) if value is not None]
        totals: dict[int | None, list] = {None: start}
        for block, cells in enumerate(self.space.cells):
            is_last, found = block == self.space.num_blocks - 1, {}
            for cell, (_, width) in enumerate(cells):
                if is_last and width != last:
                    continue
                for before, total in totals.items():
                    for row in self.cell_costs(block, cell, before):
                        columns = list(zip(*row))[: len(start)]
                        total = [a + pick(column) for a, column in zip(total, columns)]
                    found.setdefault(width, []).append(total)
            totals = {width: [pick(x) for x in zip(*rows)] for width, rows in found.items()}
        return totals[last]

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

    ``latency`` is ``dict(rows=[...])``: how long a cell takes depends on the width before it, so
    that its times are those of its layers, see :class:`LayerTimes`.

    Raises:
        ValueError: If the times are others.
        MissingTimes: With all layers of all cells that have no row.
    """
    if latency is not None:
        if set(latency) != {'rows'}:
            raise ValueError(
                'latency: the times of a space of blocks are dict(rows=[...]), one for each layer; '
                f'got {sorted(map(str, latency))}'
            )
        latency = dict(rows=LayerTimes(latency['rows']))
    return BlockCosts(
        space, input_size, num_classes=num_classes, head_channels=head_channels, head=head,
        latency=latency,
    )  # fmt: skip
