"""Costs of MBConv networks: closed forms of each layer in every counting convention, and rows.

Conventions (specification: docs/conventions.md):

* ``macs``: multiply-adds of convolutions and linear layers, nothing else. This is what
  "FLOPs" means in cream_mm, and half of what ``torch.utils.flop_counter`` counts.
* ``board_flops``: what the released Cream code writes on its board (ptflops of 2020): MACs,
  bias additions, two per BN output element, SE pooling inputs, ReLU elements. It leaves out the
  stem's BN and the classifier.
* ``published_flops``: that of the space's own paper. Cream's, which the names 14M ... 604M mean
  (thop 0.0.31): MACs, two per BN output element, inputs of all average pools. DNA's (ptflops of
  2019): MACs, bias additions of convolutions, two per BN element, inputs of the global pool.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..spaces import IDENTITY, LayerSpec, MBConvSpace, make_divisible, squeeze_channels
from .cost import Cost
from .cost_model import CostTable, as_pair, build_cost_model
from .layer_times import times_of_layers

RELUS = ('relu', 'relu6')  # what ptflops counts


def conv_bn(
    cin: int,
    cout: int,
    kernel: int,
    pixels: int,
    *,
    relu: bool = False,
    board_counts_bn: bool = True,
) -> Cost:
    """Convolution without bias, then BN. ``pixels`` is the number of output positions."""
    macs = kernel * kernel * cin * cout * pixels
    norm = 2 * cout * pixels
    params = kernel * kernel * cin * cout + 2 * cout
    board = macs + norm * board_counts_bn + cout * pixels * relu
    return Cost(macs, params, board, macs + norm)


def depthwise_bn(channels: int, kernel: int, pixels: int, *, relu: bool = False) -> Cost:
    """Depthwise convolution without bias, then BN."""
    macs = kernel * kernel * channels * pixels
    norm = 2 * channels * pixels
    params = kernel * kernel * channels + 2 * channels
    return Cost(macs, params, macs + norm + channels * pixels * relu, macs + norm)


def squeeze_excite(
    channels: int, pixels: int, se: str = 'cream', cin: int = 0, published: str = 'cream'
) -> Cost:
    """Average pool over ``pixels``, two biased conv1x1 with an activation between them, a gate.

    ``se`` and the block's input channels ``cin`` decide the width between them. ``published``
    is whose counter the fourth number is, see :class:`MBConvSpace`.
    """
    reduced = squeeze_channels(se, cin, channels)
    if not reduced:
        return Cost()
    macs = 2 * channels * reduced
    pool = channels * pixels
    bias = reduced + channels
    relu = reduced * (se == 'cream')
    counted = macs + (pool if published == 'cream' else bias)
    return Cost(macs, macs + bias, macs + bias + relu + pool, counted)


def ds_block(
    cin: int,
    pixels: int,
    cout: int | None = None,
    act: str = 'silu',
    se: str = 'cream',
    published: str = 'cream',
) -> Cost:
    """The fixed first block: depthwise 3x3, SE, conv1x1; stride 1. ``cout`` defaults to ``cin``."""
    cost = depthwise_bn(cin, 3, pixels, relu=act in RELUS)
    cost += squeeze_excite(cin, pixels, se, cin, published)
    return cost + conv_bn(cin, cout or cin, 1, pixels)


def mbconv(
    cin: int,
    cout: int,
    kernel: int,
    expand: int,
    pixels_in: int,
    pixels_out: int,
    act: str = 'silu',
    se: str = 'cream',
    published: str = 'cream',
) -> Cost:
    """Inverted bottleneck: conv1x1, depthwise, SE, conv1x1."""
    mid, relu = make_divisible(cin * expand), act in RELUS
    cost = conv_bn(cin, mid, 1, pixels_in, relu=relu)
    cost += depthwise_bn(mid, kernel, pixels_out, relu=relu)
    cost += squeeze_excite(mid, pixels_out, se, cin, published)
    return cost + conv_bn(mid, cout, 1, pixels_out)


def pooled(cin: int, pixels: int) -> Cost:
    """Global average pool."""
    pool = cin * pixels
    return Cost(0, 0, pool, pool)


def pooled_head(cin: int, hidden: int, pixels: int, published: str = 'cream') -> Cost:
    """Global average pool, then a biased conv1x1 on the one remaining position."""
    macs, pool = cin * hidden, cin * pixels
    bias = hidden * (published == 'dna')
    return Cost(macs, macs + hidden, macs + hidden + pool, macs + pool + bias)


def classifier(hidden: int, num_classes: int) -> Cost:
    """The linear layer. The board's convention does not count it."""
    macs = hidden * num_classes
    return Cost(macs, macs + num_classes, 0, macs)


# ---- the space -------------------------------------------------------------------------------


@build_cost_model.register
def mbconv_costs(
    space: MBConvSpace,
    input_size: int | Sequence[int],
    num_classes: int | None = 1000,
    head_channels: int | None = None,
    *,
    head: str | None = 'classifier',
    latency: Mapping | None = None,
) -> CostTable:
    """The table of an MBConv space; see :func:`build_cost_model`.

    ``latency`` may also be ``dict(rows=[...])``, times by what a layer is: see
    :class:`LayerTimes`.

    >>> from cream_mm.costs import build_cost_model
    >>> space = MBConvSpace()
    >>> arch = space.parse('4220 2245 0444 5000 0131')
    >>> build_cost_model(space, 224).cost(arch).in_units()['board_flops_m']
    378.956912
    """
    rows = mbconv_rows(space, input_size, num_classes, head_channels, head)
    if latency is not None and 'rows' in latency:
        latency = times_of_layers(
            latency['rows'], first=rows.first, last=rows.last, head=rows.head,
            describe=rows.describe, depths=space.depths, num_choices=len(space.choices),
            input_size=rows.input_size, settings=row_settings(space),
        )  # fmt: skip
    return CostTable(
        space, rows.table, head=rows.first, tail=[*rows.last, *rows.head], describe=rows.describe,
        input_size=rows.input_size, num_classes=rows.num_classes,
        head_channels=rows.head_channels, latency=latency,
    )  # fmt: skip


class MBConvRows(NamedTuple):
    """What the costs of an MBConv space are made of."""

    input_size: tuple[int, int]
    num_classes: int | None
    head_channels: int | None
    first: list[dict]  # rows of `layer_table` before the choices
    last: list[dict]  # behind them, without the classifier
    head: list[dict]
    table: list[list[list[Cost]]]  # of each stage its first layer, and one for every later layer
    describe: Callable[[int, int, int], dict]  # see `CostTable`


def row_settings(space: MBConvSpace) -> dict:
    """What all blocks share and a row of measured times may say."""
    return dict(se=space.se != 'none', act=space.act)


def mbconv_rows(
    space: MBConvSpace,
    input_size: int | Sequence[int],
    num_classes: int | None,
    head_channels: int | None,
    head: str | None,
) -> MBConvRows:
    """The parts of :func:`mbconv_costs`, without times; same arguments."""
    if head not in ('classifier', None):
        raise ValueError(f"head is 'classifier' or None, the backbone alone; got {head!r}")
    input_size = as_pair(input_size)
    # Every kernel is odd and padded by k // 2, or as TensorFlow does it: either way a stride
    # divides sizes by rounding up.
    size = strided(input_size, space.stem_stride)
    pixels = size[0] * size[1]
    channels, stem_width, relu = space.stage_channels, space.stem_width, space.act in RELUS
    stem = conv_bn(space.in_channels, stem_width, 3, pixels, relu=relu, board_counts_bn=False)
    first_rows = [
        _row('stem', 'conv3x3', None, 3, None, space.in_channels, stem_width, space.stem_stride,
             size, stem),
    ]  # fmt: skip
    if space.first_channels != 0:
        cost = ds_block(stem_width, pixels, channels[0], space.act, space.se, space.published_flops)
        first_rows.append(
            _row('blocks.0.0', 'DSConv', 0, 3, 1, stem_width, channels[0], 1, size, cost)
        )
    table: list[list[list[Cost]]] = []
    sizes: list[tuple[int, int]] = []
    for spec in space.layers(depths=(2,) * space.num_stages):
        pixels_in, size = pixels, strided(size, spec.stride)
        pixels = size[0] * size[1]
        if spec.layer == 0:
            table.append([])
            sizes.append(size)
        table[-1].append([
            _choice_cost(space, spec, choice, pixels_in, pixels) for choice in space.choices
        ])  # fmt: skip
    last = space.num_stages + 1
    last_rows = []
    if space.final_channels != 0:
        cost = conv_bn(channels[-2], channels[-1], 1, pixels, relu=relu)
        last_rows.append(
            _row(f'blocks.{last}.0', 'conv1x1', last, 1, None, channels[-2], channels[-1], 1, size,
                 cost)
        )  # fmt: skip
    head_rows = []
    if head is None:
        num_classes = head_channels = None
    else:
        if head_channels is None:
            head_channels = space.head_channels
        head_rows = _head_rows(space, size, head_channels, num_classes)
    specs = {(spec.stage, min(spec.layer, 1)): spec for spec in space.layers((2,) * len(sizes))}

    def describe(stage: int, layer: int, choice: int) -> dict:
        spec, meaning = specs[stage, min(layer, 1)], space.choices[choice]
        op = 'MBConv'
        if meaning == IDENTITY:
            op, meaning = ('conv1x1', (1, None)) if spec.reshapes else (IDENTITY, (None, None))
        return _row(f'blocks.{stage}.{layer}', op, stage, *meaning, spec.in_channels,
                    spec.out_channels, spec.stride, sizes[stage - 1])  # fmt: skip

    return MBConvRows(
        input_size, num_classes, head_channels, first_rows, last_rows, head_rows, table, describe
    )


def _head_rows(
    space: MBConvSpace, size: tuple[int, int], hidden: int, num_classes: int
) -> list[dict]:
    """Pool, hidden layer if there is one, behind the pool or before it, and classifier."""
    channels, pixels = space.stage_channels[-1], size[0] * size[1]
    inputs, rows = hidden or channels, []
    if hidden and not space.head_norm:
        cost = pooled_head(channels, hidden, pixels, space.published_flops)
        rows.append(_row('conv_head', 'conv1x1', None, 1, None, channels, hidden, 1, (1, 1), cost))
    else:
        if hidden:
            cost = conv_bn(channels, hidden, 1, pixels, relu=space.act in RELUS)
            rows.append(
                _row('conv_head', 'conv1x1', None, 1, None, channels, hidden, 1, size, cost)
            )
        rows.append(
            _row('pool', 'pool', None, None, None, inputs, inputs, 1, (1, 1),
                 pooled(inputs, pixels))
        )  # fmt: skip
    cost = classifier(inputs, num_classes)
    return [
        *rows,
        _row('classifier', 'linear', None, None, None, inputs, num_classes, 1, (1, 1), cost),
    ]


def _choice_cost(
    space: MBConvSpace, spec: LayerSpec, choice: tuple[int, int] | str, pixels_in: int, pixels: int
) -> Cost:
    cin, cout = spec.in_channels, spec.out_channels
    if choice == IDENTITY:
        return conv_bn(cin, cout, 1, pixels) if spec.reshapes else Cost()
    settings = space.act, space.se, space.published_flops
    return mbconv(cin, cout, *choice, pixels_in, pixels, *settings)


def _row(name, op, stage, kernel, expand, cin, cout, stride, size, cost=None) -> dict:
    return dict(
        name=name, op=op, stage=stage, kernel=kernel, expand=expand, in_channels=cin,
        out_channels=cout, stride=stride, out_size=list(size), cost=cost,
    )  # fmt: skip


def strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Of a map behind a stride: it rounds up."""
    return tuple(-(-side // stride) for side in size)
