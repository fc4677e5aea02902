"""Costs of networks of NAS-Bench-201's cells: closed forms of each edge.

Conventions (specification: docs/conventions.md). ``macs``: multiply-adds of convolutions and the
linear layer. ``published_flops``: the benchmark's, which adds the biases. ``board_flops`` are
``macs`` here: no board was ever released for these cells. Edges through which nothing passes
count as others: the benchmark's network has them, and so has the one that is built in the end.
"""

from collections.abc import Mapping, Sequence

from ..spaces.nas_bench_201 import EDGES, KERNELS, OPERATIONS, NASBench201Space
from ..structures import Arch
from .cost import Cost
from .cost_model import CostTable, as_pair, build_cost_model, counted


def conv_bn(cin: int, cout: int, kernel: int, pixels: int) -> Cost:
    """Convolution without bias, then BN. ``pixels`` is the number of output positions."""
    weights = kernel * kernel * cin * cout
    return plain(weights * pixels, weights + 2 * cout)


def reduction(cin: int, cout: int, pixels: int) -> Cost:
    """The residual block of stride 2: two conv3x3 with BN; average pool and conv1x1 beside them."""
    cost = conv_bn(cin, cout, 3, pixels) + conv_bn(cout, cout, 3, pixels)
    return cost + plain(cin * cout * pixels, cin * cout)


def biased(cin: int, cout: int) -> Cost:
    """A linear layer, or a conv1x1 on one position."""
    macs = cin * cout
    return Cost(macs, macs + cout, macs, macs + cout)


def operation(choice: int, channels: int, pixels: int) -> Cost:
    """One edge of one cell."""
    return conv_bn(channels, channels, KERNELS[choice], pixels) if choice in KERNELS else Cost()


class CellCosts(CostTable):
    """The table of :class:`NASBench201Space`, made by :func:`nas_bench_201_costs`.

    Each entry is an edge in all cells together.
    """

    def __init__(
        self,
        space: NASBench201Space,
        sizes: Sequence[tuple[int, int]],
        *,
        head: Sequence[dict],
        reductions: Sequence[dict],
        tail: Sequence[dict],
        **kwargs: object,
    ):
        self.space = space
        self.sizes = list(sizes)  # of the maps of each stage
        self._parts = list(head), list(reductions), list(tail)
        whole = [sum(costs, Cost()) for costs in zip(*map(self._stage, range(len(self.sizes))))]
        table = [[whole] * len(node) for node in space.decode([0] * len(EDGES)).stages]
        super().__init__(space, table, head=head, tail=[*reductions, *tail], **kwargs)

    def layer_table(self, arch: Arch) -> list[dict]:
        """A row per layer, of each stage's equal cells one for all.

        Returns:
            list[dict]: As :meth:`CostTable.layer_table` has them for MBConv, with ``edge``, such
            as ``'0->1'``, where it is one. ``macs`` and ``params`` are those of all cells of the
            stage together. No times: those of an edge are of the three stages together.
        """
        head, reductions, tail = self._parts
        rows, choices = list(head), self.space.encode(arch)
        for stage, costs in enumerate(map(self._stage, range(len(self.sizes)))):
            rows += reductions[stage - 1 : stage] if stage else []
            first = stage * (self.space.num_cells + 1)
            last = first + self.space.num_cells - 1
            cells = str(first) if last == first else f'{first}-{last}'
            width = self.space.stage_channels[stage]
            for position, choice in enumerate(choices):
                row = layer_row(
                    f'cells.{cells}.layers.{position}', OPERATIONS[choice], stage + 1,
                    KERNELS.get(choice, 3 if 'pool' in OPERATIONS[choice] else None), width, width,
                    1, self.sizes[stage], costs[choice],
                )  # fmt: skip
                rows.append(dict(row, edge='{}->{}'.format(*EDGES[position])))
        return [counted(row) for row in (*rows, *tail)]

    def _stage(self, stage: int) -> list[Cost]:
        """Each operation on one edge in all cells of a stage."""
        (height, width), channels = self.sizes[stage], self.space.stage_channels[stage]
        return [
            sum([operation(choice, channels, height * width)] * self.space.num_cells, Cost())
            for choice in range(len(OPERATIONS))
        ]


@build_cost_model.register
def nas_bench_201_costs(
    space: NASBench201Space,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> CellCosts:
    """The table of the cell space; see :func:`build_cost_model`.

    >>> space = NASBench201Space()
    >>> arch = space.decode([3] * 6)
    >>> build_cost_model(space, 32, 10).cost(arch).in_units()['published_flops_m']
    220.11969
    """
    check_head(head)
    input_size = as_pair(input_size)
    channels = space.stage_channels
    first_rows, size = stem_rows(space.channels, space.stem_stride, input_size)
    sizes, reductions = [size], []
    for stage in range(1, space.num_stages):
        size = halved(size)
        sizes.append(size)
        cin, cout = channels[stage - 1 : stage + 1]
        cell = stage * (space.num_cells + 1) - 1
        cost = reduction(cin, cout, size[0] * size[1])
        reductions.append(layer_row(f'cells.{cell}', 'residual', None, 3, cin, cout, 2, size, cost))
    width = channels[-1]
    last_rows = [layer_row('lastact', 'bn', None, None, width, width, 1, size, plain(0, 2 * width))]
    if head is None:
        num_classes = head_channels = None
    else:
        head_channels = head_channels or 0
        last_rows += head_rows(width, size, num_classes, head_channels)
    return CellCosts(
        space, sizes, head=first_rows, reductions=reductions, tail=last_rows,
        input_size=input_size, num_classes=num_classes, head_channels=head_channels,
        latency=latency,
    )  # fmt: skip


def check_head(head: str | None) -> None:
    """Refuse what no ``head`` is, see :func:`build_cost_model`."""
    if head not in ('classifier', None):
        raise ValueError(f"head is 'classifier' or None, the backbone alone; got {head!r}")


def stem_rows(
    width: int, stem_stride: int, input_size: tuple[int, int]
) -> tuple[list[dict], tuple[int, int]]:
    """Rows of a stem conv3x3 with BN, and max pools behind it beyond a stride of 2.

    Returns:
        tuple[list[dict], tuple[int, int]]: The rows, and the size of the map. Whatever halves a
        map rounds up: kernels of 3 padded by 1, and pools of 2 in ceil mode.
    """
    stride = min(2, stem_stride)
    size = halved(input_size) if stride == 2 else input_size
    cost = conv_bn(3, width, 3, size[0] * size[1])
    rows = [layer_row('stem', 'conv3x3', None, 3, 3, width, stride, size, cost)]
    while stride < stem_stride:
        stride, size = 2 * stride, halved(size)
        rows.append(layer_row('stem', 'pool', None, 3, width, width, 2, size, Cost()))
    return rows, size


def head_rows(
    width: int, size: tuple[int, int], num_classes: int, head_channels: int
) -> list[dict]:
    """Rows of the pool over a map, the hidden layer if there is one, and the classifier."""
    rows = [layer_row('pool', 'pool', None, None, width, width, 1, (1, 1), Cost())]
    if head_channels:
        cost = biased(width, head_channels)
        rows.append(
            layer_row('conv_head', 'conv1x1', None, 1, width, head_channels, 1, (1, 1), cost)
        )
        width = head_channels
    cost = biased(width, num_classes)
    rows.append(layer_row('classifier', 'linear', None, None, width, num_classes, 1, (1, 1), cost))
    return rows


def halved(size: tuple[int, int]) -> tuple[int, int]:
    """Of a map behind a stride of 2: it rounds up."""
    return tuple(-(-side // 2) for side in size)


def layer_row(
    name: str, op: str, stage: int | None, kernel: int | None, cin: int, cout: int, stride: int,
    size: tuple[int, int], cost: Cost,
) -> dict:  # fmt: skip
    """A row of a ``layer_table``, with its ``cost``."""
    return dict(
        name=name, op=op, stage=stage, kernel=kernel, expand=None, in_channels=cin,
        out_channels=cout, stride=stride, out_size=list(size), cost=cost,
    )  # fmt: skip


def plain(macs: int, params: int) -> Cost:
    """Of what nobody counts in another way."""
    return Cost(macs, params, macs, macs)
