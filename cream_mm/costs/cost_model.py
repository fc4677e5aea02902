"""Costs of architectures: the contract, and the table of those that add up."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from itertools import chain, repeat

from ..spaces import Space
from ..structures import Arch
from .cost import Cost


class CostModel(ABC):
    """Tells what an architecture costs. Budgets, samplers and strategies need no more than this.

    Attributes:
        space (Space): Whose architectures it knows.
        input_size (tuple[int, int], optional): Image height and width in pixels that it counts
            at; None where there is no image.
    """

    space: Space
    input_size: tuple[int, int] | None = None

    @abstractmethod
    def cost(self, arch: Arch) -> Cost:
        """All counts of ``arch``."""

    def network(self, arch: Arch) -> tuple[Arch, 'CostModel']:
        """An answer as files name it, and the costs of the space that it is named in there.

        Both are the search's own, unless what is trained is not what is built in the end.
        """
        return arch, self

    def tables_by_end(self) -> list[tuple[tuple[int, ...], 'CostTable']]:
        """Where costs add up: tables, and the choices at the last positions that each is for.

        A table's own space has the positions before these. One table for ``()`` is that of all
        positions; an empty list says that costs do not add up.
        """
        return []

    def extremes(self) -> tuple[dict[str, float], dict[str, float]] | None:
        """Smallest and largest value of each unit among whole architectures; None: not known.

        Returns:
            tuple[dict, dict]: ``{'macs_m': ..., ...}`` of both; each unit on its own.
        """
        return None


class CostTable(CostModel):
    """Costs that add up: one entry per position and choice, and a fixed part.

    A lookup takes a few microseconds.

    Args:
        space (Space): The search space.
        table (Sequence[Sequence[Sequence[Cost]]]): Of each choice, nested as the architectures
            are: per stage, layer and choice. Layers that a stage has beyond its rows, in networks
            that are deeper than the space's, cost as its last row.
        head, tail (Sequence[dict]): What stands before and after the choices in every
            architecture: rows of :meth:`layer_table` with a ``cost``.
        describe (callable, optional): ``describe(stage, layer, choice)`` gives a row of
            :meth:`layer_table` without costs; stages count from 1.
        input_size (tuple[int, int], optional): Height and width in pixels.
        num_classes (int, optional): Outputs of the classifier, if one is counted.
        head_channels (int, optional): Hidden channels of its head, 0 for none.
        latency (Mapping, optional): ``{'fixed_ms': ms, 'choices_ms': [[[ms of each choice] per
            layer] per stage]}``, nested as a whole architecture is.

    Attributes:
        fixed (Cost): What every architecture costs.

    Raises:
        ValueError: If the table or the latencies are not of the shape of the space.
    """

    def __init__(
        self,
        space: Space,
        table: Sequence[Sequence[Sequence[Cost]]],
        *,
        head: Sequence[dict] = (),
        tail: Sequence[dict] = (),
        describe: Callable[[int, int, int], dict] | None = None,
        input_size: tuple[int, int] | None = None,
        num_classes: int | None = None,
        head_channels: int | None = None,
        latency: Mapping | None = None,
    ):
        self.space = space
        self.input_size = input_size
        self.num_classes = num_classes
        self.head_channels = head_channels
        self.fixed: Cost = sum((row['cost'] for row in (*head, *tail)), Cost())
        self._head, self._tail = list(head), list(tail)
        self._describe = describe or _plain_row
        depths = space.decode([0] * len(space.sizes)).depths
        self._table = [
            [*rows, *[rows[-1]] * (depth - len(rows))] for rows, depth in zip(table, depths)
        ]
        if latency is not None:
            self._table = _timed(self._table, depths, latency)
            self.fixed = self.fixed._replace(latency_ms=_time(latency['fixed_ms'], 'fixed_ms'))
        self._positions = [
            rows[layer] for rows, depth in zip(self._table, depths) for layer in range(depth)
        ]
        found = tuple(map(len, self._positions))
        if len(table) != len(depths) or found != tuple(space.sizes):
            raise ValueError(f'a cost table of {found} choices; {space.name!r} has {space.sizes}')

    def cost(self, arch: Arch) -> Cost:
        """All counts of ``arch``, the fixed part included."""
        macs, params, board, published, latency = self.fixed
        for rows, choices in zip(self._table, arch.stages):
            deeper = len(choices) > len(rows)
            for row, choice in zip(chain(rows, repeat(rows[-1])) if deeper else rows, choices):
                c = row[choice]
                macs += c[0]
                params += c[1]
                board += c[2]
                published += c[3]
                if latency is not None:
                    latency = None if c[4] is None else latency + c[4]
        return Cost(macs, params, board, published, latency)

    def tables_by_end(self) -> list[tuple[tuple[int, ...], 'CostTable']]:
        """This table, of all positions."""
        return [((), self)]

    def choice_costs(self, position: int) -> list[Cost]:
        """Cost of every choice at a position of ``space.sizes``."""
        return self._positions[position]

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Smallest and largest attainable value of each unit at whole architectures.

        Of times: among the choices that have one.

        Returns:
            tuple[dict, dict]: ``{'macs_m': ..., ...}`` of both; each unit on its own.
        """
        bounds = []
        for pick in (min, max):
            total = list(self.fixed)
            for costs in self._positions:
                for i, value in enumerate(total):
                    if value is not None:
                        total[i] += pick(c[i] for c in costs if c[i] is not None)
            bounds.append(Cost(*total).in_units())
        return tuple(bounds)

    def layer_table(self, arch: Arch) -> list[dict]:
        """One row per layer, in order of execution, for people and reports.

        Returns:
            list[dict]: ``macs`` and ``params`` of each, after what the space tells of it; for
            MBConv ``name, op, stage, kernel, expand, in_channels, out_channels, stride,
            out_size``. ``latency_ms`` where it is known.
        """
        rows = list(self._head)
        for stage, (table, choices) in enumerate(zip(self._table, arch.stages), start=1):
            for layer, choice in enumerate(choices):
                cost = table[min(layer, len(table) - 1)][choice]
                rows.append(dict(self._describe(stage, layer, choice), cost=cost))
        return [counted(row) for row in (*rows, *self._tail)]


@singledispatch
def build_cost_model(
    space: Space,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> CostModel:
    """The cost model of a space. A new one joins by ``@build_cost_model.register`` in its file.

    Args:
        space (Space): The search space.
        input_size (int | tuple[int, int]): Image height and width in pixels.
        num_classes (int): Outputs of the classifier. Defaults to 1000.
        head_channels (int, optional): Hidden channels of the head; 0 for none. Defaults to the
            space's.
        head (str, optional): 'classifier' (default) counts pool, hidden layer and classifier;
            None counts the backbone alone, as a detector has it.
        latency (Mapping, optional): Measured times, see :class:`CostTable`.

    Raises:
        ValueError: If there are no costs for such a space, or an argument does not fit it.
    """
    raise ValueError(
        f'no costs are known of a {type(space).__name__}; give its function to '
        'build_cost_model.register'
    )


def as_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width from one number or two."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _timed(table, depths: Sequence[int], latency: Mapping) -> list[list[list[Cost]]]:
    """The table with a row of its own for each layer, and its times."""
    missing = {'fixed_ms', 'choices_ms'} - set(latency)
    if missing or len(latency) > 2:
        raise ValueError(
            f"latency is {{'fixed_ms': ..., 'choices_ms': ...}}; got {sorted(map(str, latency))}"
        )
    times, timed = latency['choices_ms'], []
    _expect(times, len(depths), 'choices_ms', 'stages')
    for stage, (rows, depth) in enumerate(zip(table, depths)):
        where = f'choices_ms[{stage}]'
        _expect(times[stage], depth, where, 'layers')
        timed.append([])
        for layer in range(depth):
            costs, place = rows[min(layer, len(rows) - 1)], f'{where}[{layer}]'
            _expect(times[stage][layer], len(costs), place, 'choices')
            timed[-1].append([
                cost._replace(latency_ms=_time(time, f'{place}[{choice}]'))
                for choice, (cost, time) in enumerate(zip(costs, times[stage][layer]))
            ])  # fmt: skip
        timed[-1].append(rows[-1])  # deeper than what was measured: no time
    return timed


def _expect(values, number: int, where: str, what: str) -> None:
    if not isinstance(values, (list, tuple)) or len(values) != number:
        found = len(values) if isinstance(values, (list, tuple)) else repr(values)
        raise ValueError(f'latency.{where} needs {number} {what}; got {found}')


def _time(value, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(f'latency.{where} is {value!r}, not milliseconds')
    return float(value)


def _plain_row(stage: int, layer: int, choice: int) -> dict:
    return dict(name=f'{stage}.{layer}', op=str(choice))


def counted(row: dict) -> dict:
    """A row with counts in place of its ``cost``."""
    cost = row['cost']
    row = {key: value for key, value in row.items() if key != 'cost'}
    row.update(macs=cost.macs, params=cost.params)
    return row if cost.latency_ms is None else dict(row, latency_ms=cost.latency_ms)
