"""Costs of the slices of a network, at each of its input sizes."""

from collections.abc import Mapping, Sequence

from ..spaces import IDENTITY, ElasticSpace
from ..structures import Arch
from .cost import Cost
from .cost_model import CostModel, CostTable, as_pair, build_cost_model
from .layer_times import LayerTimes, MissingTimes, named, times_of_layers
from .mbconv import MBConvRows, mbconv_rows, row_settings


class ElasticCosts(CostModel):
    """Counts the paths of an :class:`ElasticSpace`: each costs what its network does at its size.

    At one size the costs of the layers add up, see :attr:`tables`.

    Args:
        space (ElasticSpace): The space.
        input_size (int | tuple[int, int]): Image height and width in pixels: the largest of the
            space's sizes, where it has such.
        num_classes, head_channels, head: See :func:`build_cost_model`.
        latency (Mapping, optional): ``dict(rows=[...])``, times by what a layer is, which may
            serve several sizes; or those of :class:`CostTable` for the layers of the space, which
            are of one size.

    Attributes:
        tables (tuple[CostTable]): Of each size, of the paths of :meth:`ElasticSpace.at_size`.

    Raises:
        ValueError: If ``input_size`` is not the space's, or the times are of one size of several.
        MissingTimes: With all layers, of all sizes, that have no row.
    """

    def __init__(
        self,
        space: ElasticSpace,
        input_size: int | Sequence[int],
        num_classes: int | None = 1000,
        head_channels: int | None = None,
        *,
        head: str | None = 'classifier',
        latency: Mapping | None = None,
    ):
        self.space, self.input_size = space, as_pair(input_size)
        sizes = [as_pair(size) for size in space.input_sizes] or [self.input_size]
        if sizes[0] != self.input_size:
            raise ValueError(
                f'input_size={input_size} is not the first of the input_sizes of the space, '
                f'{list(space.input_sizes)}: costs count at the largest image; make both equal'
            )
        times = LayerTimes(latency['rows']) if latency is not None and 'rows' in latency else None
        if times is None and latency is not None and len(sizes) > 1:
            raise ValueError(
                f'the table of times is of one input size, and the space has {len(sizes)}: '
                f'{list(space.input_sizes)}. Set input_sizes to the one that was measured, or '
                'give a table of layers (rows with their in_size) that has all of them'
            )
        self._times = times
        whole = space.network(space.full_path)[1]
        self._rows = [mbconv_rows(whole, size, num_classes, head_channels, head) for size in sizes]
        self.num_classes = self._rows[0].num_classes
        self.head_channels = self._rows[0].head_channels
        self._plain, missing, tables = space.at_size(), {}, []
        for rows in self._rows:
            try:
                tables.append(self._table(rows, latency))
            except MissingTimes as error:
                missing |= dict.fromkeys(error.layers)
        if missing:
            raise MissingTimes(list(missing))
        self.tables: tuple[CostTable, ...] = tuple(tables)
        self._networks: dict[tuple, CostTable] = {}

    def _table(self, rows: MBConvRows, latency: Mapping | None) -> CostTable:
        """Of the layers at one size."""
        space, table, places = self._plain, [], []
        for stage, depth in enumerate(space.full.depths, start=1):
            table.append([])
            for layer in range(depth):
                costs = rows.table[stage - 1][min(layer, 1)]
                indices = space.network_indices(len(places))
                table[-1].append([Cost() if i is None else costs[i] for i in indices])
                places.append((stage, layer))
        position = {place: i for i, place in enumerate(places)}

        def describe(stage: int, layer: int, choice: int) -> dict:
            index = space.network_indices(position[stage, layer])[choice]
            row = rows.describe(stage, layer, index or 0)
            if index is None:
                row.update(op=IDENTITY, kernel=None, expand=None)
            return row

        if self._times is not None:
            latency = self._latency(rows, places, describe)
        return CostTable(
            space, table, head=rows.first, tail=[*rows.last, *rows.head], describe=describe,
            input_size=rows.input_size, num_classes=rows.num_classes,
            head_channels=rows.head_channels, latency=latency,
        )  # fmt: skip

    def _latency(self, rows: MBConvRows, places: Sequence[tuple], describe) -> dict:
        """Times of the layers out of a table of rows."""
        sizes = dict(zip(places, self._plain.sizes))
        times = times_of_layers(
            self._times, first=rows.first, last=rows.last, head=rows.head,
            describe=lambda stage, layer, choice: describe(
                stage, layer, min(choice, sizes[stage, layer] - 1)
            ),
            depths=self._plain.full.depths, num_choices=max(sizes.values()),
            input_size=rows.input_size, settings=row_settings(self._plain.skeleton),
        )  # fmt: skip
        choices = [
            [layer_times[: sizes[stage, layer]] for layer, layer_times in enumerate(layers)]
            for stage, layers in enumerate(times['choices_ms'], start=1)
        ]
        return dict(times, choices_ms=choices)

    def _size_choice(self, arch: Arch) -> int:
        return arch.stages[-1][0] if self.space.input_sizes else 0

    def cost(self, arch: Arch) -> Cost:
        """All counts of a path at its size."""
        return self.tables[self._size_choice(arch)].cost(arch)

    def network(self, arch: Arch) -> tuple[Arch, CostTable]:
        """A path as the network that it is exported as, and the costs of its space at its size.

        Times are known of the layers that the path could have kept in these places.
        """
        network, space = self.space.network(arch)
        size, flat = self._size_choice(arch), self.space.encode(arch)
        kept = tuple(
            i
            for i in range(len(self._plain.sizes))
            if self.space.network_indices(i)[flat[i]] is not None
        )
        if (size, kept) not in self._networks:
            rows, table, positions = self._rows[size], [], iter(kept)
            for stage, depth in enumerate(network.depths):
                table.append([])
                for layer in range(depth):
                    costs, position = list(rows.table[stage][min(layer, 1)]), next(positions)
                    timed = self.tables[size].choice_costs(position)
                    for index, cost in zip(self.space.network_indices(position), timed):
                        if index is not None:
                            costs[index] = cost
                    table[-1].append(costs)
            costs = CostTable(
                space, table, head=rows.first, tail=[*rows.last, *rows.head],
                describe=rows.describe, input_size=rows.input_size,
                num_classes=rows.num_classes, head_channels=rows.head_channels,
            )  # fmt: skip
            costs.fixed = self.tables[size].fixed
            self._networks[size, kept] = costs
        return network, self._networks[size, kept]

    def layers(self) -> list[dict]:
        """Every layer that some path has at some size, as tables of times name it.

        ``op``, ``in_size``, ``out_size``, channels, and ``kernel``, ``expand``, ``stride`` of those
        that have them.
        """
        asked, before = _Asked([]), self._times
        self._times = asked
        try:
            for rows in self._rows:
                self._table(rows, None)
        finally:
            self._times = before
        return list(asked.layers.values())

    def tables_by_end(self) -> list[tuple[tuple[int, ...], CostTable]]:
        """One table for each size, which is the last choice."""
        if not self.space.input_sizes:
            return [((), self.tables[0])]
        return [((choice,), table) for choice, table in enumerate(self.tables)]

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Smallest and largest value of each unit among all paths, each unit on its own."""
        ends = [table.extremes() for table in self.tables]
        return tuple(
            {key: pick(end[i][key] for end in ends) for key in ends[0][i]}
            for i, pick in enumerate((min, max))
        )

    def layer_table(self, arch: Arch) -> list[dict]:
        """One row per layer of a path's network, see :meth:`CostTable.layer_table`."""
        network, costs = self.network(arch)
        return costs.layer_table(network)

    @property
    def used_rows(self) -> set[int]:
        """Numbers, from 1, of the rows of ``latency`` that some path needs."""
        return self._times.used if self._times is not None else set()


class _Asked(LayerTimes):
    """A table that knows no time, and notes which layers are asked for."""

    def __init__(self, rows: Sequence[Mapping]):
        super().__init__(rows)
        self.layers: dict[str, dict] = {}

    def find(self, layer: Mapping) -> float:
        self.layers.setdefault(named(layer), dict(layer))
        return 0.0


@build_cost_model.register
def elastic_costs(
    space: ElasticSpace,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> ElasticCosts:
    """The costs of an elastic space; see :func:`build_cost_model` and :class:`ElasticCosts`."""
    return ElasticCosts(space, input_size, num_classes, head_channels, head=head, latency=latency)
