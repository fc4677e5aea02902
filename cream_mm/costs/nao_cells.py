"""Costs of networks of NAO's cells: closed forms, which do not add up choice by choice.

A cell hands on as many times its width as it concatenates states, and the convolutions in front of
the next two cells are as wide. So a network costs the sum of its operations, and what only the
number of states that each of its two cells concatenates tells.

Conventions (specification: docs/conventions.md). ``macs``: multiply-adds of convolutions and the
linear layer. ``published_flops`` and ``board_flops`` are ``macs`` here. Networks are counted as
they are used: without the auxiliary classifier of their training.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from ..spaces.nao import (
    IDENTITY,
    KERNELS,
    NUM_INPUTS,
    NUM_NODES,
    OPERATIONS,
    SEP_5X5,
    STEM_WIDTH,
    NAOSpace,
    unused_states,
)
from ..structures import Arch
from .cells import check_head, conv_bn, halved, head_rows, layer_row, plain, stem_rows
from .cost import Cost
from .cost_model import CostModel, as_pair, build_cost_model, counted


def separable(channels: int, kernel: int, pixels: int) -> Cost:
    """Depthwise and pointwise convolution, then BN, twice; all strides are in the first.

    ``pixels`` is the number of output positions.
    """
    weights = 2 * (kernel * kernel * channels + channels * channels)
    return plain(weights * pixels, weights + 4 * channels)


def halving(cin: int, cout: int, pixels: int) -> Cost:
    """Two conv1x1 of stride 2, of half the channels each, then BN: a factorized reduction."""
    return conv_bn(cin, cout, 1, pixels)


def operation(choice: int, channels: int, pixels: int, halves: bool = False) -> Cost:
    """One edge of one cell, whose map has ``pixels`` behind it.

    Args:
        choice (int): Index of ``OPERATIONS``.
        channels (int): Of the cell's nodes.
        pixels (int): Output positions.
        halves (bool): Whether it is of stride 2. Defaults to False.
    """
    if choice in KERNELS:
        return separable(channels, KERNELS[choice], pixels)
    if choice == IDENTITY and halves:
        return halving(channels, channels, pixels)
    return Cost()


class _Part(NamedTuple):
    """What follows one another: a reduction cell, or the normal cells of a stage."""

    stage: int
    first: int  # number of the first cell in the network
    cells: int
    reduces: bool
    inputs: list[dict]  # rows of what stands in front of the cells


class NAOCosts(CostModel):
    """Costs of :class:`NAOSpace`, made by :func:`nao_costs`. A network takes some microseconds.

    Attributes:
        sizes (list[tuple[int, int]]): Height and width of the maps of each stage.
        num_classes (int, optional): Outputs of the classifier, if one is counted.
        head_channels (int, optional): Hidden channels of its head, 0 for none.
    """

    def __init__(
        self,
        space: NAOSpace,
        input_size: tuple[int, int],
        num_classes: int | None,
        head_channels: int | None,
    ):
        self.space, self.input_size = space, input_size
        self.num_classes, self.head_channels = num_classes, head_channels
        self._stem, size = stem_rows(STEM_WIDTH * space.channels, space.stem_stride, input_size)
        self.sizes = [size]
        while len(self.sizes) < space.num_stages:
            self.sizes.append(halved(self.sizes[-1]))
        choices, stages = range(len(OPERATIONS)), range(space.num_stages)
        self._normal = [
            sum([self._edge(choice, stage) for stage in stages] * space.num_cells, Cost())
            for choice in choices
        ]
        self._reduction = [
            sum((self._edge(choice, stage) for stage in stages[1:]), Cost()) for choice in choices
        ]
        self._halving = sum((self._edge(IDENTITY, stage, True) for stage in stages[1:]), Cost())
        self._frames: dict[tuple[int, int], Cost] = {}

    def cost(self, arch: Arch) -> Cost:
        """All counts of ``arch``."""
        normal, reduction = arch.stages
        unused = unused_states(reduction)
        halvings = sum(state < NUM_INPUTS for state in unused) + sum(
            op == IDENTITY and state < NUM_INPUTS
            for state, op in zip(reduction[::2], reduction[1::2])
        )
        frame = self._frame(len(unused_states(normal)), len(unused))
        macs = frame.macs + halvings * self._halving.macs
        params = frame.params + halvings * self._halving.params
        for ops, costs in ((normal[1::2], self._normal), (reduction[1::2], self._reduction)):
            for choice in KERNELS:
                number = ops.count(choice)
                macs += number * costs[choice].macs
                params += number * costs[choice].params
        return plain(macs, params)

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Smallest and largest value of each unit among all networks; each unit on its own.

        Exact: operations and what a cell concatenates are free of one another, but for inputs of
        a reduction cell that it concatenates, which are halved.
        """
        edges = 2 * NUM_NODES
        dearest = edges * self._normal[SEP_5X5].macs, edges * self._normal[SEP_5X5].params
        reduction = edges * self._reduction[SEP_5X5].macs, edges * self._reduction[SEP_5X5].params
        low, high = [], []
        for (normal, _), (reduced, inputs) in product(KINDS, repeat=2):
            frame = self._frame(normal, reduced)
            macs = frame.macs + inputs * self._halving.macs
            params = frame.params + inputs * self._halving.params
            low.append((macs, params))  # of pools alone
            high.append((macs + dearest[0] + reduction[0], params + dearest[1] + reduction[1]))
        return tuple(
            plain(*(pick(counts) for counts in zip(*found))).in_units()
            for pick, found in ((min, low), (max, high))
        )

    def layer_table(self, arch: Arch) -> list[dict]:
        """A row per layer, of a stage's equal ones in all its normal cells one for all.

        Returns:
            list[dict]: As :meth:`CostTable.layer_table` has them for MBConv, with ``edge``, such
            as ``'0->2'`` (state, node), where it is one, and ``cell``, 'normal' or 'reduction'.
            ``macs`` and ``params`` are those of all the cells that a row is of.
        """
        concat = self.space.concat(arch)
        rows = list(self._stem)
        for part in self._parts(*map(len, concat)):
            width, size = self.space.stage_channels[part.stage], self.sizes[part.stage]
            pairs = arch.stages[part.reduces]
            kind = ('normal', 'reduction')[part.reduces]
            rows += [dict(row, cell=kind) for row in part.inputs]
            for place, (state, choice) in enumerate(zip(pairs[::2], pairs[1::2])):
                node, side = divmod(place, 2)
                halves = part.reduces and state < NUM_INPUTS
                cost = sum([self._edge(choice, part.stage, halves)] * part.cells, Cost())
                row = layer_row(
                    f'{_cells(part.first, part.cells)}.ops.{node}.{"xy"[side]}_op',
                    OPERATIONS[choice], part.stage + 1,
                    KERNELS.get(choice, 3 if 'pool' in OPERATIONS[choice] else None),
                    width, width, 1 + halves, size, cost,
                )  # fmt: skip
                rows.append(dict(row, edge=f'{state}->{NUM_INPUTS + node}', cell=kind))
            inputs = [state for state in concat[1] if state < NUM_INPUTS] if part.reduces else []
            for place in range(len(inputs)):
                cost = self._edge(IDENTITY, part.stage, True)
                name = f'cells.{part.first}.final_combine.ops.{place}'
                row = layer_row(name, 'halving', part.stage + 1, 1, width, width, 2, size, cost)
                rows.append(dict(row, cell=kind))
            name = f'{_cells(part.first, part.cells)}.concat'
            joined = width * len(concat[part.reduces])
            row = layer_row(name, 'concat', part.stage + 1, None, width, joined, 1, size, Cost())
            rows.append(dict(row, cell=kind))
        return [counted(row) for row in (*rows, *self._head(len(concat[0])))]

    def _edge(self, choice: int, stage: int, halves: bool = False) -> Cost:
        height, width = self.sizes[stage]
        return operation(choice, self.space.stage_channels[stage], height * width, halves)

    def _frame(self, normal: int, reduction: int) -> Cost:
        """What all networks cost whose cells concatenate that many states, operations aside."""
        found = self._frames.get((normal, reduction))
        if found is None:
            rows = [*self._stem, *self._head(normal)]
            for part in self._parts(normal, reduction):
                rows += part.inputs
            found = self._frames[normal, reduction] = sum((row['cost'] for row in rows), Cost())
        return found

    def _head(self, normal: int) -> list[dict]:
        if self.num_classes is None:
            return []
        width = self.space.stage_channels[-1] * normal
        return head_rows(width, self.sizes[-1], self.num_classes, self.head_channels)

    def _parts(self, normal: int, reduction: int) -> Iterator[_Part]:
        """All cells in order; ``normal`` and ``reduction`` states are concatenated."""
        before = previous = STEM_WIDTH * self.space.channels
        number = 0
        for stage, width in enumerate(self.space.stage_channels):
            if stage:
                rows = self._inputs(number, 1, width, before, previous, stage, stage - 1)
                yield _Part(stage, number, 1, True, rows)
                before, previous, number = previous, width * reduction, number + 1
            first, rows = number, []
            while number < first + self.space.num_cells:
                # From the third on, all normal cells of a stage have equal ones before them.
                count = 1 if number < first + 2 else self.space.num_cells - 2
                halves = stage > 0 and number == first
                rows += self._inputs(number, count, width, before, previous, stage, stage, halves)
                before, previous, number = previous, width * normal, number + count
            yield _Part(stage, first, self.space.num_cells, False, rows)

    def _inputs(
        self,
        cell: int,
        count: int,
        width: int,
        before: int,
        previous: int,
        stage: int,
        at: int,
        halves: bool = False,
    ) -> list[dict]:
        """Rows of what brings both inputs of ``count`` cells to the ``width`` of their nodes.

        A convolution where the width is another. The first cell behind a reduction halves the
        output before it, whatever its width (``halves``). ``at`` is the stage of the maps.
        """
        rows, size = [], self.sizes[at]
        pixels = size[0] * size[1]
        for side, cin in zip('xy', (before, previous)):
            halved_too = halves and side == 'x'
            if not halved_too and cin == width:
                continue
            op, cost = 'conv1x1', conv_bn(cin, width, 1, pixels)
            if halved_too:
                op, cost = 'halving', halving(cin, width, pixels)
            name = f'{_cells(cell, count)}.maybe_calibrate_size.preprocess_{side}'
            cost = sum([cost] * count, Cost())
            stride = 2 if halved_too else 1
            rows.append(layer_row(name, op, stage + 1, 1, cin, width, stride, size, cost))
        return rows


KINDS = (
    *((nodes, 0) for nodes in range(1, NUM_NODES + 1)),
    *((nodes + 1, 1) for nodes in range(1, NUM_NODES + 1)),
)
"""What a cell can concatenate: (number of states, of which inputs). The last node always; no other
node has to be taken by one, and at least one of the inputs is, by the first node."""


@build_cost_model.register
def nao_costs(
    space: NAOSpace,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> NAOCosts:
    """The costs of NAO's cells; see :func:`build_cost_model`.

    Raises:
        ValueError: If there are measured times: those of the choices do not add up.

    >>> space = NAOSpace(channels=36, num_cells=6)
    >>> arch = space.parse('1 1 0 1 2 4 0 0 0 0 2 1 0 0 0 2 0 3 0 0 | '
    ...                    '0 2 0 2 2 2 1 0 0 0 0 1 0 0 0 3 0 0 0 1')
    >>> build_cost_model(space, 32, 10).cost(arch).params
    4387654
    """
    check_head(head)
    if latency is not None:
        raise ValueError(
            'latency: the times of the choices of NAO cells do not add up, so that there is no '
            "table of them; bound 'macs_m' or 'params_m' instead"
        )
    if head is None:
        num_classes = head_channels = None
    else:
        head_channels = head_channels or 0
    return NAOCosts(space, as_pair(input_size), num_classes, head_channels)


def _cells(first: int, count: int) -> str:
    return f'cells.{first}' if count == 1 else f'cells.{first}-{first + count - 1}'
