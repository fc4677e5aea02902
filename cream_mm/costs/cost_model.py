"""The additive cost table: one entry per (layer, choice), and a fixed part."""

from collections.abc import Sequence

from ..spaces import IDENTITY, LayerSpec, MBConvSpace
from ..structures import Arch
from . import macs
from .macs import Cost


class CostModel:
    """Cost of any architecture by table lookup, without a forward pass (a few microseconds).

    Args:
        space (MBConvSpace): The search space.
        input_size (int | tuple[int, int]): Image height and width in pixels.
        num_classes (int): Outputs of the classifier. Defaults to 1000.
        head_channels (int, optional): Hidden channels of the head; 0 for none. Defaults to the
            space's.

    Units:
        Counts are integers; the ``*_m`` forms are in millions.

    >>> from cream_mm.structures import Arch
    >>> arch = Arch.from_list([[0], [4, 2, 2, 0], [2, 2, 4, 5], [0, 4, 4, 4], [5, 0, 0, 0],
    ...                        [0, 1, 3, 1], [0]])
    >>> CostModel(MBConvSpace(), 224).cost(arch).in_millions()['board_flops_m']
    378.956912
    """

    def __init__(
        self,
        space: MBConvSpace,
        input_size: int | Sequence[int],
        num_classes: int = 1000,
        head_channels: int | None = None,
    ):
        self.space = space
        self.input_size = _as_pair(input_size)
        self.num_classes = num_classes
        self.head_channels = space.head_channels if head_channels is None else head_channels

        # Every kernel is odd and padded by k // 2, so a stride divides sizes by rounding up.
        size = _strided(self.input_size, space.stem_stride)
        pixels = size[0] * size[1]
        channels, stem_width, relu = space.stage_channels, space.stem_width, space.act == 'relu'
        stem = macs.conv_bn(
            space.in_channels, stem_width, 3, pixels, relu=relu, board_counts_bn=False
        )
        head_rows = [
            self._row('stem', 'conv3x3', None, 3, None, space.in_channels, stem_width,
                      space.stem_stride, size, stem),
        ]  # fmt: skip
        if space.first_channels != 0:
            cost = macs.ds_block(stem_width, pixels, channels[0], space.act, space.se)
            head_rows.append(
                self._row('blocks.0.0', 'DSConv', 0, 3, 1, stem_width, channels[0], 1, size, cost)
            )
        # _table[stage - 1][0] serves the first layer of a stage, [1] every later one.
        self._table: list[list[list[Cost]]] = []
        self._sizes: list[tuple[int, int]] = []
        for spec in space.layers(depths=(2,) * space.num_stages):
            pixels_in, size = pixels, _strided(size, spec.stride)
            pixels = size[0] * size[1]
            if spec.layer == 0:
                self._table.append([])
                self._sizes.append(size)
            self._table[-1].append([
                self._layer_cost(spec, choice, pixels_in, pixels) for choice in space.choices
            ])  # fmt: skip
        last, hidden = space.num_stages + 1, self.head_channels
        tail_rows = [
            self._row(f'blocks.{last}.0', 'conv1x1', last, 1, None, channels[-2], channels[-1], 1,
                      size, macs.conv_bn(channels[-2], channels[-1], 1, pixels, relu=relu)),
            self._row('conv_head', 'conv1x1', None, 1, None, channels[-1], hidden, 1, (1, 1),
                      macs.pooled_head(channels[-1], hidden, pixels)) if hidden else
            self._row('pool', 'pool', None, None, None, channels[-1], channels[-1], 1, (1, 1),
                      macs.pooled(channels[-1], pixels)),
            self._row('classifier', 'linear', None, None, None, hidden or channels[-1],
                      num_classes, 1, (1, 1), macs.classifier(hidden or channels[-1], num_classes)),
        ]  # fmt: skip
        self._head_rows, self._tail_rows = head_rows, tail_rows
        self.fixed: Cost = sum((row['cost'] for row in head_rows + tail_rows), Cost())

    def _layer_cost(self, spec: LayerSpec, choice, pixels_in: int, pixels_out: int) -> Cost:
        cin, cout = spec.in_channels, spec.out_channels
        if choice == IDENTITY:
            return macs.conv_bn(cin, cout, 1, pixels_out) if spec.reshapes else Cost()
        act, se = self.space.act, self.space.se
        return macs.mbconv(cin, cout, *choice, pixels_in, pixels_out, act, se)

    @staticmethod
    def _row(name, op, stage, kernel, expand, cin, cout, stride, size, cost) -> dict:
        return dict(
            name=name, op=op, stage=stage, kernel=kernel, expand=expand, in_channels=cin,
            out_channels=cout, stride=stride, out_size=list(size), cost=cost,
        )  # fmt: skip

    def cost(self, arch: Arch) -> Cost:
        """All four counts of ``arch``, head included."""
        macs_, params, board, published = self.fixed
        for table, choices in zip(self._table, arch.stages):
            row = table[0]
            for choice in choices:
                c = row[choice]
                macs_ += c[0]
                params += c[1]
                board += c[2]
                published += c[3]
                row = table[1]
        return Cost(macs_, params, board, published)

    def choice_costs(self, stage: int, layer: int) -> list[Cost]:
        """Cost of every choice at a layer; all layers of a stage but the first cost the same.

        Args:
            stage (int): 1 to the number of searchable stages.
            layer (int): 0-based place in the stage.
        """
        return self._table[stage - 1][min(layer, 1)]

    def extremes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Smallest and largest attainable value of each count at the supernet's depths.

        Returns:
            tuple[dict, dict]: ``{'macs_m': ..., ...}`` of both; each count on its own.
        """
        bounds = []
        for pick in (min, max):
            total = list(self.fixed)
            for table, depth in zip(self._table, self.space.depths):
                for layer in range(depth):
                    for i in range(len(total)):
                        total[i] += pick(c[i] for c in table[min(layer, 1)])
            bounds.append(Cost(*total).in_millions())
        return tuple(bounds)

    def layer_table(self, arch: Arch) -> list[dict]:
        """One row per layer, in order of execution, for people and reports.

        Returns:
            list[dict]: Keys ``name, op, stage, kernel, expand, in_channels, out_channels, stride,
            out_size, macs, params``.
        """
        rows = list(self._head_rows)
        for spec in self.space.layers(arch.depths):
            choice = arch.stages[spec.stage - 1][spec.layer]
            op, meaning = 'MBConv', self.space.choices[choice]
            if meaning == IDENTITY:
                op, meaning = ('conv1x1', (1, None)) if spec.reshapes else (IDENTITY, (None, None))
            rows.append(
                self._row(
                    f'blocks.{spec.stage}.{spec.layer}',
                    op,
                    spec.stage,
                    *meaning,
                    spec.in_channels,
                    spec.out_channels,
                    spec.stride,
                    self._sizes[spec.stage - 1],
                    self._table[spec.stage - 1][min(spec.layer, 1)][choice],
                )  # fmt: skip
            )
        rows += self._tail_rows
        return [
            {**{k: v for k, v in row.items() if k != 'cost'},
             'macs': row['cost'].macs, 'params': row['cost'].params}
            for row in rows
        ]  # fmt: skip


def _as_pair(size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return tuple(-(-side // stride) for side in size)
